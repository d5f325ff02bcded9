// SPDX-License-Identifier: Apache-2.0
/*
 * What every board has (board.h): wires to pins, faults of them, the queue of what the
 * design has sent, what the user offers, and io/pins.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board_kind.h"

#include <fabricfs/card.h>

/* Bring to the pin what the wire has. */
static void wire_apply(struct board *b, const struct wire *w)
{
	if (w->stuck >= 0 || w->driven)
		fabric_pin_set(b->f, w->pin, w->stuck >= 0 ? w->stuck : w->level);
	else
		fabric_pin_release(b->f, w->pin);
}

int board_new(struct fabric *f, const struct board_setup *setup, struct board **out,
	      struct reason *why)
{
	const struct board_row *row = board_row_find(setup->name);
	struct board *b = NULL;
	int err;

	if (row)
		err = board_kit_new(f, row, setup->baud, &b, why);
	else if (strcmp(setup->name, "stream") == 0)
		err = board_stream_new(f, &b, why);
	else
		err = reason_set(why, ENODEV, "there is no board '%s'", setup->name);
	if (err) {
		board_free(b);
		return err;
	}
	b->manual = setup->manual;
	/* By hand too it is this pin's edges that time passes with. */
	fabric_clock(f, b->wire[b->clk].pin, row ? (unsigned)row->hz : FABRIC_CLOCK_HZ);
	/* then only what rests high is there from the start */
	for (unsigned i = 0; b->manual && i < b->wires; i++)
		if (b->wire[i].own && !b->wire[i].level) {
			b->wire[i].driven = false;
			wire_apply(b, &b->wire[i]);
		}
	*out = b;
	return 0;
}

void board_free(struct board *b)
{
	if (b)
		free(b->queue);
	free(b);
}

int board_wire(struct board *b, unsigned wire, const char *name, bool own, bool level,
	       struct reason *why)
{
	struct wire *w = &b->wire[wire];

	*w = (struct wire){ .pin = name ? fabric_pin(b->f, name) : -1, .own = own,
			    .driven = own || level, .level = level, .stuck = -1 };
	if (name && w->pin < 0)
		return reason_set(why, ENODEV, "the board %s needs pin %s, which %s in %s has not",
				  b->name, name, fabric_part(b->f), fabric_package(b->f));
	wire_apply(b, w);
	if (wire >= b->wires)
		b->wires = wire + 1;
	return 0;
}

bool wire_high(const struct board *b, unsigned wire)
{
	const struct wire *w = &b->wire[wire];

	return w->stuck >= 0 ? w->stuck : fabric_pin_level(b->f, w->pin) > 0;
}

bool wire_driven(const struct board *b, unsigned wire)
{
	enum fabric_dir dir = fabric_pin_dir(b->f, b->wire[wire].pin);

	return dir == FABRIC_PIN_OUT || dir == FABRIC_PIN_INOUT;
}

bool wire_drive(struct board *b, unsigned wire, bool level)
{
	struct wire *w = &b->wire[wire];

	if (w->driven && w->level == level)
		return false;
	w->driven = true;
	w->level = level;
	wire_apply(b, w);
	return true;
}

uint64_t clock_cycles(struct board *b, uint64_t n)
{
	if (b->wire[b->clk].stuck < 0)
		return fabric_cycles_until(b->f, b->wire[b->clk].pin, n, -1, false);
	fabric_settle(b->f);
	return n;
}

uint64_t clock_cycles_until(struct board *b, uint64_t n, unsigned wire, bool level)
{
	uint64_t ran;

	if (b->wire[b->clk].stuck >= 0 || b->wire[wire].stuck >= 0)
		return clock_cycles(b, n);
	ran = fabric_cycles_until(b->f, b->wire[b->clk].pin, n, b->wire[wire].pin, level);
	if (!ran) {
		fabric_cycle(b->f, b->wire[b->clk].pin);
		ran = 1;
	}
	return ran;
}

uint64_t clock_cycles_busy(struct board *b, uint64_t n, unsigned wire, bool level)
{
	if (b->wire[b->clk].stuck >= 0 || b->wire[wire].stuck >= 0)
		return clock_cycles(b, n);
	return fabric_cycles_busy(b->f, b->wire[b->clk].pin, n, b->wire[wire].pin, level);
}

int board_stick(struct board *b, const struct stuck_pin *pins, unsigned n, struct reason *why)
{
	signed char stuck[BOARD_WIRES];

	memset(stuck, -1, sizeof(stuck));
	for (unsigned i = 0; i < n; i++) {
		int at = fabric_pin(b->f, pins[i].name);
		unsigned wire = 0;

		while (wire < b->wires && (at < 0 || b->wire[wire].pin != at))
			wire++;
		if (wire == b->wires)
			return reason_set(why, EINVAL, "faults: stuck-pin: the board %s wires nothing to "
					  "pin '%s'", b->name, pins[i].name);
		stuck[wire] = pins[i].level;
	}
	for (unsigned i = 0; i < b->wires; i++) {
		struct wire *w = &b->wire[i];

		if (stuck[i] == w->stuck)
			continue;
		w->stuck = stuck[i];
		wire_apply(b, w);
	}
	fabric_settle(b->f);
	b->rest = b->manual;
	return 0;
}

/* --- its life ----------------------------------------------------------------------- */

static void board_quiesce(struct board *b)
{
	b->first = b->waiting = 0;
	b->offer = NULL;
	b->offered = b->taken = 0;
	b->idle = 0;
	b->kind->quiesce(b);
}

void board_off(struct board *b)
{
	if (!b->manual) {
		board_quiesce(b);
		if (b->kind->off)
			b->kind->off(b);
	}
	b->endpoints = 0;
	b->rest = true;
}

bool board_serial(const struct board *b)
{
	return b->kind->busy && !b->manual;
}

bool board_resets(const struct board *b)
{
	return b->kind->reset && !b->manual;
}

void board_reset(struct board *b)
{
	if (!board_resets(b))
		return;
	board_quiesce(b);
	b->kind->reset(b);
	b->rest = false;
}

void board_wake(struct board *b)
{
	b->endpoints = CARD_ENDPOINT_BIT(CARD_PINS);
	if (b->manual)
		return;
	if (!b->queue)
		b->queue = malloc(BOARD_RX_BYTES);
	b->endpoints |= b->kind->wake(b);
	if (!b->queue)
		b->endpoints &= ~CARD_ENDPOINT_BIT(CARD_RX);
	board_reset(b);
	b->rest = false;
}

unsigned board_endpoints(const struct board *b)
{
	return b->endpoints;
}

unsigned board_ready(const struct board *b)
{
	const unsigned streams = CARD_ENDPOINT_BIT(CARD_TX) | CARD_ENDPOINT_BIT(CARD_RX);
	unsigned ready = b->endpoints & ~streams;

	if (b->waiting)
		ready |= CARD_ENDPOINT_BIT(CARD_RX);
	if (!b->offered && b->kind->takes(b))
		ready |= b->endpoints & CARD_ENDPOINT_BIT(CARD_TX);
	return ready;
}

void board_offer(struct board *b, const uint8_t *bytes, size_t n)
{
	size_t withdrawn = b->offered - b->taken;

	b->offer = bytes;
	b->offered = n;
	b->taken = 0;
	b->rest = false;
	b->idle = 0;
	b->kind->offered(b, n ? 0 : withdrawn);
}

size_t board_taken(const struct board *b)
{
	return b->taken;
}

size_t board_waiting(const struct board *b)
{
	return b->waiting;
}

bool board_queue(struct board *b, uint8_t byte)
{
	if (b->waiting == BOARD_RX_BYTES)
		return false;
	b->queue[(b->first + b->waiting) % BOARD_RX_BYTES] = byte;
	b->waiting++;
	b->count.bytes_out++;
	return true;
}

size_t board_take(struct board *b, uint8_t *bytes, size_t n)
{
	size_t moved = n < b->waiting ? n : b->waiting;

	for (size_t i = 0; i < moved; i++)
		bytes[i] = b->queue[(b->first + i) % BOARD_RX_BYTES];
	b->first = (b->first + moved) % BOARD_RX_BYTES;
	b->waiting -= moved;
	if (moved)
		b->kind->room(b);
	return moved;
}

uint64_t board_idle_cycles(const struct board *b)
{
	return b->idle;
}

bool board_at_rest(const struct board *b)
{
	return b->rest;
}

bool board_busy(const struct board *b)
{
	return board_serial(b) && b->kind->busy(b);
}

void board_run(struct board *b, uint64_t n, unsigned stop, size_t want)
{
	if (!b->manual)
		b->kind->run(b, n, stop, want);
}

/* --- the pins of the package ------------------------------------------------------- */

/* Which wire of the board goes there, b->wires = none. */
static unsigned pin_wired(const struct board *b, int pin)
{
	unsigned i = 0;

	while (i < b->wires && b->wire[i].pin != pin)
		i++;
	return i;
}

void board_pins_read(const struct board *b, struct buf *out)
{
	for (int pin = 0; pin < (int)fabric_pins(b->f); pin++) {
		unsigned wired = pin_wired(b, pin);
		bool level = wired < b->wires ? wire_high(b, wired) : fabric_pin_level(b->f, pin) > 0;
		bool driven = fabric_pin_driven(b->f, pin);
		enum fabric_dir dir = fabric_pin_dir(b->f, pin);

		if (dir == FABRIC_PIN_INOUT)
			dir = driven ? FABRIC_PIN_OUT : FABRIC_PIN_IN;
		buf_addf(out, "%s %s %s\n", fabric_pin_name(b->f, pin),
			 dir == FABRIC_PIN_IN ? "in" : dir == FABRIC_PIN_OUT ? "out" : "off",
			 dir == FABRIC_PIN_OFF || (dir == FABRIC_PIN_OUT && !driven) ? "z"
			 : level ? "1" : "0");
	}
}

/* Take a line `PIN 0|1` apart. 0 or -errno as board_pins_write(). */
static int pin_line(const struct board *b, const char *line, size_t len, int *pin, bool *level)
{
	char name[16];

	if (len < 3 || len - 2 >= sizeof(name) || line[len - 2] != ' ' ||
	    (line[len - 1] != '0' && line[len - 1] != '1') || memchr(line, '\0', len))
		return -EINVAL;
	memcpy(name, line, len - 2);
	name[len - 2] = '\0';
	*pin = fabric_pin(b->f, name);
	*level = line[len - 1] == '1';
	if (*pin < 0 || fabric_pin_dir(b->f, *pin) == FABRIC_PIN_OUT)
		return -EINVAL;

	unsigned wired = pin_wired(b, *pin);

	if (!b->manual && wired < b->wires && b->wire[wired].own)
		return -EBUSY;
	return 0;
}

int board_pins_write(struct board *b, const char *text, size_t n)
{
	const char *end = text + n;

	/* First see that all of it is right. */
	for (int drive = 0; drive < 2; drive++) {
		const char *line = text;

		while (line < end) {
			const char *stop = memchr(line, '\n', (size_t)(end - line));
			size_t len = (size_t)((stop ? stop : end) - line);
			bool level;
			int pin, err = pin_line(b, line, len, &pin, &level);

			if (err)
				return err;
			unsigned wired = pin_wired(b, pin);

			if (drive && wired < b->wires)
				wire_drive(b, wired, level);
			else if (drive)
				fabric_pin_set(b->f, pin, level);
			line += len + 1;
		}
	}
	fabric_settle(b->f);
	b->rest = b->manual;
	return 0;
}

void board_counters(const struct board *b, struct board_counters *out)
{
	*out = b->count;
}
