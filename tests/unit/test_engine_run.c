// SPDX-License-Identifier: Apache-2.0
/* Cycles, staged inputs, rest and counters, on the committed examples. */
#include "backend/card/sim/engine/fabric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The board of contrib/examples/board-tq144.pcf. */
static const char *const rx_data[] = { "112", "113", "114", "115", "116", "117", "118", "119" };
static const char *const tx_data[] = { "134", "135", "136", "137", "138", "139", "141", "142" };

struct board {
	struct fabric *f;
	int clk, rst, rx_valid, rx_ready, tx_valid, tx_ready;
};

static struct board board_make(const char *path)
{
	static uint8_t image[1 << 16];
	struct reason why = { 0 };
	struct board b = { 0 };
	FILE *file = fopen(path, "re");
	size_t n;

	if (!file)
		fail_msg("%s: run the tests in the top folder", path);
	n = fread(image, 1, sizeof(image), file);
	fclose(file);
	if (fabric_new("iCE40-HX1K", "tq144", &b.f, &why) != 0 ||
	    fabric_config_write(b.f, image, n, &why) != 0)
		fail_msg("%s", why.text);
	assert_true(fabric_done(b.f));
	b.clk = fabric_pin(b.f, "21");
	b.rst = fabric_pin(b.f, "22");
	b.rx_valid = fabric_pin(b.f, "120");
	b.rx_ready = fabric_pin(b.f, "121");
	b.tx_valid = fabric_pin(b.f, "143");
	b.tx_ready = fabric_pin(b.f, "144");
	return b;
}

static void put(struct board *b, unsigned byte)
{
	for (unsigned i = 0; i < 8; i++)
		fabric_pin_set(b->f, fabric_pin(b->f, rx_data[i]), byte >> i & 1);
}

static unsigned get(const struct board *b)
{
	unsigned byte = 0;

	for (unsigned i = 0; i < 8; i++)
		byte |= (unsigned)fabric_pin_level(b->f, fabric_pin(b->f, tx_data[i])) << i;
	return byte;
}

static void bytes_come_out_in_upper_case(void **state)
{
	static const char in[] = "Hello, [world] {42} ~az`";
	static const char want[] = "HELLO, [WORLD] {42} ~AZ`";
	struct board b = board_make("contrib/examples/upper/upper.bin");

	(void)state;
	for (size_t i = 0; i < sizeof(in) - 1; i++) {
		put(&b, (unsigned char)in[i]);
		fabric_pin_set(b.f, b.rx_valid, true);
		fabric_cycle(b.f, b.clk); /* valid appears */
		assert_int_equal(fabric_pin_level(b.f, b.rx_ready), 1);
		fabric_pin_set(b.f, b.rx_valid, false);
		fabric_cycle(b.f, b.clk); /* the byte moved at this edge */
		assert_int_equal(fabric_pin_level(b.f, b.tx_valid), 1);
		assert_int_equal(get(&b), (unsigned char)want[i]);
		assert_int_equal(fabric_pin_level(b.f, b.rx_ready), 0);
		fabric_pin_set(b.f, b.tx_ready, true);
		fabric_cycle(b.f, b.clk); /* ready appears */
		assert_int_equal(fabric_pin_level(b.f, b.tx_valid), 1);
		fabric_pin_set(b.f, b.tx_ready, false);
		fabric_cycle(b.f, b.clk); /* the byte was taken at this edge */
		assert_int_equal(fabric_pin_level(b.f, b.tx_valid), 0);
	}
	fabric_free(b.f);
}

static void staged_level_is_seen_after_the_edge_not_before_it(void **state)
{
	struct board b = board_make("contrib/examples/upper/upper.bin");

	(void)state;
	fabric_pin_set(b.f, b.rx_valid, true);
	assert_int_equal(fabric_pin_level(b.f, b.rx_valid), 0);
	fabric_cycle(b.f, b.clk);
	assert_int_equal(fabric_pin_level(b.f, b.rx_valid), 1);
	assert_int_equal(fabric_pin_level(b.f, b.tx_valid), 0);
	fabric_cycle(b.f, b.clk);
	assert_int_equal(fabric_pin_level(b.f, b.tx_valid), 1);
	fabric_free(b.f);
}

static void settle_passes_a_level_through_without_a_clock(void **state)
{
	struct board b = board_make("contrib/examples/upper/upper.bin");

	(void)state;
	assert_int_equal(fabric_pin_level(b.f, b.rx_ready), 1);
	fabric_pin_set(b.f, b.rst, true);
	assert_int_equal(fabric_pin_level(b.f, b.rx_ready), 1);
	fabric_settle(b.f);
	assert_int_equal(fabric_pin_level(b.f, b.rx_ready), 0);
	fabric_free(b.f);
}

static void idle_design_is_quiet_until_something_is_staged(void **state)
{
	struct board b = board_make("contrib/examples/upper/upper.bin");

	(void)state;
	assert_false(fabric_quiet(b.f));
	fabric_cycle(b.f, b.clk);
	assert_true(fabric_quiet(b.f));
	fabric_pin_set(b.f, b.rx_valid, true);
	assert_false(fabric_quiet(b.f));
	fabric_cycle(b.f, b.clk);
	assert_false(fabric_quiet(b.f));
	/* one byte moves, then the way out is blocked */
	fabric_cycle(b.f, b.clk);
	assert_false(fabric_quiet(b.f));
	fabric_cycle(b.f, b.clk);
	assert_true(fabric_quiet(b.f));
	fabric_free(b.f);
}

static void counting_design_is_never_quiet(void **state)
{
	struct board b = board_make("contrib/examples/blink/blink.bin");

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		fabric_cycle(b.f, b.clk);
		assert_false(fabric_quiet(b.f));
	}
	/* with the clock stopped and reset held it is */
	fabric_pin_set(b.f, b.rst, true);
	fabric_cycles(b.f, b.clk, 3);
	assert_true(fabric_quiet(b.f));
	fabric_free(b.f);
}

static void a_billion_idle_cycles_are_counted_and_cost_nothing(void **state)
{
	struct board b = board_make("contrib/examples/upper/upper.bin");
	struct fabric_counters c;

	(void)state;
	fabric_cycles(b.f, b.clk, 1000000000);
	assert_int_equal(fabric_cycles_until(b.f, b.clk, 1000000000, b.tx_valid, true), 1000000000);
	fabric_counters(b.f, &c);
	assert_int_equal(c.cycles, 2000000000);
	fabric_free(b.f);
}

static void until_stops_at_the_end_of_the_right_cycle(void **state)
{
	struct board b = board_make("contrib/examples/blink/blink.bin");
	int led = fabric_pin(b.f, "99");

	(void)state;
	assert_int_equal(fabric_cycles_until(b.f, b.clk, 10, led, false), 0);
	assert_int_equal(fabric_cycles_until(b.f, b.clk, 1000, led, true), 1000);
	assert_int_equal(fabric_cycles_until(b.f, b.clk, 1 << 20, led, true), (1 << 19) - 1000);
	assert_int_equal(fabric_cycles_until(b.f, b.clk, 1 << 20, led, false), 1 << 19);
	fabric_free(b.f);
}

static void clock_moved_by_hand_is_a_clock_like_any_other(void **state)
{
	struct board a = board_make("contrib/examples/blink/blink.bin");
	struct board b = board_make("contrib/examples/blink/blink.bin");
	struct fabric_counters ca, cb;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		fabric_cycle(a.f, a.clk);
		fabric_pin_set(b.f, b.clk, true);
		fabric_settle(b.f);
		fabric_pin_set(b.f, b.clk, false);
		fabric_settle(b.f);
	}
	fabric_counters(a.f, &ca);
	fabric_counters(b.f, &cb);
	assert_int_equal(ca.toggles, cb.toggles);
	assert_int_equal(ca.cycles, 1000);
	assert_int_equal(cb.cycles, 0);
	/* left high by hand, the next cycle is still one rising edge */
	fabric_pin_set(b.f, b.clk, true);
	fabric_settle(b.f);
	assert_int_equal(fabric_cycles_until(b.f, b.clk, 1 << 20, fabric_pin(b.f, "99"), true),
			 (1 << 19) - 1001);
	fabric_free(a.f);
	fabric_free(b.f);
}

static void levels_that_the_board_drives_survive_reconfiguration(void **state)
{
	struct board b = board_make("contrib/examples/upper/upper.bin");
	static uint8_t image[1 << 16];
	FILE *file = fopen("contrib/examples/upper/upper.bin", "re");
	size_t n = fread(image, 1, sizeof(image), file);

	(void)state;
	fclose(file);
	fabric_pin_set(b.f, b.rst, true);
	fabric_settle(b.f);
	fabric_config_reset(b.f);
	assert_int_equal(fabric_config_write(b.f, image, n, NULL), 0);
	/* wakes up in reset: ready follows rst at once */
	assert_int_equal(fabric_pin_level(b.f, b.rx_ready), 0);
	fabric_free(b.f);
}

static void resources_say_what_the_image_uses(void **state)
{
	struct board b = board_make("contrib/examples/regs/regs.bin");
	struct fabric_resources r;

	(void)state;
	fabric_resources(b.f, &r);
	assert_int_equal(r.rams, 1);
	assert_int_equal(r.pins_in, 28);  /* clk rst addr we re wdata */
	assert_int_equal(r.pins_out, 18); /* rdata ack irq */
	assert_int_equal(r.clock_domains, 1);
	assert_int_equal(r.loops, 0);
	assert_int_equal(r.total_luts, 1280);
	assert_int_equal(r.total_rams, 16);
	assert_int_equal(r.total_pins, 96);
	assert_in_range(r.dffs, 100, 160);
	assert_in_range(r.lut_levels, 2, 20);
	fabric_config_reset(b.f);
	fabric_resources(b.f, &r);
	assert_int_equal(r.dffs, 0);
	assert_int_equal(r.total_luts, 1280);
	fabric_free(b.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_out_in_upper_case),
		cmocka_unit_test(staged_level_is_seen_after_the_edge_not_before_it),
		cmocka_unit_test(settle_passes_a_level_through_without_a_clock),
		cmocka_unit_test(idle_design_is_quiet_until_something_is_staged),
		cmocka_unit_test(counting_design_is_never_quiet),
		cmocka_unit_test(a_billion_idle_cycles_are_counted_and_cost_nothing),
		cmocka_unit_test(until_stops_at_the_end_of_the_right_cycle),
		cmocka_unit_test(clock_moved_by_hand_is_a_clock_like_any_other),
		cmocka_unit_test(levels_that_the_board_drives_survive_reconfiguration),
		cmocka_unit_test(resources_say_what_the_image_uses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
