// SPDX-License-Identifier: Apache-2.0
/* The link to a simulated card when it is slow, ended, broken or lying; and what is not simulated. */
#include "sim_fixture.h"

#include <errno.h>
#include <sys/mman.h>

#define MS 1000000

static int paced(void **state)
{
	*state = rig_new(25000000, false);
	return 0;
}

/* An HX1K image takes a quarter of a second. */
static int slow(void **state)
{
	*state = rig_new(1000000, false);
	return 0;
}

static int lying(void **state)
{
	*state = rig_new(0, true);
	return 0;
}

static int unlimited(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

/* --- the link ------------------------------------------------------------------- */

/* One run over a link of so many megahertz. */
static void run_paced(struct rig *rig, int64_t mhz)
{
	int fd = example_open("upper");
	struct card_run run = rig_run(rig, fd, 1);
	int64_t start = clock_mono_ns();

	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), 0);
	/* Never faster: bits over hertz, and the time to clear. */
	assert_true(clock_mono_ns() - start >= (int64_t)run.size * 8 * 1000 / mhz + 800000);
	assert_int_equal(rig->progress, run.size);
	close(fd);
}

static void the_link_takes_the_time_that_its_clock_says(void **state)
{
	run_paced(*state, 25);
}

/* At a quarter of a second: within 10 ms a busy machine may leave no time for steps. */
static void progress_comes_in_steps(void **state)
{
	struct rig *rig = *state;

	run_paced(rig, 1);
	assert_true(rig->progress_calls >= 20);
}

static void end_the_run(struct rig *rig, uint64_t progress)
{
	uint64_t one = 1;

	if (progress > 8000)
		assert_int_equal(write(rig->cancel_fd, &one, sizeof(one)), sizeof(one));
}

static void a_run_can_be_ended_in_the_middle_and_the_old_image_is_gone(void **state)
{
	struct rig *rig = *state;
	int fd = example_open("regs");
	uint64_t count;

	rig_program(rig, "upper");
	rig->on_progress = end_the_run;

	struct card_run run = rig_run(rig, fd, 1000);

	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), -ECANCELED);
	assert_true(run.touched);
	assert_false(run.kept);
	assert_true(rig->progress < run.size);
	assert_int_equal(rig_status(rig).condition, CARD_FAILED);
	assert_int_equal(sim_backend.endpoints(rig->card, 0), 0);
	close(fd);
	rig->on_progress = NULL;
	assert_int_equal(read(rig->cancel_fd, &count, sizeof(count)), sizeof(count));
	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "x"), 1);
}

static void a_run_past_its_deadline_is_etimedout(void **state)
{
	struct rig *rig = *state;
	int fd = example_open("upper");
	struct card_run run = rig_run(rig, fd, 1);

	run.deadline_ns = clock_mono_ns() + 30 * MS;
	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), -ETIMEDOUT);
	assert_int_equal(rig_status(rig).condition, CARD_FAILED);
	close(fd);
}

static void a_link_that_lies_is_found_by_reading_back(void **state)
{
	struct rig *rig = *state;
	int fd = example_open("upper");
	struct card_run run = rig_run(rig, fd, 1);

	assert_int_equal(sim_backend.accept(rig->card, &run, &rig->why), 0);
	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), 0);
	assert_int_equal(sim_backend.confirm(rig->card, &run, &rig->why), -EIO);
	assert_non_null(strstr(rig->why.text, "DONE is low"));
	assert_int_equal(rig_status(rig).condition, CARD_FAILED);
	assert_string_equal(rig_status(rig).sha256, "");
	close(fd);
}

/* An image with byte `at` changed. */
static int damaged(const char *example, size_t at)
{
	int from = example_open(example), fd = memfd_create("image", MFD_CLOEXEC);
	uint8_t bytes[65536];
	ssize_t n = read(from, bytes, sizeof(bytes));

	assert_true(fd >= 0 && n > (ssize_t)at);
	bytes[at] ^= 4;
	assert_int_equal(write(fd, bytes, (size_t)n), n);
	close(from);
	return fd;
}

static void a_damaged_image_is_refused_by_the_card_itself(void **state)
{
	struct rig *rig = *state;
	int fd = damaged("upper", 9000);
	struct card_run run = rig_run(rig, fd, 1000);
	char got[3] = "";

	rig_program(rig, "upper");
	assert_int_equal(sim_backend.accept(rig->card, &run, &rig->why), -EBADMSG);
	assert_int_equal(rig_tx(rig, "ok"), 2);
	rig_rx(rig, got, 2);
	assert_string_equal(got, "OK");
	/* Whoever does not ask finds out, and has no design any more. */
	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), -EBADMSG);
	assert_int_equal(rig_status(rig).condition, CARD_FAILED);
	close(fd);
}

static void an_image_cut_short_does_not_raise_done(void **state)
{
	struct rig *rig = *state;
	int fd = damaged("upper", 0);
	struct card_run run;

	assert_int_equal(ftruncate(fd, 20000), 0);
	run = rig_run(rig, fd, 1);
	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), -EIO);
	run = rig_run(rig, fd, 2);
	run.size = 30000;
	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), -EIO);
	assert_non_null(strstr(rig->why.text, "20000 of 30000"));
	close(fd);
}

/* --- configuration ---------------------------------------------------------------------- */

static int check(const char *part, unsigned slots, struct card_value value, char *text)
{
	struct card_config config = { .name = "x", .part = part, .slots = slots, .values = &value,
				      .values_len = value.key ? 1 : 0 };
	struct reason why = { 0 };
	int err = sim_backend.check(&config, &why);

	snprintf(text, REASON_MAX, "%s", why.text);
	return err;
}

static void what_is_not_simulated_is_refused_with_a_sentence(void **state)
{
	static const char *const unknown[] = { "gremlins", "true", NULL };
	static const char *const stuck[] = { "stuck-pin", "112=1", NULL };
	static const char *const noisy[] = { "bit-errors", "1000", NULL };
	const struct card_value nothing = { 0 };
	char text[REASON_MAX];

	(void)state;
	assert_int_equal(check("", 0, nothing, text), 0);
	assert_int_equal(check("ice40-hx1k", 0, nothing, text), 0);
	assert_int_equal(check("iCE40-HX8K", 0, nothing, text), 0);
	assert_int_equal(check("iCE40-LP384", 0, nothing, text), 0);
	assert_int_equal(check("xc6slx9", 0, nothing, text), -EINVAL);
	assert_non_null(strstr(text, "iCE40-HX1K"));
	assert_non_null(strstr(text, "iCE40-HX8K"));
	assert_non_null(strstr(text, "Xilinx 7-series"));
	/* Without a fabric there is nothing that these could be about. */
	assert_int_equal(check("xc7a35t", 0, nothing, text), 0);
	assert_int_equal(check("xc7a35t", 2, nothing, text), -EINVAL);
	assert_non_null(strstr(text, "slots: a slot is a fabric, and of xc7a35t"));
	assert_int_equal(check("LFE5U-25F", 0, (struct card_value){ .key = "clock", .text = "demand" }, text),
			 -EINVAL);
	assert_non_null(strstr(text, "clock: of lfe5u-25f only the configuration logic"));
	assert_int_equal(check("5ceba2", 0, (struct card_value){ .key = "board", .text = "stream" }, text),
			 -EINVAL);
	assert_int_equal(check("xc7a35t", 0, (struct card_value){ .key = "faults", .list = stuck, .list_len = 2 },
			       text), -EINVAL);
	assert_non_null(strstr(text, "no fabric that stuck-pin could be about"));
	assert_int_equal(check("xc7a35t", 0, (struct card_value){ .key = "faults", .list = noisy, .list_len = 2 },
			       text), 0);
	assert_int_equal(check("", 4, nothing, text), 0);
	assert_int_equal(check("", 9, nothing, text), -EINVAL);
	assert_non_null(strstr(text, "at most 8"));
	assert_int_equal(check("", 0, (struct card_value){ .key = "faults", .list = stuck, .list_len = 2 },
			       text), 0);
	assert_int_equal(check("", 4, (struct card_value){ .key = "faults", .list = stuck, .list_len = 2 },
			       text), -EINVAL);
	assert_non_null(strstr(text, "of a slot"));
	assert_int_equal(check("", 0, (struct card_value){ .key = "clock", .text = "sundial" }, text),
			 -EINVAL);
	assert_non_null(strstr(text, "demand"));
	assert_int_equal(check("", 0, (struct card_value){ .key = "board", .text = "breadboard" }, text),
			 -EINVAL);
	assert_non_null(strstr(text, "stream icestick"));
	assert_int_equal(check("", 0, (struct card_value){ .key = "board", .text = "icestick" }, text), 0);
	assert_int_equal(check("iCE40-HX8K", 0, (struct card_value){ .key = "board",
								     .text = "icestick" }, text), -EINVAL);
	assert_non_null(strstr(text, "iCE40-HX1K on the board 'icestick'"));
	/* A part that is on one board only needs no name of it. */
	assert_int_equal(check("iCE40-LP8K", 0, nothing, text), 0);
	assert_int_equal(check("iCE40-LP8K", 0, (struct card_value){ .key = "board", .text = "stream" },
			       text), -EINVAL);
	assert_int_equal(check("", 0, (struct card_value){ .key = "baud", .number = 9600 }, text), -EINVAL);
	assert_non_null(strstr(text, "no serial port"));
	assert_int_equal(check("", 0, (struct card_value){ .key = "faults", .list = unknown,
							   .list_len = 2 }, text), -EINVAL);
	assert_non_null(strstr(text, "gremlins"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, done)
		T(the_link_takes_the_time_that_its_clock_says, paced),
		T(progress_comes_in_steps, slow),
		T(a_run_can_be_ended_in_the_middle_and_the_old_image_is_gone, slow),
		T(a_run_past_its_deadline_is_etimedout, slow),
		T(a_link_that_lies_is_found_by_reading_back, lying),
		T(a_damaged_image_is_refused_by_the_card_itself, unlimited),
		T(an_image_cut_short_does_not_raise_done, unlimited),
		cmocka_unit_test(what_is_not_simulated_is_refused_with_a_sentence),
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
