// SPDX-License-Identifier: Apache-2.0
/*
 * Boards that people own (board.h, board_table.h): clock, serial port, lights, buttons.
 *
 * The serial port looks at the line a few times a byte, and the clock runs in strides
 * from one such look to the next; only the start of a byte is waited for by the pin.
 * Time (`now`) goes on with the clock and stands still with it: a stopped clock is a
 * stopped board, the port included, so nothing is lost by it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board_kind.h"
#include "uart.h"

#include <fabricfs/card.h>

#define SEND_BYTES 4096 /* as the USB chips of these boards have */
/* So many bits without a byte end a read that has bytes already. */
#define GAP_BITS   20
#define LOOKS      50   /* a second */

enum { WIRE_CLK, WIRE_RX, WIRE_TX, WIRE_LEDS, WIRE_BUTTONS = WIRE_LEDS + BOARD_LEDS,
       WIRE_PULLUPS = WIRE_BUTTONS + BOARD_BUTTONS, WIRE_COUNT = WIRE_PULLUPS + BOARD_PULLUPS };
_Static_assert(WIRE_COUNT <= BOARD_WIRES, "every pin has a wire");

struct kit {
	struct board board;
	const struct board_row *row;
	unsigned leds, buttons;
	bool pressed[BOARD_BUTTONS];

	struct uart_rate rate;
	struct uart_send send;       /* to the design */
	struct uart_receive receive; /* from it */
	uint64_t now;                /* cycles of the board */
	uint8_t bytes[SEND_BYTES];   /* to be sent, a ring */
	size_t first, queued;
};

static struct kit *kit_of(struct board *b)
{
	return (struct kit *)b;
}

static const struct kit *kit_of_const(const struct board *b)
{
	return (const struct kit *)b;
}

/* --- lights and buttons --------------------------------------------------------------- */

void board_leds_read(const struct board *b, struct buf *out)
{
	const struct kit *k = kit_of_const(b);

	for (unsigned i = 0; i < k->leds; i++) {
		const struct wire *w = &b->wire[WIRE_LEDS + i];
		bool driven = w->stuck >= 0 || fabric_pin_driven(b->f, w->pin);

		buf_addf(out, "%s %d\n", k->row->leds[i].name,
			 driven && wire_high(b, WIRE_LEDS + i) != k->row->leds[i].low);
	}
}

void board_buttons_read(const struct board *b, struct buf *out)
{
	const struct kit *k = kit_of_const(b);

	for (unsigned i = 0; i < k->buttons; i++)
		buf_addf(out, "%s %d\n", k->row->buttons[i].name, k->pressed[i]);
}

int board_buttons_write(struct board *b, const char *text, size_t n)
{
	struct kit *k = kit_of(b);
	const char *end = text + n;
	bool pressed[BOARD_BUTTONS];

	memcpy(pressed, k->pressed, sizeof(pressed));
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((stop ? stop : end) - text);
		unsigned i = 0;

		if (len < 3 || text[len - 2] != ' ' || (text[len - 1] != '0' && text[len - 1] != '1'))
			return -EINVAL;
		while (i < k->buttons && (strlen(k->row->buttons[i].name) != len - 2 ||
					  memcmp(k->row->buttons[i].name, text, len - 2) != 0))
			i++;
		if (i == k->buttons)
			return -EINVAL;
		pressed[i] = text[len - 1] == '1';
		text += len + 1;
	}
	memcpy(k->pressed, pressed, sizeof(pressed));
	for (unsigned i = 0; i < k->buttons; i++)
		wire_drive(b, WIRE_BUTTONS + i, pressed[i] != k->row->buttons[i].low);
	fabric_settle(b->f);
	b->rest = false;
	return 0;
}

uint64_t board_look_cycles(const struct board *b)
{
	return kit_of_const(b)->row->hz / LOOKS;
}

/* --- the serial port -------------------------------------------------------------------- */

static void queue_fill(struct kit *k)
{
	struct board *b = &k->board;

	while (b->taken < b->offered && k->queued < SEND_BYTES)
		k->bytes[(k->first + k->queued++) % SEND_BYTES] = b->offer[b->taken++];
}

/* What the line to the design does now. */
static void line_send(struct kit *k)
{
	struct board *b = &k->board;

	/* A byte that ends may be followed by the next one's start at once. */
	for (;;) {
		if (!k->send.busy && k->queued) {
			uart_send_begin(&k->send, k->now, k->bytes[k->first]);
			k->first = (k->first + 1) % SEND_BYTES;
			k->queued--;
		}
		if (uart_send_due(&k->send, &k->rate) > k->now)
			return;
		wire_drive(b, WIRE_RX, uart_send_step(&k->send));
		if (!k->send.busy) {
			b->count.bytes_in++;
			b->idle = 0;
		}
	}
}

static bool line_level(const struct kit *k)
{
	return wire_high(&k->board, WIRE_TX);
}

/* What the line from the design says now. */
static void line_receive(struct kit *k)
{
	struct board *b = &k->board;
	enum uart_event event = uart_receive_step(&k->receive, &k->rate, k->now, line_level(k));

	if (event == UART_FRAMING)
		b->count.framing++;
	if (event != UART_BYTE)
		return;
	if (!board_queue(b, k->receive.byte))
		b->count.overruns++;
	b->idle = 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void kit_run(struct board *b, uint64_t n, unsigned stop, size_t want)
{
	struct kit *k = kit_of(b);
	bool listens = b->endpoints & CARD_ENDPOINT_BIT(CARD_RX);
	uint64_t gap = k->rate.baud ? uart_halves(&k->rate, 2 * GAP_BITS) : 0;

	while (n && !b->rest) {
		bool all = b->offered && b->taken == b->offered;
		uint64_t ran = n, due = UART_NEVER;

		if (k->rate.baud) {
			queue_fill(k);
			line_send(k);
			due = uart_send_due(&k->send, &k->rate);
		}
		if (listens) {
			line_receive(k);
			due = earlier(due, uart_receive_due(&k->receive, &k->rate));
		}
		if (stop & BOARD_STOP_TAKEN && !all && b->offered && b->taken == b->offered)
			break;
		if (stop & BOARD_STOP_SENT &&
		    (b->waiting >= want || (b->waiting && b->idle > gap)))
			break;
		/* Neither the design nor a line does anything any more. */
		if (due == UART_NEVER && b->taken == b->offered && fabric_quiet(b->f)) {
			b->rest = true;
			break;
		}
		if (due != UART_NEVER)
			ran = earlier(ran, due - k->now);
		/* With nothing due, no further than the design has work: its cycles are counted exactly. */
		if (listens && due == UART_NEVER)
			ran = clock_cycles_busy(b, ran, WIRE_TX, !line_level(k));
		else if (listens && k->receive.state != UART_FRAME)
			ran = clock_cycles_until(b, ran, WIRE_TX, !line_level(k));
		else
			ran = clock_cycles(b, ran);
		k->now += ran;
		b->idle += ran;
		n -= ran;
		if (fabric_costly(b->f))
			break;
	}
}

static void kit_offered(struct board *b, size_t withdrawn)
{
	(void)withdrawn;
	queue_fill(kit_of(b));
}

static bool kit_takes(const struct board *b)
{
	return kit_of_const(b)->queued < SEND_BYTES;
}

static bool kit_busy(const struct board *b)
{
	return kit_of_const(b)->queued || kit_of_const(b)->send.busy;
}

/* The line goes on whether there is room or not; what does not fit is lost. */
static void kit_room(struct board *b)
{
	(void)b;
}

/* --- its life ----------------------------------------------------------------------------- */

static void kit_quiesce(struct board *b)
{
	struct kit *k = kit_of(b);

	k->first = k->queued = 0;
	k->send = (struct uart_send){ 0 };
	k->receive = (struct uart_receive){ .state = UART_IDLE };
	if (k->rate.baud)
		wire_drive(b, WIRE_RX, true);
}

static bool wire_read(const struct board *b, unsigned wire)
{
	enum fabric_dir dir = fabric_pin_dir(b->f, b->wire[wire].pin);

	return dir == FABRIC_PIN_IN || dir == FABRIC_PIN_INOUT;
}

static unsigned kit_wake(struct board *b)
{
	struct kit *k = kit_of(b);
	unsigned endpoints = 0;

	for (unsigned i = 0; i < k->leds; i++)
		if (wire_driven(b, WIRE_LEDS + i))
			endpoints |= CARD_ENDPOINT_BIT(CARD_LEDS);
	for (unsigned i = 0; i < k->buttons; i++)
		if (wire_read(b, WIRE_BUTTONS + i))
			endpoints |= CARD_ENDPOINT_BIT(CARD_BUTTONS);
	if (k->rate.baud && wire_read(b, WIRE_RX))
		endpoints |= CARD_ENDPOINT_BIT(CARD_TX);
	if (k->rate.baud && wire_driven(b, WIRE_TX))
		endpoints |= CARD_ENDPOINT_BIT(CARD_RX);
	return endpoints;
}

static const struct board_kind kit_kind = {
	.quiesce = kit_quiesce,
	.wake = kit_wake,
	.offered = kit_offered,
	.takes = kit_takes,
	.room = kit_room,
	.busy = kit_busy,
	.run = kit_run,
};

int board_kit_new(struct fabric *f, const struct board_row *row, uint64_t baud, struct board **out,
		  struct reason *why)
{
	struct kit *k = calloc(1, sizeof(*k));
	struct board *b;
	int err;

	if (!k)
		return reason_set(why, ENOMEM, "no memory for a board");
	b = &k->board;
	*out = b;
	b->kind = &kit_kind;
	b->name = row->name;
	b->f = f;
	b->clk = WIRE_CLK;
	k->row = row;
	if (row->rx) {
		k->rate = (struct uart_rate){ .hz = row->hz, .baud = baud };
		if (baud < UART_BAUD_MIN || baud > row->hz / UART_CYCLES_MIN)
			return reason_set(why, EINVAL, "baud: the board %s takes %d to %llu, not %llu",
					  row->name, UART_BAUD_MIN,
					  (unsigned long long)(row->hz / UART_CYCLES_MIN),
					  (unsigned long long)baud);
	}
	for (unsigned i = 0; i < WIRE_COUNT; i++)
		board_wire(b, i, NULL, false, false, why);
	err = board_wire(b, WIRE_CLK, row->clock, true, false, why);
	/* The line is high when nobody sends, and the port's own end is pulled up. */
	if (!err && row->rx)
		err = board_wire(b, WIRE_RX, row->rx, true, true, why);
	if (!err && row->tx)
		err = board_wire(b, WIRE_TX, row->tx, false, true, why);
	for (; !err && k->leds < BOARD_LEDS && row->leds[k->leds].name; k->leds++)
		err = board_wire(b, WIRE_LEDS + k->leds, row->leds[k->leds].pin, false,
				 row->leds[k->leds].low, why);
	for (; !err && k->buttons < BOARD_BUTTONS && row->buttons[k->buttons].name; k->buttons++)
		err = board_wire(b, WIRE_BUTTONS + k->buttons, row->buttons[k->buttons].pin, true,
				 row->buttons[k->buttons].low, why);
	for (unsigned i = 0; !err && i < BOARD_PULLUPS && row->pullups[i]; i++)
		err = board_wire(b, WIRE_PULLUPS + i, row->pullups[i], false, true, why);
	return err;
}
