// SPDX-License-Identifier: Apache-2.0
/* The clock `demand` with a design that is never at rest (tests/data/talker.v). */
#include "sim_fixture.h"

#define TALKER "tests/data/talker.bin"
#define TALK   1
#define TAKE   2

static int talker(void **state)
{
	struct rig *rig = rig_new(0, false);

	rig_program(rig, TALKER);
	*state = rig;
	return 0;
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

static void switches(struct rig *rig, uint16_t value)
{
	assert_int_equal(rig_reg(rig, true, 0, &value), 2);
}

static void a_read_that_does_not_wait_gives_up(void **state)
{
	struct rig *rig = *state;
	int64_t begin = clock_mono_ns();
	char got[4];

	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, sizeof(got))), 0);
	/* It did not give up at once: bytes might have come. 100 ms of the processor's time are no
	 * less of anybody's. */
	assert_true(clock_mono_ns() - begin >= 100000000);
	assert_true(rig_sensor(rig, "cycles", CARD_MEASURED) > 0);
}

static void a_waiting_read_runs_the_clock_until_a_byte_comes(void **state)
{
	struct rig *rig = *state;
	uint8_t got[3];
	double before;

	switches(rig, TALK);
	before = rig_sensor(rig, "cycles", CARD_MEASURED);
	rig_rx(rig, got, sizeof(got));
	for (unsigned i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], i);
	assert_true(rig_sensor(rig, "cycles", CARD_MEASURED) > before + 65536);
}

static void the_clock_stops_when_nobody_wants_it(void **state)
{
	struct rig *rig = *state;
	int64_t deadline = clock_mono_ns() + WAIT_NS;
	struct pollfd never = { .fd = -1 };
	double last = -1, now;

	switches(rig, TALK);
	for (;;) {
		now = rig_sensor(rig, "cycles", CARD_MEASURED);
		if (now == last)
			break;
		last = now;
		assert_true(clock_mono_ns() < deadline);
		/* Long enough that a running clock is seen to run. */
		poll(&never, 1, 20);
	}
}

static void a_register_that_does_not_acknowledge_is_etimedout(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[8];
	struct io x = io_make(rig, CARD_REGS, false, bytes, sizeof(bytes));
	uint16_t value = 0;

	assert_int_equal(rig_reg(rig, false, 0x80, &value), -ETIMEDOUT);
	assert_int_equal(rig_reg(rig, true, 0xff, &value), -ETIMEDOUT);
	/* What came before it is told. */
	x.io.offset = 2 * 0x7e;
	assert_int_equal(io_do(rig, x), 4);
	assert_int_equal(bytes[0], 0x7e);
	assert_int_equal(bytes[2], 0x7f);
	assert_int_equal(rig_reg(rig, false, 0x11, &value), 2);
	assert_int_equal(value, 0x1111);
}

static void a_write_that_may_not_wait_is_eagain_when_the_design_takes_nothing(void **state)
{
	struct rig *rig = *state;
	struct io x = io_make(rig, CARD_TX, true, (char[]){ "abc" }, 3);

	x.io.nonblock = true;
	assert_int_equal(io_do(rig, x), -EAGAIN);
	assert_false(sim_backend.io_ready(rig->card, 0) & CARD_ENDPOINT_BIT(CARD_TX));
	switches(rig, TAKE);
	x.io.id = ++rig->last_id;
	assert_int_equal(io_do(rig, x), 3);
}

static void a_write_waits_for_the_design_while_others_are_served(void **state)
{
	struct rig *rig = *state;
	struct io x = io_make(rig, CARD_TX, true, (char[]){ "abc" }, 3);
	int64_t start;

	sim_backend.io_submit(rig->card, &x.io);
	start = clock_mono_ns();
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(rig_status(rig).condition, CARD_CONFIGURED);
	/* A slice of the clock each at the most; generous, for a busy machine. */
	assert_true(clock_mono_ns() - start < 20 * 100000000ll);
	assert_false(x.ended);
	switches(rig, TAKE);
	io_wait(rig, &x);
	assert_int_equal(x.err, 0);
	assert_int_equal(x.moved, 3);
}

static void what_a_cancelled_write_offered_is_not_taken_later(void **state)
{
	struct rig *rig = *state;
	struct io x = io_make(rig, CARD_TX, true, (char[]){ "abc" }, 3);

	sim_backend.io_submit(rig->card, &x.io);
	assert_int_equal(rig_status(rig).condition, CARD_CONFIGURED);
	sim_backend.io_cancel(rig->card, &x.io);
	io_wait(rig, &x);
	assert_int_equal(x.err, EINTR);
	switches(rig, TAKE);
	assert_true(rig_sensor(rig, "bytes_in", CARD_MEASURED) == 0);
	assert_int_equal(rig_tx(rig, "de"), 2);
	assert_true(rig_sensor(rig, "bytes_in", CARD_MEASURED) == 2);
}

static void reset_starts_the_design_again_and_empties_the_queue(void **state)
{
	struct rig *rig = *state;
	uint8_t got[2];

	switches(rig, TALK);
	rig_rx(rig, got, 2);
	assert_int_equal(got[1], 1);
	assert_int_equal(sim_backend.reset(rig->card, 0, &rig->why), 0);
	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, 2)), 0);
	switches(rig, TALK);
	rig_rx(rig, got, 1);
	assert_int_equal(got[0], 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, talker, done)
		T(a_read_that_does_not_wait_gives_up),
		T(a_waiting_read_runs_the_clock_until_a_byte_comes),
		T(the_clock_stops_when_nobody_wants_it),
		T(a_register_that_does_not_acknowledge_is_etimedout),
		T(a_write_that_may_not_wait_is_eagain_when_the_design_takes_nothing),
		T(a_write_waits_for_the_design_while_others_are_served),
		T(what_a_cancelled_write_offered_is_not_taken_later),
		T(reset_starts_the_design_again_and_empties_the_queue),
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
