// SPDX-License-Identifier: Apache-2.0
/* Cards that an operator's own commands program: what counts as success, and what is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <fabricfs/card.h>
#include <fabricfs/clock.h>
#include <fabricfs/helper.h>

extern const struct card_backend command_backend;

#define SECONDS INT64_C(1000000000)
#define VALUES_MAX 8

/* A folder that plays the card, an image, and a configuration that grows. */
struct bench {
	char dir[64];
	char image[96];
	char tool[4096];
	char script[4096];
	char sha256[SHA256_HEX];
	struct card_value values[VALUES_MAX];
	const char *lists[VALUES_MAX][16];
	struct card_config config;
	struct card_host host;
	struct image_facts image_facts;
	struct card_facts facts;
	struct card_run run;
	uint64_t progress;
	void *card;
};

static struct bench *running; /* whose progress it is */

static void progressed(struct card_run *run, uint64_t done)
{
	(void)run;
	running->progress = done;
}

static int bench_make(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	int fd;

	*state = running = b;
	snprintf(b->dir, sizeof(b->dir), "/tmp/test-command-XXXXXX");
	if (!mkdtemp(b->dir) || !realpath("tests/data/commands/card", b->tool))
		return -1;
	snprintf(b->image, sizeof(b->image), "%s/image", b->dir);
	fd = open(b->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "bits", 4) != 4 || digest_fd(fd, b->sha256))
		return -1;
	text_copy(b->image_facts.format, sizeof(b->image_facts.format), "ice40");
	b->config = (struct card_config){ .name = "odd", .part = "xc7k325t", .values = b->values };
	b->host = (struct card_host){ .dev = 3, .slot = -1,
				      .run_dir = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				      .self_exe = "/proc/self/exe" };
	b->run = (struct card_run){ .id = 1, .fd = fd, .size = 4, .path = b->image, .sha256 = b->sha256,
				    .facts = &b->image_facts, .cancel_fd = -1, .progress = progressed,
				    .deadline_ns = clock_mono_ns() + 20 * SECONDS };
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int bench_remove(void **state)
{
	struct bench *b = *state;

	if (b->card)
		command_backend.close(b->card, true);
	close(b->run.fd);
	close(b->host.run_dir);
	nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(b);
	return 0;
}

static struct card_value *value_new(struct bench *b, const char *key, enum card_key_kind kind)
{
	struct card_value *v = &b->values[b->config.values_len++];

	assert_true(b->config.values_len <= VALUES_MAX);
	*v = (struct card_value){ .key = key, .kind = kind };
	return v;
}

/* A key with a list, from words ending in NULL. "" as the program: the tool that plays the card. */
static void with(struct bench *b, const char *key, ...)
{
	struct card_value *v = value_new(b, key, strcmp(key, "environment") ? CARD_KEY_COMMAND : CARD_KEY_MAP);
	const char **list = b->lists[v - b->values];
	va_list ap;
	const char *word;

	va_start(ap, key);
	while ((word = va_arg(ap, const char *))) {
		if (!*word) {
			list[v->list_len++] = b->tool;
			word = b->dir;
		}
		list[v->list_len++] = word;
	}
	va_end(ap);
	v->list = list;
}

static const char *script(struct bench *b, const char *name)
{
	char relative[128];

	snprintf(relative, sizeof(relative), "tests/data/commands/%s", name);
	assert_non_null(realpath(relative, b->script));
	return b->script;
}

static void opened(struct bench *b)
{
	struct reason why = { 0 };

	if (command_backend.open(&b->config, &b->host, &b->card, &b->facts, &why))
		fail_msg("open: %s", why.text);
}

static void says(const struct reason *why, const char *part)
{
	if (!strstr(why->text, part))
		fail_msg("\"%s\" is not in: %s", part, why->text);
}

static void check_fails(struct bench *b, const char *part)
{
	struct reason why = { 0 };

	assert_int_equal(command_backend.check(&b->config, &why), -EINVAL);
	says(&why, part);
}

/* --- configuration ------------------------------------------------------------------- */

static void a_card_without_program_is_refused(void **state)
{
	struct bench *b = *state;

	with(b, "verify", "true", NULL);
	check_fails(b, "program: is missing");
}

static void verify_has_to_be_written_even_when_it_is_none(void **state)
{
	struct bench *b = *state;

	with(b, "program", "true", NULL);
	check_fails(b, "verify: none");
	with(b, "verify", NULL);
	assert_int_equal(command_backend.check(&b->config, NULL), 0);
}

static void a_relative_program_and_an_unknown_letter_are_refused(void **state)
{
	struct bench *b = *state;

	with(b, "verify", NULL);
	with(b, "program", "bin/load", NULL);
	check_fails(b, "'bin/load' is neither");
	b->config.values_len = 1;
	with(b, "program", "load", "%x", NULL);
	check_fails(b, "'%x' has a %");
	b->config.values_len = 1;
	with(b, "program", "load", "100%", NULL);
	check_fails(b, "'100%' has a %");
	b->config.values_len = 1;
	with(b, "program", "load", "%f", NULL);
	with(b, "clear", "unload", "%f", NULL);
	check_fails(b, "clear: '%f' wants %f");
}

static void bad_values_of_the_other_keys_are_refused(void **state)
{
	struct bench *b = *state;

	char long_name[71] = "";

	with(b, "verify", NULL);
	with(b, "program", "true", NULL);
	value_new(b, "idcode", CARD_KEY_TEXT)->text = "362d093";
	check_fails(b, "idcode");
	b->config.values_len = 2;
	value_new(b, "idcode", CARD_KEY_TEXT)->text = "FFFFFFFF";
	check_fails(b, "no device has FFFFFFFF");
	b->config.values_len = 2;
	value_new(b, "idcode", CARD_KEY_TEXT)->text = "00000000";
	check_fails(b, "no device has 00000000");
	b->config.values_len = 2;
	with(b, "shell", "two words", NULL);
	check_fails(b, "shell: 'two words' is no name or id");
	b->config.values_len = 2;
	*value_new(b, "afus", CARD_KEY_NAMES) = (struct card_value){
		.key = "afus", .kind = CARD_KEY_NAMES, .list = (const char *const[]){ "", NULL }, .list_len = 1 };
	check_fails(b, "afus: '' is no name or id");
	b->config.values_len = 2;
	memset(long_name, 'a', sizeof(long_name) - 1);
	with(b, "shell", long_name, long_name, NULL);
	check_fails(b, "shell: together longer than 127 bytes");
	b->config.values_len = 2;
	with(b, "compatible", long_name, long_name, NULL);
	assert_int_equal(command_backend.check(&b->config, NULL), 0);
	b->config.values_len = 2;
	value_new(b, "suffix", CARD_KEY_TEXT)->text = "./../x";
	check_fails(b, "suffix");
	b->config.values_len = 2;
	value_new(b, "deadline", CARD_KEY_DURATION)->number = 0;
	check_fails(b, "deadline");
	b->config.values_len = 2;
	with(b, "environment", "FABRICFS_DEV", "9", NULL);
	check_fails(b, "FABRICFS_");
	b->config.values_len = 2;
	with(b, "environment", "A=B", "9", NULL);
	check_fails(b, "'A=B'");
}

static void the_facts_are_those_of_the_configuration(void **state)
{
	struct bench *b = *state;

	with(b, "program", "true", NULL);
	with(b, "verify", NULL);
	value_new(b, "idcode", CARD_KEY_TEXT)->text = "0362D093";
	value_new(b, "vendor", CARD_KEY_TEXT)->text = "xilinx";
	opened(b);
	assert_string_equal(b->facts.part, "xc7k325t");
	assert_string_equal(b->facts.vendor, "xilinx");
	assert_true(b->facts.has_idcode && b->facts.idcode == 0x0362d093);
	assert_int_equal(b->facts.can, 0);
	assert_true(b->facts.trusts_nothing);
	assert_false(b->facts.restore);
}

/* Full or partial images, by what the configuration says of a card and of slots. */
static void what_it_takes_follows_from_shell_and_partial(void **state)
{
	enum { UNSET = -1 };
	static const struct {
		bool slots, shell;
		int partial;
		unsigned takes;
	} rows[] = {
		{ false, false, UNSET, 0 },
		{ false, false, 0, IMAGE_TAKES_FULL },
		{ false, false, 1, IMAGE_TAKES_FULL | IMAGE_TAKES_PARTIAL },
		{ false, true, UNSET, IMAGE_TAKES_PARTIAL },
		{ false, true, 0, IMAGE_TAKES_FULL },
		{ false, true, 1, IMAGE_TAKES_PARTIAL },
		{ true, false, UNSET, 0 },
		{ true, false, 0, IMAGE_TAKES_FULL },
		{ true, false, 1, IMAGE_TAKES_PARTIAL },
		{ true, true, UNSET, IMAGE_TAKES_PARTIAL },
		{ true, true, 0, IMAGE_TAKES_FULL },
		{ true, true, 1, IMAGE_TAKES_PARTIAL },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b->config.values_len = 0;
		b->config.slots = rows[i].slots ? 2 : 0;
		with(b, "program", "true", NULL);
		with(b, "verify", NULL);
		if (rows[i].shell)
			with(b, "shell", "some_platform", "8def22be", NULL);
		if (rows[i].partial != UNSET)
			value_new(b, "partial", CARD_KEY_BOOL)->number = rows[i].partial;
		if (b->card)
			command_backend.close(b->card, true);
		opened(b);
		assert_int_equal(b->facts.takes, rows[i].takes);
		assert_int_equal(!!(b->facts.can & CARD_CAN_PARTIAL), !!(rows[i].takes & IMAGE_TAKES_PARTIAL));
		assert_string_equal(b->facts.shell, rows[i].shell ? "some_platform 8def22be" : "");
	}
}

static void the_table_knows_the_backend(void **state)
{
	(void)state;
	assert_ptr_equal(card_backend_find("command"), &command_backend);
	assert_null(card_backend_find("commando"));
}

/* --- programming ------------------------------------------------------------------------ */

static void a_programmed_card_is_confirmed_by_its_verify_command(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };
	char want[8400];

	with(b, "program", "", "program", "%f", NULL);
	with(b, "verify", "", "verify", "%f", NULL);
	opened(b);
	assert_int_equal(b->facts.can, CARD_CAN_READBACK);
	assert_false(b->facts.trusts_nothing);
	if (command_backend.program(b->card, &b->run, &why) || command_backend.confirm(b->card, &b->run, &why))
		fail_msg("%s", why.text);
	assert_true(b->run.touched);
	assert_true(b->progress == 4);
	snprintf(want, sizeof(want), "verify command: %s (exit 0), DONE is high", b->tool);
	want[sizeof(b->run.confirmed_by) - 1] = '\0';
	assert_string_equal(b->run.confirmed_by, want);
	assert_int_equal(command_backend.verify(b->card, &b->run, &why), 0);
}

static void a_program_that_exits_0_and_loads_nothing_is_found_out(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };

	with(b, "program", "", "program-nothing", "%f", NULL);
	with(b, "verify", "", "verify", "%f", NULL);
	opened(b);
	assert_int_equal(command_backend.program(b->card, &b->run, &why), 0);
	assert_int_equal(command_backend.confirm(b->card, &b->run, &why), -EIO);
	says(&why, "does not have the image");
	says(&why, "DONE is low");
	assert_string_equal(b->run.confirmed_by, "");
	assert_int_equal(command_backend.verify(b->card, &b->run, &why), -EBADMSG);
}

static void verify_none_confirms_by_nothing(void **state)
{
	struct bench *b = *state;

	with(b, "program", "true", NULL);
	with(b, "verify", NULL);
	opened(b);
	assert_int_equal(command_backend.program(b->card, &b->run, NULL), 0);
	assert_int_equal(command_backend.confirm(b->card, &b->run, NULL), 0);
	assert_string_equal(b->run.confirmed_by, "nothing");
	assert_int_equal(command_backend.verify(b->card, &b->run, NULL), -EOPNOTSUPP);
}

static int program_with(struct bench *b, struct reason *why)
{
	with(b, "verify", NULL);
	opened(b);
	return command_backend.program(b->card, &b->run, why);
}

static void a_failure_tells_the_status_and_the_cleaned_output(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };

	with(b, "program", script(b, "exits"), "3",
	     "\\033[31mred\\033[0m\\nat 1%%\\rat 99%%\\r\\n\\n\\tt\\001b\\0377\\0302\\0265", NULL);
	assert_int_equal(program_with(b, &why), -EIO);
	assert_true(b->run.touched);
	says(&why, "the program command ");
	says(&why, "exits exited with status 3: red / at 99% /  t b?\302\265");
}

static void a_megabyte_of_output_gives_a_sentence_with_both_ends(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };

	with(b, "program", script(b, "prints-a-megabyte"), "1", NULL);
	assert_int_equal(program_with(b, &why), -EIO);
	says(&why, ": first / xxx");
	says(&why, " ... ");
	says(&why, "xxx / last");
	assert_true(strlen(why.text) < REASON_MAX - 1);
}

static void a_death_by_signal_is_named(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };

	with(b, "program", script(b, "dies"), "SEGV", NULL);
	assert_int_equal(program_with(b, &why), -EIO);
	says(&why, "was ended by SIGSEGV: something is wrong with the cable");
}

static void a_missing_program_is_ENOPKG_and_the_card_is_untouched(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };

	with(b, "program", "no-such-loader", "%f", NULL);
	assert_int_equal(program_with(b, &why), -ENOPKG);
	says(&why, "no-such-loader");
	assert_false(b->run.touched);
}

static void a_program_without_the_right_to_run_is_ENOPKG_too(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };

	with(b, "program", b->image, NULL);
	assert_int_equal(program_with(b, &why), -ENOPKG);
	says(&why, b->image);
	assert_false(b->run.touched);
}

static void a_program_that_hangs_is_ETIMEDOUT_with_what_it_printed(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };
	int64_t began = clock_mono_ns();

	with(b, "program", script(b, "hang"), NULL);
	value_new(b, "deadline", CARD_KEY_DURATION)->number = 500;
	assert_int_equal(program_with(b, &why), -ETIMEDOUT);
	assert_in_range(clock_mono_ns() - began, SECONDS / 2, 5 * SECONDS);
	says(&why, "waiting for the card");
	assert_true(b->run.touched);
}

static void the_deadline_of_the_run_counts_when_it_is_earlier(void **state)
{
	struct bench *b = *state;

	with(b, "program", script(b, "hang"), NULL);
	b->run.deadline_ns = clock_mono_ns() + SECONDS / 2;
	assert_int_equal(program_with(b, NULL), -ETIMEDOUT);
}

static void a_cancelled_run_is_ECANCELED(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	b->run.cancel_fd = fds[0];
	with(b, "program", script(b, "hang"), NULL);
	assert_int_equal(program_with(b, &why), -ECANCELED);
	says(&why, "the program command");
	close(fds[0]);
	close(fds[1]);
}

/* The first line of a file in the bench's folder that begins with `start`. */
static void line_is(struct bench *b, const char *file, const char *want)
{
	char path[128], line[512];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", b->dir, file);
	f = fopen(path, "re");
	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strcmp(line, want);
	}
	fclose(f);
	if (!found)
		fail_msg("no line \"%s\" in %s", want, file);
}

static void the_command_is_given_letters_and_environment(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };
	char out[128], want[256];

	snprintf(out, sizeof(out), "%s/out", b->dir);
	with(b, "program", "/bin/sh", "-c", "{ printf '%%s\\n' \"$@\"; env; } > \"$0\"", out, "%f", "a%pb%n", "%s", "%%",
	     NULL);
	with(b, "environment", "PATH", "/usr/bin:/bin:/opt/x", "CABLE", "ft2232", NULL);
	value_new(b, "idcode", CARD_KEY_TEXT)->text = "0362D093";
	if (program_with(b, &why))
		fail_msg("%s", why.text);
	line_is(b, "out", b->image);
	line_is(b, "out", "axc7k325tbodd");
	line_is(b, "out", b->sha256);
	line_is(b, "out", "%");
	line_is(b, "out", "FABRICFS_DEV=dev3");
	line_is(b, "out", "FABRICFS_NAME=odd");
	line_is(b, "out", "FABRICFS_PART=xc7k325t");
	line_is(b, "out", "FABRICFS_IDCODE=0362d093");
	line_is(b, "out", "FABRICFS_FORMAT=ice40");
	line_is(b, "out", "FABRICFS_SIZE=4");
	line_is(b, "out", "LANG=C");
	line_is(b, "out", "CABLE=ft2232");
	line_is(b, "out", "PATH=/usr/bin:/bin:/opt/x");
	snprintf(want, sizeof(want), "FABRICFS_IMAGE=%s", b->image);
	line_is(b, "out", want);
	snprintf(want, sizeof(want), "FABRICFS_SHA256=%s", b->sha256);
	line_is(b, "out", want);
}

static void the_image_has_the_suffix_that_the_tool_goes_by(void **state)
{
	struct bench *b = *state;
	struct reason why = { 0 };
	char out[128], link[128], want[128];

	snprintf(out, sizeof(out), "%s/out", b->dir);
	snprintf(link, sizeof(link), "%s/command-dev3.bit", b->dir);
	/* What a killed worker left does not disturb. */
	assert_int_equal(symlink("/nowhere", link), 0);
	with(b, "program", "/bin/sh", "-c", "{ echo \"$1\"; cat \"$1\"; echo; } > \"$0\"", out, "%f", NULL);
	value_new(b, "suffix", CARD_KEY_TEXT)->text = ".bit";
	if (program_with(b, &why))
		fail_msg("%s", why.text);
	snprintf(want, sizeof(want), "%s", link);
	line_is(b, "out", want);
	line_is(b, "out", "bits");
	assert_int_equal(access(link, F_OK), -1);
}

/* --- the rest ------------------------------------------------------------------------------ */

static void clear_is_a_capability_only_with_its_command(void **state)
{
	struct bench *b = *state;

	with(b, "program", "", "program", "%f", NULL);
	with(b, "verify", "", "verify", "%f", NULL);
	with(b, "clear", "", "clear", NULL);
	with(b, "status", "", "status", NULL);
	opened(b);
	assert_int_equal(b->facts.can, CARD_CAN_CLEAR | CARD_CAN_READBACK);

	struct card_status status;

	assert_int_equal(command_backend.status(b->card, 0, &status, NULL), 0);
	assert_int_equal(status.condition, CARD_UNCONFIGURED);
	assert_int_equal(command_backend.program(b->card, &b->run, NULL), 0);
	assert_int_equal(command_backend.status(b->card, 0, &status, NULL), 0);
	assert_int_equal(status.condition, CARD_CONFIGURED);
	assert_string_equal(status.sha256, b->sha256);
	assert_int_equal(command_backend.clear(b->card, 0, NULL), 0);
	assert_int_equal(command_backend.status(b->card, 0, &status, NULL), 0);
	assert_int_equal(status.condition, CARD_UNCONFIGURED);
	assert_int_equal(command_backend.verify(b->card, &b->run, NULL), -EBADMSG);
}

static void status_is(struct bench *b, const char *code, const char *text, enum card_condition want, bool sha256)
{
	struct card_status status;

	b->config.values_len = 0;
	with(b, "program", "true", NULL);
	with(b, "verify", NULL);
	if (text)
		with(b, "status", script(b, "exits"), code, text, NULL);
	opened(b);
	assert_int_equal(command_backend.status(b->card, 0, &status, NULL), 0);
	assert_int_equal(status.condition, want);
	assert_int_equal(*status.sha256 != '\0', sha256);
	command_backend.close(b->card, false);
	b->card = NULL;
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void only_a_known_word_of_a_command_that_succeeds_is_a_status(void **state)
{
	struct bench *b = *state;

	status_is(b, "0", NULL, CARD_UNKNOWN, false);
	status_is(b, "0", "configured", CARD_CONFIGURED, false);
	status_is(b, "0", "configured " HEX, CARD_CONFIGURED, true);
	status_is(b, "0", "configured " HEX "0", CARD_CONFIGURED, false);
	status_is(b, "0", "configured XYZ", CARD_CONFIGURED, false);
	status_is(b, "0", "unconfigured " HEX, CARD_UNCONFIGURED, false);
	status_is(b, "0", "failed\\nreally", CARD_FAILED, false);
	status_is(b, "0", "unknown", CARD_UNKNOWN, false);
	status_is(b, "0", "configuredx", CARD_UNKNOWN, false);
	status_is(b, "0", "\\nconfigured", CARD_UNKNOWN, false);
	status_is(b, "1", "configured", CARD_UNKNOWN, false);
}

static int telemetry_of(struct bench *b, const char *code, const char *text, struct card_sensor *sensors, size_t max,
			struct reason *why)
{
	int n;

	b->config.values_len = 0;
	with(b, "program", "true", NULL);
	with(b, "verify", NULL);
	with(b, "telemetry", script(b, "exits"), code, text, NULL);
	opened(b);
	n = command_backend.telemetry(b->card, sensors, max, why);
	command_backend.close(b->card, false);
	b->card = NULL;
	return n;
}

static void telemetry_lines_become_sensors(void **state)
{
	struct bench *b = *state;
	struct card_sensor s[4];

	assert_int_equal(telemetry_of(b, "0", "temp_celsius 41.50\\npower_watts\\t-3\\nmodel_power_watts 1e-3", s, 4,
				      NULL), 3);
	assert_string_equal(s[0].name, "temp_celsius");
	assert_true(s[0].value == 41.5 && s[0].decimals == 2 && s[0].source == CARD_SENSOR);
	assert_string_equal(s[1].name, "power_watts");
	assert_true(s[1].value == -3 && s[1].decimals == 0);
	assert_true(s[2].source == CARD_MODEL);
}

static void lines_that_are_no_value_with_a_unit_are_left_out(void **state)
{
	struct bench *b = *state;
	struct card_sensor s[8];
	struct reason why = { 0 };

	assert_int_equal(telemetry_of(b, "0",
				      "temp 41\\n../etc_passwd 1\\nTemp_c 1\\na_b\\na_b nan\\na_b 0x10\\na_b 1 2\\n_a 1\\n"
				      "a_ 1\\na_b 1e999\\nfan_rpm 1200\\nfan_rpm 5\\n", s, 8, NULL), 1);
	assert_string_equal(s[0].name, "fan_rpm");
	assert_true(s[0].value == 1200);
	assert_int_equal(telemetry_of(b, "0", "a_b 1\\nb_b 2\\nc_b 3", s, 2, NULL), 2);
	assert_int_equal(telemetry_of(b, "0", "all is well", s, 8, &why), -EIO);
	says(&why, "all is well");
	assert_int_equal(telemetry_of(b, "2", "fan_rpm 1200", s, 8, &why), -EIO);
	says(&why, "the telemetry command");
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_card_without_program_is_refused),
		CLAIM(verify_has_to_be_written_even_when_it_is_none),
		CLAIM(a_relative_program_and_an_unknown_letter_are_refused),
		CLAIM(bad_values_of_the_other_keys_are_refused),
		CLAIM(the_facts_are_those_of_the_configuration),
		CLAIM(what_it_takes_follows_from_shell_and_partial),
		CLAIM(the_table_knows_the_backend),
		CLAIM(a_programmed_card_is_confirmed_by_its_verify_command),
		CLAIM(a_program_that_exits_0_and_loads_nothing_is_found_out),
		CLAIM(verify_none_confirms_by_nothing),
		CLAIM(a_failure_tells_the_status_and_the_cleaned_output),
		CLAIM(a_megabyte_of_output_gives_a_sentence_with_both_ends),
		CLAIM(a_death_by_signal_is_named),
		CLAIM(a_missing_program_is_ENOPKG_and_the_card_is_untouched),
		CLAIM(a_program_without_the_right_to_run_is_ENOPKG_too),
		CLAIM(a_program_that_hangs_is_ETIMEDOUT_with_what_it_printed),
		CLAIM(the_deadline_of_the_run_counts_when_it_is_earlier),
		CLAIM(a_cancelled_run_is_ECANCELED),
		CLAIM(the_command_is_given_letters_and_environment),
		CLAIM(the_image_has_the_suffix_that_the_tool_goes_by),
		CLAIM(clear_is_a_capability_only_with_its_command),
		CLAIM(only_a_known_word_of_a_command_that_succeeds_is_a_status),
		CLAIM(telemetry_lines_become_sensors),
		CLAIM(lines_that_are_no_value_with_a_unit_are_left_out),
	};

	if (argc > 0 && !strcmp(argv[0], HELPER_NAME))
		return helper_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
