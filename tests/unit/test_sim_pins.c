// SPDX-License-Identifier: Apache-2.0
/* Pins of a simulated card by name, and its clocks: on demand, none, and at a rate. */
#include "sim_fixture.h"

#include <errno.h>

static int demand(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

static int rig_clocked(void **state, const char *clock)
{
	struct rig *rig = rig_new(0, false);

	/* Another card: its process is another one. */
	sim_backend.close(rig->card, true);
	rig->values[rig->config.values_len++] = (struct card_value){ .key = "clock", .text = clock };
	rig_open(rig);
	*state = rig;
	return 0;
}

static int manual(void **state)
{
	return rig_clocked(state, "manual");
}

static int fast(void **state)
{
	return rig_clocked(state, "100000");
}

static int slow(void **state)
{
	return rig_clocked(state, "20");
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

static int pins_set(struct rig *rig, const char *lines)
{
	return io_do(rig, io_make(rig, CARD_PINS, true, (void *)(uintptr_t)lines, strlen(lines)));
}

/* All of io/pins. */
static const char *pins(struct rig *rig)
{
	static char text[8192];
	int n = io_do(rig, io_make(rig, CARD_PINS, false, text, sizeof(text) - 1));

	assert_true(n > 0);
	text[n] = '\0';
	return text;
}

static bool pins_have(struct rig *rig, const char *line)
{
	const char *at = strstr(pins(rig), line);

	return at && (at[-1] == '\n' || at == pins(rig)) && at[strlen(line)] == '\n';
}

static void clock_edge(struct rig *rig)
{
	assert_int_equal(pins_set(rig, "21 1\n"), 5);
	assert_int_equal(pins_set(rig, "21 0\n"), 5);
}

static unsigned tx_data(struct rig *rig)
{
	static const char *const names[] = { "134", "135", "136", "137", "138", "139", "141", "142" };
	const char *text = pins(rig);
	unsigned value = 0;

	for (unsigned i = 0; i < 8; i++) {
		char line[32];

		snprintf(line, sizeof(line), "\n%s out ", names[i]);

		const char *at = strstr(text, line);

		assert_non_null(at);
		value |= (unsigned)(at[strlen(line)] == '1') << i;
	}
	return value;
}

static void a_byte_goes_through_a_design_that_is_clocked_by_hand(void **state)
{
	struct rig *rig = *state;
	unsigned cycles = 0;

	rig_program(rig, "upper");
	assert_int_equal(rig->facts.can & CARD_CAN_RESET, 0);
	assert_int_equal(sim_backend.endpoints(rig->card, 0), CARD_ENDPOINT_BIT(CARD_PINS));
	assert_int_equal(rig_tx(rig, "a"), -ENODEV);
	/* Nothing runs by itself. */
	assert_true(pins_have(rig, "21 in 0") && pins_have(rig, "22 in 0"));
	assert_int_equal(pins_set(rig, "22 1"), 4);
	clock_edge(rig);
	clock_edge(rig);
	/* 'a' and valid, all in one write; the design has to be ready for it. */
	assert_int_equal(pins_set(rig, "22 0\n112 1\n113 0\n114 0\n115 0\n116 0\n117 1\n118 1\n119 0\n"
				       "120 1\n144 0\n"), 5 + 8 * 6 + 2 * 6);
	assert_true(pins_have(rig, "121 out 1") && pins_have(rig, "143 out 0"));
	clock_edge(rig);
	assert_int_equal(pins_set(rig, "120 0\n"), 6);
	while (!pins_have(rig, "143 out 1") && cycles++ < 10)
		clock_edge(rig);
	assert_true(pins_have(rig, "143 out 1"));
	assert_int_equal(tx_data(rig), 'A');
	/* It stays until it is taken. */
	clock_edge(rig);
	assert_true(pins_have(rig, "143 out 1"));
	assert_int_equal(pins_set(rig, "144 1\n"), 6);
	clock_edge(rig);
	assert_true(pins_have(rig, "143 out 0"));
}

static void what_is_no_line_for_a_pin_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"22 1\n21", "22 1\n21 2\n", "22 1\n 21 1\n", "22 1\n21  1\n", "22 1\n999 1\n", "22 1\n\n",
		"22 1\n143 1\n" /* an output */, "22 1\nnosuchpinwithaverylongname 1\n", "22 1\n21 1 \n", "22=1\n",
	};
	struct rig *rig = *state;

	rig_program(rig, "upper");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (pins_set(rig, bad[i]) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_true(pins_have(rig, "22 in 0"));
	}
}

static void the_same_write_sent_again_makes_no_second_edge(void **state)
{
	struct rig *rig = *state;
	struct io x = io_make(rig, CARD_PINS, true, (void *)(uintptr_t)"21 1\n", 5);
	struct io again = x;

	rig_program(rig, "upper");
	assert_int_equal(io_do(rig, x), 5);
	assert_int_equal(pins_set(rig, "21 0\n"), 5);
	assert_int_equal(io_do(rig, again), 5);
	assert_true(pins_have(rig, "21 in 0"));
}

static void pins_that_the_board_drives_are_its_own(void **state)
{
	struct rig *rig = *state;
	char got[3] = "";

	rig_program(rig, "upper");
	assert_int_equal(pins_set(rig, "21 1\n"), -EBUSY);
	assert_int_equal(pins_set(rig, "143 1\n"), -EINVAL);
	assert_true(pins_have(rig, "22 in 0") && pins_have(rig, "73 off z"));
	assert_int_equal(rig_tx(rig, "ok"), 2);
	rig_rx(rig, got, 2);
	assert_string_equal(got, "OK");
	assert_true(pins_have(rig, "142 out 0"));
}

static void pins_are_read_in_parts_and_end(void **state)
{
	struct rig *rig = *state;
	char all[8192], part[100];
	size_t n, at = 0;

	rig_program(rig, "upper");
	snprintf(all, sizeof(all), "%s", pins(rig));
	n = strlen(all);
	assert_int_equal(all[n - 1], '\n');
	for (;;) {
		struct io x = io_make(rig, CARD_PINS, false, part, sizeof(part));
		int got;

		x.io.offset = at;
		got = io_do(rig, x);
		if (!got)
			break;
		assert_true(got > 0);
		assert_memory_equal(part, all + at, (size_t)got);
		at += (size_t)got;
	}
	assert_int_equal(at, n);
	/* Every bonded pin has a line. */
	n = 0;
	for (const char *c = all; *c; c++)
		n += *c == '\n';
	assert_true(n >= 90 && n <= 100);
	assert_int_equal(sim_backend.clear(rig->card, 0, &rig->why), 0);
	assert_int_equal(pins_set(rig, "21 1\n"), -ENODEV);
}

/* --- a clock that runs by itself ----------------------------------------------------- */

static double cycles(struct rig *rig)
{
	return rig_sensor(rig, "cycles", CARD_MEASURED);
}

static void a_clock_with_a_rate_runs_in_real_time_and_never_faster(void **state)
{
	struct rig *rig = *state;
	double before, ran = 0;
	int64_t start;

	rig_program(rig, "blink");
	start = clock_mono_ns();
	before = cycles(rig);
	/* A machine with other things to do may take longer, that is all. */
	while (ran < 20000) {
		double most;

		rig_pump(rig, 10);
		ran = cycles(rig) - before;
		most = (double)(clock_mono_ns() - start) * 1e-9 * 100000;
		/* What it was behind by at the start may be made up for: 20 ms. */
		assert_true(ran <= most + 2000 + 64);
		assert_true(clock_mono_ns() - start < WAIT_NS);
	}
}

static void a_design_answers_on_a_clock_with_a_rate(void **state)
{
	struct rig *rig = *state;
	char got[6] = "";
	uint16_t value = 0;

	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "hello"), 5);
	rig_rx(rig, got, 5);
	assert_string_equal(got, "HELLO");
	/* Nothing comes any more, and a read that does not wait says so. */
	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, 1)), 0);
	rig_program(rig, "regs");
	value = 0x1234;
	assert_int_equal(rig_reg(rig, true, 5, &value), 2);
	value = 0;
	assert_int_equal(rig_reg(rig, false, 5, &value), 2);
	assert_int_equal(value, 0x1234);
}

static void a_clock_as_slow_as_a_light_ticks_too(void **state)
{
	struct rig *rig = *state;
	int64_t start = clock_mono_ns();
	double before;

	rig_program(rig, "blink");
	before = cycles(rig);
	while (cycles(rig) - before < 4) {
		rig_pump(rig, 20);
		assert_true(clock_mono_ns() - start < WAIT_NS);
	}
	/* Three whole periods lie between the first of four edges and the last. */
	assert_true(clock_mono_ns() - start >= 150000000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, done)
		T(a_byte_goes_through_a_design_that_is_clocked_by_hand, manual),
		T(what_is_no_line_for_a_pin_is_refused_and_changes_nothing, manual),
		T(the_same_write_sent_again_makes_no_second_edge, manual),
		T(pins_that_the_board_drives_are_its_own, demand),
		T(pins_are_read_in_parts_and_end, demand),
		T(a_clock_with_a_rate_runs_in_real_time_and_never_faster, fast),
		T(a_design_answers_on_a_clock_with_a_rate, fast),
		T(a_design_answers_on_a_clock_with_a_rate, slow),
		T(a_clock_as_slow_as_a_light_ticks_too, slow),
#undef T
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
