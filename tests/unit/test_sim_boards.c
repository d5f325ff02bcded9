// SPDX-License-Identifier: Apache-2.0
/* Boards that people own: the table, the serial port's lines, lights and buttons. */
#include "sim_fixture.h"

#include <errno.h>

#include "backend/card/sim/board.h"
#include "backend/card/sim/board_table.h"
#include "backend/card/sim/uart.h"

/* --- the lines, without a card --------------------------------------------------------- */

/* Bytes from a sender of one rate to a receiver of another, back to back, cycle by cycle. */
struct heard {
	uint8_t bytes[256];
	unsigned n, framing;
	uint64_t cycles;
};

static struct heard hear(struct uart_rate from, struct uart_rate to, const uint8_t *bytes, unsigned n)
{
	struct uart_send s = { 0 };
	struct uart_receive r = { 0 };
	struct heard h = { 0 };
	bool level = true;
	uint64_t end = UART_NEVER;
	unsigned at = 0;

	for (uint64_t now = 0; now < end; now++) {
		enum uart_event event;

		while (uart_send_due(&s, &from) <= now)
			level = uart_send_step(&s);
		if (!s.busy && at < n) {
			uart_send_begin(&s, now, bytes[at++]);
			level = uart_send_step(&s);
		} else if (!s.busy && end == UART_NEVER) {
			h.cycles = now;
			/* What the receiver still hears of it. */
			end = now + uart_halves(&to, 2 * UART_FRAME_BITS);
		}
		event = uart_receive_step(&r, &to, now, level);
		if (event == UART_BYTE)
			h.bytes[h.n++] = r.byte;
		h.framing += event == UART_FRAMING;
	}
	return h;
}

static void every_byte_crosses_the_line_at_any_rate(void **state)
{
	static const struct uart_rate rates[] = {
		{ 12000000, 115200 }, { 12000000, 9600 }, { 12000000, 3000000 }, { 16000000, 460800 },
		{ 25000000, 115200 }, { 25000000, 921600 }, { 12000000, 300 }, { 12000000, 2999999 },
	};
	uint8_t bytes[256];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)(i * 167 + 3);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		unsigned n = rates[i].baud < 1000 ? 16 : 256;
		struct heard h = hear(rates[i], rates[i], bytes, n);

		assert_int_equal(h.n, n);
		assert_int_equal(h.framing, 0);
		assert_memory_equal(h.bytes, bytes, n);
		/* Ten bits each, to the cycle in which the last one ends. */
		assert_int_equal(h.cycles, n * uart_halves(&rates[i], 20));
	}
}

static void a_rate_that_is_a_little_off_is_understood_and_a_wrong_one_ends(void **state)
{
	const struct uart_rate right = { 12000000, 115200 };
	uint8_t bytes[64];
	struct heard h;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 41 + 7);
	for (int percent = -4; percent <= 4; percent++) {
		const struct uart_rate off = { 12000000, (uint64_t)(115200 + 1152 * percent) };

		/* A sender that is faster than the receiver leaves it no pause after the stop bit; it
		 * follows all the same because it waits for the next edge from the middle of that. */
		h = hear(off, right, bytes, sizeof(bytes));
		assert_int_equal(h.n, sizeof(bytes));
		assert_memory_equal(h.bytes, bytes, sizeof(bytes));
	}
	/* Twice as fast and half as fast: something comes, and not that. */
	h = hear((struct uart_rate){ 12000000, 57600 }, right, bytes, sizeof(bytes));
	assert_true(h.framing > 0);
	h = hear((struct uart_rate){ 12000000, 230400 }, right, bytes, sizeof(bytes));
	assert_true(h.n < sizeof(bytes));
}

static void a_glitch_is_no_byte_and_a_break_is_one_error(void **state)
{
	const struct uart_rate rate = { 12000000, 115200 };
	struct uart_receive r = { 0 };
	unsigned framing = 0;

	(void)state;
	for (uint64_t now = 0; now < 100000; now++) {
		/* Low for 51 cycles: less than half a bit. Then, later, for 40 bits. */
		bool low = now < 51 || (now >= 20000 && now < 24160);
		enum uart_event event = uart_receive_step(&r, &rate, now, !low);

		assert_int_not_equal(event, UART_BYTE);
		framing += event == UART_FRAMING;
		if (event == UART_FRAMING)
			assert_int_equal(r.state, UART_BREAK);
	}
	assert_int_equal(framing, 1);
	assert_int_equal(r.state, UART_IDLE);
}

/* --- the table ----------------------------------------------------------------------------- */

static void every_board_finds_its_pins_and_wires_none_twice(void **state)
{
	struct reason why = { 0 };
	const struct board_row *row;

	(void)state;
	for (size_t i = 0; (row = board_row(i)); i++) {
		const char *pins[64];
		unsigned n = 0;
		struct fabric *f;
		struct board *b;
		struct board_setup setup = { .name = row->name, .baud = 115200 };

		assert_ptr_equal(board_row_find(row->name), row);
		if (fabric_new(row->part, row->package, &f, &why))
			fail_msg("%s: %s", row->name, why.text);
		if (board_new(f, &setup, &b, &why))
			fail_msg("%s: %s", row->name, why.text);
		board_free(b);
		pins[n++] = row->clock;
		assert_int_equal(!row->rx, !row->tx);
		if (row->rx) {
			pins[n++] = row->rx;
			pins[n++] = row->tx;
			setup.baud = row->hz;
			assert_int_equal(board_new(f, &setup, &b, &why), -EINVAL);
			assert_non_null(strstr(why.text, "baud"));
		}
		for (unsigned k = 0; k < BOARD_LEDS && row->leds[k].name; k++)
			pins[n++] = row->leds[k].pin;
		for (unsigned k = 0; k < BOARD_BUTTONS && row->buttons[k].name; k++)
			pins[n++] = row->buttons[k].pin;
		for (unsigned k = 0; k < BOARD_PULLUPS && row->pullups[k]; k++)
			pins[n++] = row->pullups[k];
		for (unsigned k = 0; k < n; k++) {
			assert_true(fabric_pin(f, pins[k]) >= 0);
			for (unsigned j = 0; j < k; j++)
				if (strcmp(pins[j], pins[k]) == 0)
					fail_msg("%s wires pin %s twice", row->name, pins[k]);
		}
		fabric_free(f);
	}
	assert_null(board_row_find("stream"));
}

/* An image that runs on this board by hand, with one bit of it flipped. */
static struct board *board_by_hand(const char *path, struct fabric **f, unsigned bank, unsigned row,
				   unsigned column)
{
	struct board_setup setup = { .name = "stream", .manual = true };
	struct reason why = { 0 };
	struct board *b;
	uint8_t image[40000];
	FILE *file = fopen(path, "re");
	size_t n;

	assert_non_null(file);
	n = fread(image, 1, sizeof(image), file);
	fclose(file);
	assert_int_equal(fabric_new("iCE40-HX1K", NULL, f, &why), 0);
	assert_int_equal(board_new(*f, &setup, &b, &why), 0);
	assert_int_equal(fabric_config_write(*f, image, n, &why), 0);
	board_wake(b);
	assert_int_equal(fabric_upset(*f, bank, row, column, &why), 0);
	return b;
}

static void a_level_that_is_given_is_there_whatever_the_image_pulls_to(void **state)
{
	/* rx_data[0] of the board; the bit is REN of this pad, which pulls it up. */
	const struct stuck_pin low = { .name = "112", .level = 0 };
	struct reason why = { 0 };
	struct fabric *f;
	struct board *b = board_by_hand("contrib/examples/upper/upper.bin", &f, 3, 14, 44);
	int pin = fabric_pin(f, "112");

	(void)state;
	assert_int_equal(fabric_pin_level(f, pin), 1);
	/* A fault and its end leave nothing behind. */
	assert_int_equal(board_stick(b, &low, 1, &why), 0);
	assert_int_equal(fabric_pin_level(f, pin), 0);
	assert_int_equal(board_stick(b, NULL, 0, &why), 0);
	assert_int_equal(fabric_pin_level(f, pin), 1);
	/* The first level that a host gives it may be the one that nobody drove before. */
	assert_int_equal(board_pins_write(b, "112 0\n", 6), 0);
	assert_int_equal(fabric_pin_level(f, pin), 0);
	assert_int_equal(board_pins_write(b, "112 1\n", 6), 0);
	assert_int_equal(fabric_pin_level(f, pin), 1);
	board_free(b);
	fabric_free(f);
}

/* --- with a card --------------------------------------------------------------------------- */

static int rig_board(void **state, const char *board, int64_t baud)
{
	struct rig *rig = rig_new(0, false);

	/* Another card: its process is another one. */
	sim_backend.close(rig->card, true);
	rig->values[rig->config.values_len++] = (struct card_value){ .key = "board", .text = board };
	if (baud)
		rig->values[rig->config.values_len++] = (struct card_value){ .key = "baud", .number = baud };
	rig_open(rig);
	*state = rig;
	return 0;
}

static int icestick(void **state)
{
	return rig_board(state, "icestick", 0);
}

static int icestick_double(void **state)
{
	return rig_board(state, "icestick", 230400);
}

static int go_board(void **state)
{
	return rig_board(state, "go-board", 0);
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

static const char *lines(struct rig *rig, enum card_endpoint endpoint)
{
	static char text[8192];
	int n = io_do(rig, io_make(rig, endpoint, false, text, sizeof(text) - 1));

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static int press(struct rig *rig, const char *text)
{
	return io_do(rig, io_make(rig, CARD_BUTTONS, true, (void *)(uintptr_t)text, strlen(text)));
}

#define HELLO  "contrib/examples/icestick-hello/hello.bin"
#define BANNER "hello from a real design\r\n"

static void a_design_for_the_board_alone_says_hello_and_answers(void **state)
{
	struct rig *rig = *state;
	char got[sizeof(BANNER)] = "";

	assert_string_equal(rig->facts.board, "icestick");
	assert_string_equal(rig->facts.part, "iCE40-HX1K");
	/* A real one has no reset line. */
	assert_int_equal(rig->facts.can & CARD_CAN_RESET, 0);
	rig_program(rig, HELLO);
	assert_int_equal(sim_backend.endpoints(rig->card, 0),
			 CARD_ENDPOINT_BIT(CARD_TX) | CARD_ENDPOINT_BIT(CARD_RX) |
			 CARD_ENDPOINT_BIT(CARD_PINS) | CARD_ENDPOINT_BIT(CARD_LEDS));
	rig_rx(rig, got, sizeof(BANNER) - 1);
	assert_string_equal(got, BANNER);
	assert_string_equal(lines(rig, CARD_LEDS), "D1 0\nD2 0\nD3 0\nD4 0\nD5 0\n");
	assert_int_equal(rig_tx(rig, "hi5"), 3);
	memset(got, 0, sizeof(got));
	rig_rx(rig, got, 3);
	assert_string_equal(got, "hi5");
	assert_string_equal(lines(rig, CARD_LEDS), "D1 1\nD2 0\nD3 1\nD4 0\nD5 1\n");
	assert_int_equal((int)rig_sensor(rig, "uart_framing_errors", CARD_MEASURED), 0);
	assert_int_equal((int)rig_sensor(rig, "bytes_in", CARD_MEASURED), 3);
	assert_int_equal(io_do(rig, io_make(rig, CARD_LEDS, true, got, 3)), -EINVAL);
	assert_int_equal(io_do(rig, io_make(rig, CARD_BUTTONS, false, got, 3)), -ENODEV);
	assert_int_equal(sim_backend.reset(rig->card, 0, &rig->why), -EOPNOTSUPP);
	/* It starts anew with its configuration, as the real one does. */
	rig_program(rig, HELLO);
	rig_rx(rig, got, sizeof(BANNER) - 1);
	assert_string_equal(got, BANNER);
}

static void a_read_that_does_not_wait_ends_when_the_design_is_quiet(void **state)
{
	struct rig *rig = *state;
	char got[256];
	double before;
	int n = 0, part;

	rig_program(rig, HELLO);
	do {
		part = io_do(rig, io_make(rig, CARD_RX, false, got + n, sizeof(got) - (size_t)n));
		assert_true(part >= 0);
		n += part;
	} while (part);
	assert_int_equal(n, sizeof(BANNER) - 1);
	/* A quiet design costs nothing, however often somebody asks. */
	before = rig_sensor(rig, "cycles", CARD_MEASURED);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, 1)), 0);
		lines(rig, CARD_LEDS);
	}
	assert_int_equal((long)rig_sensor(rig, "cycles", CARD_MEASURED), (long)before);
}

static void a_wrong_rate_gives_framing_errors_and_an_end(void **state)
{
	struct rig *rig = *state;
	char got[256];
	int n;

	rig_program(rig, HELLO);
	/* At twice the rate of the design. */
	do {
		n = io_do(rig, io_make(rig, CARD_RX, false, got, sizeof(got)));
		assert_true(n >= 0);
	} while (n);
	assert_true(rig_sensor(rig, "uart_framing_errors", CARD_MEASURED) > 5);
	assert_int_equal(rig_tx(rig, "abc"), 3);
}

static void the_queue_to_the_port_takes_what_fits_and_loses_nothing(void **state)
{
	struct rig *rig = *state;
	static uint8_t sent[6000], got[6000];
	struct io x;

	rig_program(rig, HELLO);
	rig_rx(rig, got, sizeof(BANNER) - 1);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 31 + i / 256);
	x = io_make(rig, CARD_TX, true, sent, sizeof(sent));
	sim_backend.io_submit(rig->card, &x.io);
	rig_rx(rig, got, sizeof(got));
	io_wait(rig, &x);
	assert_int_equal(x.moved, sizeof(sent));
	assert_memory_equal(got, sent, sizeof(sent));
	/* What does not fit is not waited for where that is not wanted. */
	x = io_make(rig, CARD_TX, true, sent, sizeof(sent));
	x.io.nonblock = true;
	sim_backend.io_submit(rig->card, &x.io);
	io_wait(rig, &x);
	assert_true(x.err == 0 && x.moved >= 4096 && x.moved <= sizeof(sent));
	rig_rx(rig, got, x.moved);
	assert_memory_equal(got, sent, x.moved);
}

static void a_look_at_the_lights_runs_a_fiftieth_of_a_second(void **state)
{
	struct rig *rig = *state;
	bool changed = false;
	double before = 0;

	/* Its lights are those of the board; its reset and all else is wired to nothing there. */
	rig_program(rig, "blink");
	assert_int_equal(sim_backend.endpoints(rig->card, 0),
			 CARD_ENDPOINT_BIT(CARD_PINS) | CARD_ENDPOINT_BIT(CARD_LEDS));
	rig_pump(rig, 0);
	for (unsigned look = 0; look < 200 && !changed; look++) {
		const char *text = lines(rig, CARD_LEDS);
		double cycles = rig_sensor(rig, "cycles", CARD_MEASURED);
		unsigned count = (unsigned)((uint64_t)cycles >> 19 & 31), shown = 0;

		assert_true(cycles > before && cycles <= before + 240000 + 4096 + 256);
		for (unsigned i = 0; i < 5; i++)
			shown |= (unsigned)(text[5 * i + 3] == '1') << i;
		/* What ran after the load may have gone on behind the look. */
		if (((uint64_t)cycles & 0x7ffff) > 8192)
			assert_int_equal(shown, count);
		changed = shown != 0;
		before = cycles;
	}
	assert_true(changed);
}

static void buttons_are_pressed_by_name_and_stay_so(void **state)
{
	static const char *const bad[] = {
		"SW5 1\n", "SW1\n", "SW1 2\n", "sw1 1\n", "SW1 1\n\n", "SW1  1\n", "SW2 1\nSW9 1\n", " SW1 1\n",
		"SW1 1 \n", "\n", "SW 1\n", "SW11 1\n",
	};
	struct rig *rig = *state;

	rig_program(rig, "contrib/examples/boards/go-board.bin");
	assert_string_equal(lines(rig, CARD_BUTTONS), "SW1 0\nSW2 0\nSW3 0\nSW4 0\n");
	assert_int_equal(press(rig, "SW2 1\nSW4 1\n"), 12);
	assert_string_equal(lines(rig, CARD_BUTTONS), "SW1 0\nSW2 1\nSW3 0\nSW4 1\n");
	assert_string_equal(lines(rig, CARD_LEDS), "D1 0\nD2 1\nD3 0\nD4 1\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (press(rig, bad[i]) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	assert_string_equal(lines(rig, CARD_BUTTONS), "SW1 0\nSW2 1\nSW3 0\nSW4 1\n");
	/* The finger stays where it is while the chip is configured. */
	rig_program(rig, "contrib/examples/boards/go-board.bin");
	assert_string_equal(lines(rig, CARD_LEDS), "D1 0\nD2 1\nD3 0\nD4 1\n");
	assert_int_equal(press(rig, "SW2 0"), 5);
	assert_string_equal(lines(rig, CARD_LEDS), "D1 0\nD2 0\nD3 0\nD4 1\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_crosses_the_line_at_any_rate),
		cmocka_unit_test(a_rate_that_is_a_little_off_is_understood_and_a_wrong_one_ends),
		cmocka_unit_test(a_glitch_is_no_byte_and_a_break_is_one_error),
		cmocka_unit_test(every_board_finds_its_pins_and_wires_none_twice),
		cmocka_unit_test(a_level_that_is_given_is_there_whatever_the_image_pulls_to),
#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, done)
		T(a_design_for_the_board_alone_says_hello_and_answers, icestick),
		T(a_read_that_does_not_wait_ends_when_the_design_is_quiet, icestick),
		T(a_wrong_rate_gives_framing_errors_and_an_end, icestick_double),
		T(the_queue_to_the_port_takes_what_fits_and_loses_nothing, icestick),
		T(a_look_at_the_lights_runs_a_fiftieth_of_a_second, icestick),
		T(buttons_are_pressed_by_name_and_stay_so, go_board),
#undef T
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
