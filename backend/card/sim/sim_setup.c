// SPDX-License-Identifier: Apache-2.0
/* What the configuration says of a simulated card (sim_setup.h). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "sim_setup.h"
#include "uart.h"

#include <fabricfs/buf.h>

#define DEFAULT_HZ 25000000
#define DEFAULT_BAUD 115200
#define RATE_MAX   275000000 /* of a clock: the global buffers of an HX (data sheet, f_MAX_GBUF) */

#define STREAMS (CARD_ENDPOINT_BIT(CARD_TX) | CARD_ENDPOINT_BIT(CARD_RX))

/* What is on the board "stream". A row more needs its database and its wiring. */
static const struct {
	const char *part;
	unsigned endpoints; /* what its board is wired for */
} parts[] = {
	{ "iCE40-HX1K", STREAMS | CARD_ENDPOINT_BIT(CARD_REGS) },
	{ "iCE40-HX8K", STREAMS },
	{ "iCE40-LP384", STREAMS },
	{ "iCE40-UP5K", STREAMS },
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

int sim_fault_fits(const struct card_config *config, int slot, const char *name, struct reason *why)
{
	bool pins = !strcmp(name, "stuck-pin") || !strcmp(name, "upset");
	bool warm = !strcmp(name, "over-temperature") || !strcmp(name, "stuck-sensor");
	bool whole = warm || !strcmp(name, "unplug");
	struct logic_facts logic;

	if ((pins || warm) && logic_find(config->part, &logic))
		return reason_set(why, EINVAL, "faults: of %s only the configuration logic is simulated, it has no "
				  "fabric that %s could be about", logic.part, name);
	if (config->slots && slot < 0 && pins)
		return reason_set(why, EINVAL, "faults: of a card with slots, %s is an attribute of a slot",
				  name);
	if (slot >= 0 && whole)
		return reason_set(why, EINVAL, "faults: %s is of the card, and not of a slot", name);
	return 0;
}

int sim_parse_faults(const struct card_config *config, struct faults *f, struct reason *why)
{
	const struct card_value *value = card_config_get(config, "faults");
	int err = 0;

	for (size_t i = 0; !err && value && i + 1 < value->list_len; i += 2) {
		err = sim_fault_fits(config, -1, value->list[i], why);
		err = err ? err : faults_set(f, value->list[i], value->list[i + 1], why);
	}
	return err;
}

/* Decimal digits, within what a clock on these boards may have. */
static bool rate_get(const char *text, uint64_t *hz)
{
	*hz = 0;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || *hz > RATE_MAX)
			return false;
		*hz = *hz * 10 + (uint64_t)(*c - '0');
	}
	return *hz && *hz <= RATE_MAX;
}

static int choose(const char *part, const char *board, struct sim_choice *c, struct reason *why)
{
	struct buf list CLEANUP_BUF = BUF_INIT;

	*c = (struct sim_choice){ .board = "stream" };
	if (board && strcmp(board, "stream") != 0) {
		c->row = board_row_find(board);
		for (size_t i = 0; !c->row && board_row(i); i++)
			buf_addf(&list, " %s", board_row(i)->name);
		if (!c->row)
			return reason_set(why, EINVAL, "board: '%s' is not simulated, these are: stream%s",
					  board, list.data ? list.data : "");
	}
	for (size_t i = 0; !c->row && i < PARTS; i++)
		if (!part[0] || strcasecmp(part, parts[i].part) == 0) {
			c->part = parts[i].part;
			c->endpoints = parts[i].endpoints;
			return 0;
		}
	/* A part that is on one of the boards only. */
	for (size_t i = 0; !c->row && !board && board_row(i); i++)
		if (strcasecmp(part, board_row(i)->part) == 0)
			c->row = board_row(i);
	if (!c->row) {
		for (size_t i = 0; i < PARTS; i++)
			buf_addf(&list, " %s", parts[i].part);
		return reason_set(why, EINVAL, "part '%s' is not simulated%s, these are:%s; and without a "
				  "fabric: %s", part, board ? " on the board 'stream'" : "",
				  list.data ? list.data : "", logic_families());
	}
	if (part[0] && strcasecmp(part, c->row->part) != 0)
		return reason_set(why, EINVAL, "board: there is %s on the board '%s', not %s",
				  c->row->part, c->row->name, part);
	c->part = c->row->part;
	c->board = c->row->name;
	c->endpoints = (c->row->rx ? STREAMS : 0) |
		       (c->row->leds[0].name ? CARD_ENDPOINT_BIT(CARD_LEDS) : 0) |
		       (c->row->buttons[0].name ? CARD_ENDPOINT_BIT(CARD_BUTTONS) : 0);
	return 0;
}

static int baud_get(const struct card_value *baud, const struct sim_choice *c, uint64_t *out,
		    struct reason *why)
{
	*out = DEFAULT_BAUD;
	if (!baud)
		return 0;
	if (!c->row || !c->row->rx)
		return reason_set(why, EINVAL, "baud: the board '%s' has no serial port", c->board);
	*out = (uint64_t)baud->number;
	if (*out < UART_BAUD_MIN || *out > c->row->hz / UART_CYCLES_MIN)
		return reason_set(why, EINVAL, "baud: the board '%s' takes %d to %" PRIu64 ", not %" PRIu64,
				  c->board, UART_BAUD_MIN, c->row->hz / UART_CYCLES_MIN, *out);
	return 0;
}

/* A part of which there is the configuration logic only: what needs a fabric is refused by name. */
static int parse_logic(const struct card_config *config, struct client_setup *setup, struct sim_choice *c,
		       struct reason *why)
{
	static const char *const keys[] = { "clock", "board", "baud" };
	const struct card_value *hz = card_config_get(config, "config_clock_hz");

	c->is_logic = true;
	c->part = c->logic.part;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (card_config_get(config, keys[i]))
			return reason_set(why, EINVAL, "%s: of %s only the configuration logic is simulated, no "
					  "fabric and no board around it", keys[i], c->part);
	if (config->slots)
		return reason_set(why, EINVAL, "slots: a slot is a fabric, and of %s only the configuration logic "
				  "is simulated", c->part);
	text_copy(setup->part, sizeof(setup->part), c->part);
	setup->hz = hz ? (uint64_t)hz->number : DEFAULT_HZ;
	return sim_parse_faults(config, &setup->faults, why);
}

int sim_parse(const struct card_config *config, struct client_setup *setup, struct sim_choice *c,
		 struct reason *why)
{
	const struct card_value *clock = card_config_get(config, "clock");
	const struct card_value *hz = card_config_get(config, "config_clock_hz");
	const struct card_value *board = card_config_get(config, "board");
	int err;

	*c = (struct sim_choice){ .board = "" };
	if (logic_find(config->part, &c->logic))
		return parse_logic(config, setup, c, why);
	err = choose(config->part, board ? board->text : NULL, c, why);
	if (err)
		return err;
	if (config->slots > SIM_SLOTS_MAX)
		return reason_set(why, EINVAL, "slots: a simulated card has at most %d, not %u",
				  SIM_SLOTS_MAX, config->slots);
	setup->slots = config->slots;
	setup->manual = clock && strcmp(clock->text, "manual") == 0;
	if (clock && !setup->manual && strcmp(clock->text, "demand") != 0 &&
	    !rate_get(clock->text, &setup->rate_hz))
		return reason_set(why, EINVAL, "clock: a simulated card runs on 'demand', 'manual' or a rate "
				  "from 1 to %d Hz, '%s' is not offered", RATE_MAX, clock->text);
	err = baud_get(card_config_get(config, "baud"), c, &setup->baud, why);
	if (err)
		return err;
	text_copy(setup->part, sizeof(setup->part), c->part);
	text_copy(setup->board, sizeof(setup->board), c->board);
	setup->hz = hz ? (uint64_t)hz->number : DEFAULT_HZ;
	return sim_parse_faults(config, &setup->faults, why);
}
