// SPDX-License-Identifier: Apache-2.0
/*
 * Cards that an operator's own commands can program: `program` sends the image,
 * `verify` reads back whether the card has it; `clear`, `status` and `telemetry`
 * where there are such commands. Each runs in a helper process (fabricfs/helper.h)
 * with a deadline.
 *
 * What a program says of itself is never believed: exit status 0 of `program` is
 * a claim that `verify` has to confirm. An operator who cannot verify has to
 * write `verify: none`, and then loaded/confirmed_by says "nothing".
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/card.h>
#include <fabricfs/clock.h>
#include <fabricfs/helper.h>
#include <fabricfs/log.h>
#include <fabricfs/rights.h>

#include "facts.h"
#include "words.h"

extern const struct card_backend command_backend;

#define DEADLINE_MS 300000 /* of program, verify and clear, unless configured */
#define STATUS_MS 10000
#define TELEMETRY_MS 2000  /* readers of telemetry/ wait no longer */
#define SAY_MAX 700        /* bytes of a command's output in a sentence */

struct command {
	struct card_value program, verify, clear, status, telemetry, environment; /* list_len 0 = none */
	struct card_host host;
	char name[256];
	char part[48];
	char idcode[9];
	char suffix[16];
	unsigned slots;
	int64_t deadline_ms;
	uint64_t rights;
};

static const struct card_key command_keys[] = {
	{ "program", CARD_KEY_COMMAND },
	{ "verify", CARD_KEY_COMMAND },
	{ "clear", CARD_KEY_COMMAND },
	{ "status", CARD_KEY_COMMAND },
	{ "telemetry", CARD_KEY_COMMAND },
	{ "deadline", CARD_KEY_DURATION },
	{ "environment", CARD_KEY_MAP }, /* more variables for all of them */
	{ "capabilities", CARD_KEY_WORDS }, /* beside the usual ones; none: not those either */
	{ "suffix", CARD_KEY_TEXT },     /* %f ends in this, for tools that go by it: ".bit" */
	{ "vendor", CARD_KEY_TEXT },
	{ "board", CARD_KEY_TEXT },
	{ "serial", CARD_KEY_TEXT },
	{ "idcode", CARD_KEY_TEXT },     /* eight hex digits; images for others are refused */
	{ "shell", CARD_KEY_NAMES },     /* names and ids of the static design that runs beside it */
	{ "compatible", CARD_KEY_NAMES }, /* device-tree names of its machine */
	{ "afus", CARD_KEY_NAMES },      /* accelerator functions that it takes */
	{ "partial", CARD_KEY_BOOL },    /* it, or each slot, takes partial images */
	{ NULL, CARD_KEY_TEXT },
};

/* --- configuration ------------------------------------------------------------------ */

static int environment_check(const struct card_value *env, struct reason *why)
{
	for (size_t i = 0; env && i + 1 < env->list_len; i += 2) {
		const char *name = env->list[i];

		if (!*name || (*name >= '0' && *name <= '9') ||
		    name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")])
			return reason_set(why, EINVAL, "environment: '%s' is not the name of a variable", name);
		if (!strncmp(name, "FABRICFS_", 9))
			return reason_set(why, EINVAL, "environment: %s: names that begin with FABRICFS_ are set "
					  "by fabricfs", name);
	}
	return 0;
}

static int suffix_check(const char *suffix, struct reason *why)
{
	if (!*suffix)
		return 0;
	if (*suffix != '.' || strlen(suffix) > 12 ||
	    suffix[1 + strspn(suffix + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")])
		return reason_set(why, EINVAL, "suffix: '%s' is not a dot and up to 11 letters and digits", suffix);
	return 0;
}

/* --- rights ---------------------------------------------------------------------------- */

/*
 * What tools that load a card want of root (fabricfs.yaml(5) lists them): to open any
 * file and device node, to reach ports and memory of the hardware, to lock memory for
 * DMA, to end and prefer their own processes, to become a lesser user.
 */
#define RIGHTS_USUAL                                                                            \
	(RIGHT(CAP_CHOWN) | RIGHT(CAP_DAC_OVERRIDE) | RIGHT(CAP_DAC_READ_SEARCH) |              \
	 RIGHT(CAP_FOWNER) | RIGHT(CAP_FSETID) | RIGHT(CAP_IPC_LOCK) | RIGHT(CAP_KILL) |         \
	 RIGHT(CAP_SETGID) | RIGHT(CAP_SETUID) | RIGHT(CAP_SYS_NICE) | RIGHT(CAP_SYS_RAWIO))

static int rights_check(const struct card_value *v, struct reason *why)
{
	for (size_t i = 0; v && i < v->list_len; i++)
		if (!right_parse(v->list[i]))
			return reason_set(why, EINVAL, "capabilities: there is none of the name '%s'; they are "
					  "listed in capabilities(7), e.g. sys_admin", v->list[i]);
	return 0;
}

static uint64_t rights_of(const struct card_config *config)
{
	const struct card_value *v = card_config_get(config, "capabilities");
	uint64_t rights = v && !v->list_len ? 0 : RIGHTS_USUAL;

	for (size_t i = 0; v && i < v->list_len; i++)
		rights |= right_parse(v->list[i]);
	return rights;
}

/* Its commands have them; the worker only hands them on. */
static void command_rights(const struct card_config *config, struct rights *rights)
{
	*rights = (struct rights){ .lend = rights_of(config) };
}

/* --- opening --------------------------------------------------------------------------- */

static int command_check(const struct card_config *config, struct reason *why)
{
	static const char *const others[] = { "clear", "status", "telemetry" };
	const struct card_value *program = card_config_get(config, "program");
	const struct card_value *verify = card_config_get(config, "verify");
	const struct card_value *deadline = card_config_get(config, "deadline");
	int err;

	if (!program || !program->list_len)
		return reason_set(why, EINVAL, "program: is missing; write the command that programs the card, e.g. "
				  "program: [iceprog, -S, \"%%f\"]");
	if (!verify)
		return reason_set(why, EINVAL, "verify: is missing; write the command that reads back whether the "
				  "card has the image (exit status 0), or verify: none if nothing can tell");
	err = words_check(program, true, why);
	if (!err && verify->list_len)
		err = words_check(verify, true, why);
	for (size_t i = 0; !err && i < sizeof(others) / sizeof(*others); i++) {
		const struct card_value *v = card_config_get(config, others[i]);

		if (v && v->list_len)
			err = words_check(v, false, why);
	}
	if (!err)
		err = environment_check(card_config_get(config, "environment"), why);
	if (!err)
		err = rights_check(card_config_get(config, "capabilities"), why);
	if (!err)
		err = suffix_check(command_text(config, "suffix"), why);
	if (!err && deadline && deadline->number <= 0)
		err = reason_set(why, EINVAL, "deadline: a command needs some time");
	return err ? err : command_facts_check(config, why);
}

static struct card_value value_of(const struct card_config *config, const char *key)
{
	const struct card_value *v = card_config_get(config, key);

	return v ? *v : (struct card_value){ .key = key };
}

static int command_open(const struct card_config *config, const struct card_host *host, void **card,
			struct card_facts *facts, struct reason *why)
{
	struct command *c;
	int err = command_check(config, why);

	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return reason_set(why, ENOMEM, "no memory for card '%s'", config->name);
	c->program = value_of(config, "program");
	c->verify = value_of(config, "verify");
	c->clear = value_of(config, "clear");
	c->status = value_of(config, "status");
	c->telemetry = value_of(config, "telemetry");
	c->environment = value_of(config, "environment");
	c->deadline_ms = value_of(config, "deadline").number;
	if (!c->deadline_ms)
		c->deadline_ms = DEADLINE_MS;
	c->host = *host;
	c->rights = rights_of(config);
	c->slots = config->slots;
	text_copy(c->name, sizeof(c->name), config->name);
	text_copy(c->part, sizeof(c->part), config->part);
	text_copy(c->suffix, sizeof(c->suffix), command_text(config, "suffix"));

	memset(facts, 0, sizeof(*facts));
	command_facts(config, facts);
	if (facts->has_idcode)
		snprintf(c->idcode, sizeof(c->idcode), "%08" PRIx32, facts->idcode);
	text_copy(facts->execution, sizeof(facts->execution), "hardware");
	facts->can |= (c->clear.list_len ? CARD_CAN_CLEAR : 0) | (c->verify.list_len ? CARD_CAN_READBACK : 0);
	facts->trusts_nothing = !c->verify.list_len;
	*card = c;
	return 0;
}

static void command_close(void *card, bool last)
{
	(void)last; /* the hardware stays as it is */
	free(card);
}

/* --- running one ---------------------------------------------------------------------- */

static void result_say(const struct card_value *command, const struct helper_result *r, struct buf *out)
{
	struct buf said CLEANUP_BUF = BUF_INIT;

	words_clean(r, &said, SAY_MAX);
	buf_addf(out, "the %s command %s ", command->key, command->list[0]);
	if (r->end == HELPER_SIGNALLED)
		buf_addf(out, "was ended by SIG%s", sigabbrev_np(r->code) ? sigabbrev_np(r->code) : "?");
	else
		buf_addf(out, "exited with status %d", r->code);
	if (said.len)
		buf_addf(out, ": %s", said.data);
	else
		buf_adds(out, " and printed nothing");
}

/* Its output, behind a sentence that is there already. */
static void reason_add_output(struct reason *why, const struct helper_result *r)
{
	struct buf said CLEANUP_BUF = BUF_INIT, text CLEANUP_BUF = BUF_INIT;

	words_clean(r, &said, SAY_MAX);
	buf_adds(&text, why->text);
	if (r->immortal)
		buf_addf(&text, "; %u of its processes cannot be ended, they wait in a driver", r->immortal);
	if (said.len)
		buf_addf(&text, "; it had printed: %s", said.data);
	if (!buf_ok(&text))
		reason_set(why, why->err, "%s", text.data);
}

/*
 * Run it to its end: 0 whatever its exit status was, -errno when it did not
 * come to an end of its own (the sentence names the key and what was printed).
 */
static int command_run(struct command *c, const struct card_value *command, const struct words_facts *facts,
		       int64_t deadline_ns, int cancel_fd, struct helper_result *result, struct reason *why)
{
	struct words argv CLEANUP_WORDS = { 0 }, env CLEANUP_WORDS = { 0 };
	struct helper_job job = { .self_exe = c->host.self_exe, .deadline_ns = deadline_ns, .cancel_fd = cancel_fd,
				  .rights = c->rights };
	struct reason own = { 0 };
	int err;

	memset(result, 0, sizeof(*result));
	if (words_expand(command, facts, &argv) || words_environment(facts, &c->environment, &env))
		return reason_set(why, ENOMEM, "no memory for the %s command", command->key);
	job.argv = (const char *const *)argv.list;
	job.env = (const char *const *)env.list;
	err = helper_run(&job, result, &own);
	if (err) {
		/* To users ENOEXEC and EACCES speak of the image and of themselves. */
		if (err == -ENOEXEC || err == -EACCES)
			own.err = ENOPKG;
		reason_add_output(&own, result);
		return reason_set(why, own.err, "the %s command: %s", command->key, own.text);
	}
	if (result->strays)
		log_info("dev%u: the %s command %s left %u processes behind, they were ended", c->host.dev,
			 command->key, command->list[0], result->strays);
	return 0;
}

static bool result_good(const struct helper_result *r)
{
	return r->end == HELPER_EXITED && r->code == 0;
}

static int result_fail(const struct card_value *command, const struct helper_result *r, const char *meaning,
		       int err, struct reason *why)
{
	struct buf text CLEANUP_BUF = BUF_INIT;

	result_say(command, r, &text);
	return reason_set(why, err, "%s%s", meaning, text.data ? text.data : command->key);
}

static int64_t deadline_in(int64_t ms)
{
	return clock_mono_ns() + ms * INT64_C(1000000);
}

static int64_t run_deadline(const struct command *c, const struct card_run *run)
{
	int64_t own = deadline_in(c->deadline_ms);

	return run->deadline_ns && run->deadline_ns < own ? run->deadline_ns : own;
}

static struct words_facts facts_of(const struct command *c, unsigned slot)
{
	return (struct words_facts){ .dev = c->host.dev, .slot = slot, .slotted = c->slots > 0, .name = c->name,
				     .part = c->part, .idcode = c->idcode };
}

/* --- the image's name ------------------------------------------------------------------- */

/* What %f says: the kept file itself, or a link to it that ends as the tool wants. */
struct image_name {
	char path[4096];
	int dir_fd; /* of the link, -1 = there is none */
	char link[64];
};

static int image_name_link(struct command *c, struct image_name *name, struct reason *why)
{
	char self[64], dir[3900];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", c->host.run_dir);
	n = readlink(self, dir, sizeof(dir) - 1);
	if (n < 0)
		return reason_set(why, errno, "cannot find the folder for dev%u's scratch files: %s", c->host.dev,
				  strerror(errno));
	dir[n] = '\0';
	snprintf(name->link, sizeof(name->link), "command-dev%u%s", c->host.dev, c->suffix);
	/* The one of a worker that was killed. */
	unlinkat(c->host.run_dir, name->link, 0);
	if (symlinkat(name->path, c->host.run_dir, name->link))
		return reason_set(why, errno, "cannot make %s/%s: %s", dir, name->link, strerror(errno));
	name->dir_fd = c->host.run_dir;
	snprintf(name->path, sizeof(name->path), "%s/%s", dir, name->link);
	return 0;
}

static int image_name_make(struct command *c, const struct card_run *run, struct image_name *name,
			   struct reason *why)
{
	char *path CLEANUP_FREE = NULL;

	name->dir_fd = -1;
	/* The command runs in /, wherever fabricfs was started. */
	if (*run->path != '/') {
		path = realpath(run->path, NULL);
		if (!path)
			return reason_set(why, errno, "cannot find the image %s: %s", run->path, strerror(errno));
	}
	if (!text_copy(name->path, sizeof(name->path), path ? path : run->path))
		return reason_set(why, ENAMETOOLONG, "the name of the image is too long: %s", run->path);
	return *c->suffix ? image_name_link(c, name, why) : 0;
}

static void image_name_drop(struct image_name *name)
{
	if (name->dir_fd >= 0)
		unlinkat(name->dir_fd, name->link, 0);
}

static int image_command(struct command *c, const struct card_value *command, struct card_run *run,
			 struct helper_result *result, struct reason *why)
{
	struct words_facts facts = facts_of(c, run->slot);
	struct image_name name;
	int err = image_name_make(c, run, &name, why);

	if (err)
		return err;
	facts.image = name.path;
	facts.sha256 = run->sha256;
	facts.format = run->facts ? run->facts->format : "";
	facts.size = run->size;
	err = command_run(c, command, &facts, run_deadline(c, run), run->cancel_fd, result, why);
	image_name_drop(&name);
	return err;
}

/* --- the operations ------------------------------------------------------------------------ */

/* Errors with which helper_run() says that the program was never executed. */
static bool never_ran(int err, const struct helper_result *r)
{
	return err && err != -ETIMEDOUT && err != -ECANCELED && err != -EIO && r->end == HELPER_NOT_STARTED;
}

static int command_program(void *card, struct card_run *run, struct reason *why)
{
	struct command *c = card;
	struct helper_result *r CLEANUP_FREE = malloc(sizeof(*r));
	int err;

	if (!r)
		return reason_set(why, ENOMEM, "no memory for the program command");
	memset(r, 0, sizeof(*r));
	run->touched = true;
	err = image_command(c, &c->program, run, r, why);
	if (never_ran(err, r))
		run->touched = false;
	if (err)
		return err;
	if (!result_good(r))
		return result_fail(&c->program, r, "", EIO, why);
	if (run->progress)
		run->progress(run, run->size);
	return 0;
}

static void confirmed(const struct command *c, struct card_run *run, const struct helper_result *r)
{
	struct buf text CLEANUP_BUF = BUF_INIT, said CLEANUP_BUF = BUF_INIT;

	words_clean(r, &said, SAY_MAX);
	buf_addf(&text, "verify command: %s (exit 0)", c->verify.list[0]);
	if (said.len) {
		char *end = strstr(said.data, " / ");

		if (end)
			*end = '\0';
		buf_addf(&text, ", %s", said.data);
	}
	text_copy(run->confirmed_by, sizeof(run->confirmed_by), text.data);
}

static int command_confirm(void *card, struct card_run *run, struct reason *why)
{
	struct command *c = card;
	struct helper_result *r CLEANUP_FREE = malloc(sizeof(*r));
	int err;

	if (!c->verify.list_len) {
		text_copy(run->confirmed_by, sizeof(run->confirmed_by), "nothing");
		return 0;
	}
	if (!r)
		return reason_set(why, ENOMEM, "no memory for the verify command");
	err = image_command(c, &c->verify, run, r, why);
	if (err)
		return err;
	if (!result_good(r))
		return result_fail(&c->verify, r, "the program command succeeded, but the card does not have the "
				   "image: ", EIO, why);
	confirmed(c, run, r);
	return 0;
}

static int command_verify(void *card, struct card_run *run, struct reason *why)
{
	struct command *c = card;
	struct helper_result *r CLEANUP_FREE = malloc(sizeof(*r));
	int err;

	if (!c->verify.list_len)
		return reason_set(why, EOPNOTSUPP, "this card has no verify command");
	if (!r)
		return reason_set(why, ENOMEM, "no memory for the verify command");
	err = image_command(c, &c->verify, run, r, why);
	if (err)
		return err;
	return result_good(r) ? 0 : result_fail(&c->verify, r, "the card does not have the image: ", EBADMSG, why);
}

static int command_clear(void *card, unsigned slot, struct reason *why)
{
	struct command *c = card;
	struct words_facts facts = facts_of(c, slot);
	struct helper_result *r CLEANUP_FREE = malloc(sizeof(*r));
	int err;

	if (!c->clear.list_len)
		return reason_set(why, EOPNOTSUPP, "this card has no clear command");
	if (!r)
		return reason_set(why, ENOMEM, "no memory for the clear command");
	err = command_run(c, &c->clear, &facts, deadline_in(c->deadline_ms), -1, r, why);
	if (err)
		return err;
	return result_good(r) ? 0 : result_fail(&c->clear, r, "", EIO, why);
}

/* "configured 0a1b...", of which only the first line counts. */
static void status_parse(const struct buf *text, struct card_status *status)
{
	static const struct {
		const char *word;
		enum card_condition condition;
	} known[] = {
		{ "configured", CARD_CONFIGURED },
		{ "unconfigured", CARD_UNCONFIGURED },
		{ "failed", CARD_FAILED },
		{ "unknown", CARD_UNKNOWN },
	};
	const char *line;
	size_t at = 0;
	long left = words_line(text, &at, &line);
	char copy[256];
	char *word, *sha256, *save = NULL;

	if (left < 0)
		return;
	snprintf(copy, sizeof(copy), "%.*s", (int)(left < 255 ? left : 255), line);
	word = strtok_r(copy, " \t\r", &save);
	sha256 = strtok_r(NULL, " \t\r", &save);
	for (size_t i = 0; word && i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(word, known[i].word))
			status->condition = known[i].condition;
	if (status->condition == CARD_CONFIGURED && sha256 && strlen(sha256) == SHA256_HEX - 1 &&
	    strspn(sha256, "0123456789abcdef") == SHA256_HEX - 1)
		text_copy(status->sha256, sizeof(status->sha256), sha256);
}

static int command_status(void *card, unsigned slot, struct card_status *status, struct reason *why)
{
	struct command *c = card;
	struct words_facts facts = facts_of(c, slot);
	struct helper_result *r CLEANUP_FREE = malloc(sizeof(*r));
	struct buf text CLEANUP_BUF = BUF_INIT, said CLEANUP_BUF = BUF_INIT;
	struct reason own = { 0 };

	memset(status, 0, sizeof(*status));
	status->condition = CARD_UNKNOWN;
	if (!c->status.list_len)
		return 0;
	if (!r)
		return reason_set(why, ENOMEM, "no memory for the status command");
	/* A status command that fails says nothing about the card: unknown, and why. */
	if (command_run(c, &c->status, &facts, deadline_in(STATUS_MS < c->deadline_ms ? STATUS_MS : c->deadline_ms),
			-1, r, &own)) {
		log_warn("dev%u: %s", c->host.dev, own.text);
		text_copy(status->detail, sizeof(status->detail), own.text);
		return 0;
	}
	if (!result_good(r)) {
		result_say(&c->status, r, &said);
		text_copy(status->detail, sizeof(status->detail), said.data);
		return 0;
	}
	helper_output(r, &text);
	status_parse(&text, status);
	words_clean(r, &said, sizeof(status->detail) - 1);
	text_copy(status->detail, sizeof(status->detail), said.data);
	return 0;
}

/* One line "temp_celsius 41.5". False: it is none. */
static bool sensor_parse(const char *line, size_t len, struct card_sensor *sensor)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	char copy[128];
	char *name, *value, *end, *point, *save = NULL;

	if (len >= sizeof(copy) || memchr(line, '\0', len))
		return false;
	memcpy(copy, line, len);
	copy[len] = '\0';
	name = strtok_r(copy, " \t\r", &save);
	value = strtok_r(NULL, " \t\r", &save);
	if (!name || !value || strtok_r(NULL, " \t\r", &save))
		return false;
	/* A name without a unit behind its last _ would be a number of nobody knows what. */
	if (name[strspn(name, letters)] || strlen(name) >= sizeof(sensor->name) || *name == '_' ||
	    !strchr(name, '_') || name[strlen(name) - 1] == '_')
		return false;
	/* Decimal only: strtod() alone would take nan, infinity and hexadecimal. */
	if (value[strspn(value, "0123456789.+-eE")])
		return false;
	errno = 0;
	sensor->value = strtod(value, &end);
	if (*end || end == value || errno || !isfinite(sensor->value))
		return false;
	point = strchr(value, '.');
	sensor->decimals = point ? (int)strspn(point + 1, "0123456789") : 0;
	if (sensor->decimals > 6)
		sensor->decimals = 6;
	sensor->source = strncmp(name, "model_", 6) ? CARD_SENSOR : CARD_MODEL;
	text_copy(sensor->name, sizeof(sensor->name), name);
	return true;
}

static bool sensor_known(const struct card_sensor *sensors, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(sensors[i].name, name))
			return true;
	return false;
}

static int command_telemetry(void *card, struct card_sensor *sensors, size_t max, struct reason *why)
{
	struct command *c = card;
	struct words_facts facts = facts_of(c, 0);
	struct helper_result *r CLEANUP_FREE = malloc(sizeof(*r));
	struct buf text CLEANUP_BUF = BUF_INIT;
	size_t at = 0, n = 0, bad = 0;
	const char *line;
	long len;
	int err;

	if (!c->telemetry.list_len)
		return 0;
	if (!r)
		return reason_set(why, ENOMEM, "no memory for the telemetry command");
	err = command_run(c, &c->telemetry, &facts, deadline_in(TELEMETRY_MS), -1, r, why);
	if (err)
		return err;
	if (!result_good(r))
		return result_fail(&c->telemetry, r, "", EIO, why);
	helper_output(r, &text);
	while (n < max && (len = words_line(&text, &at, &line)) >= 0) {
		struct card_sensor sensor = { 0 };

		if (!len)
			continue;
		if (sensor_parse(line, (size_t)len, &sensor) && !sensor_known(sensors, n, sensor.name))
			sensors[n++] = sensor;
		else
			bad++;
	}
	if (bad && !n)
		return result_fail(&c->telemetry, r, "no line has the form 'temp_celsius 41.5': ", EIO, why);
	if (bad)
		log_debug("dev%u: %zu lines of the telemetry command are not of the form 'temp_celsius 41.5'",
			  c->host.dev, bad);
	return (int)n;
}

const struct card_backend command_backend = {
	.version = CARD_ABI,
	.name = "command",
	.keys = command_keys,
	.check = command_check,
	.rights = command_rights,
	.open = command_open,
	.close = command_close,
	.status = command_status,
	.program = command_program,
	.confirm = command_confirm,
	.clear = command_clear,
	.verify = command_verify,
	.telemetry = command_telemetry,
};
