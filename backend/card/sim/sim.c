// SPDX-License-Identifier: Apache-2.0
/*
 * The backend `sim`: a simulated card, reached over its configuration port and
 * its board like any other. The card itself is a process (process.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board_table.h"
#include "client.h"
#include "process.h"
#include "sim.h"
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

static const struct card_key sim_keys[] = {
	{ "clock", CARD_KEY_TEXT },
	{ "config_clock_hz", CARD_KEY_INTEGER },
	{ "faults", CARD_KEY_MAP },
	{ "board", CARD_KEY_TEXT },
	{ "baud", CARD_KEY_INTEGER },
	{ NULL, CARD_KEY_TEXT },
};

struct sim {
	struct client *client;
	const struct card_host *host; /* outlives it; says which slot, if it is one */
	unsigned slots;
	bool serial; /* its board has a serial port */
};

/* Is this fault one of a card (slot -1), or of a slot? */
static int fault_fits(const struct card_config *config, int slot, const char *name, struct reason *why)
{
	bool pins = !strcmp(name, "stuck-pin") || !strcmp(name, "upset");
	bool whole = !strcmp(name, "unplug") || !strcmp(name, "over-temperature") ||
		     !strcmp(name, "stuck-sensor");

	if (config->slots && slot < 0 && pins)
		return reason_set(why, EINVAL, "faults: of a card with slots, %s is an attribute of a slot",
				  name);
	if (slot >= 0 && whole)
		return reason_set(why, EINVAL, "faults: %s is of the card, and not of a slot", name);
	return 0;
}

static int parse_faults(const struct card_config *config, struct faults *f, struct reason *why)
{
	const struct card_value *value = card_config_get(config, "faults");
	int err = 0;

	for (size_t i = 0; !err && value && i + 1 < value->list_len; i += 2) {
		err = fault_fits(config, -1, value->list[i], why);
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

/* What the words part and board mean together. */
struct choice {
	const char *part, *board;
	const struct board_row *row; /* NULL: the board "stream" */
	unsigned endpoints;
};

static int choose(const char *part, const char *board, struct choice *c, struct reason *why)
{
	struct buf list CLEANUP_BUF = BUF_INIT;

	*c = (struct choice){ .board = "stream" };
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
		return reason_set(why, EINVAL, "part '%s' is not simulated%s, these are:%s", part,
				  board ? " on the board 'stream'" : "", list.data ? list.data : "");
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

static int baud_get(const struct card_value *baud, const struct choice *c, uint64_t *out,
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

static int parse(const struct card_config *config, struct client_setup *setup, struct choice *c,
		 struct reason *why)
{
	const struct card_value *clock = card_config_get(config, "clock");
	const struct card_value *hz = card_config_get(config, "config_clock_hz");
	const struct card_value *board = card_config_get(config, "board");
	int err = choose(config->part, board ? board->text : NULL, c, why);

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
	return parse_faults(config, &setup->faults, why);
}

static int sim_check(const struct card_config *config, struct reason *why)
{
	struct client_setup setup = { 0 };
	struct choice c;

	return parse(config, &setup, &c, why);
}

/* What the run folder has of this mount, else what the configuration says. */
static int faults_now(const struct card_config *config, const struct card_host *host,
		      struct faults *f, struct reason *why)
{
	int err;

	if (host->fresh)
		faults_forget(host);
	err = faults_load(f, host, why);
	if (err != -ENOENT)
		return err;
	*f = (struct faults){ 0 };
	/* What is configured is the card's. */
	return host->slot < 0 ? parse_faults(config, f, why) : 0;
}

static int sim_open(const struct card_config *config, const struct card_host *host, void **card,
		    struct card_facts *facts, struct reason *why)
{
	struct client_setup setup = { .host = host };
	struct sim *sim;
	struct choice c;
	int err = parse(config, &setup, &c, why);

	if (err)
		return err;
	err = faults_now(config, host, &setup.faults, why);
	if (err)
		return err;
	if (setup.faults.unplug)
		return reason_set(why, ENODEV, "the card is unplugged (fault unplug)");
	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return reason_set(why, ENOMEM, "no memory for a simulated card");
	err = client_open(&setup, &sim->client, why);
	if (err) {
		free(sim);
		return err;
	}
	*facts = (struct card_facts){
		.vendor = "fabricfs",
		.formats = "ice40",
		.execution = "simulated",
		/* Where every pin is the user's, so is the reset line; and boards that people own
		 * have none. */
		.can = CARD_CAN_CLEAR | CARD_CAN_READBACK |
		       (setup.manual || c.row ? 0 : CARD_CAN_RESET),
		.endpoints = CARD_ENDPOINT_BIT(CARD_PINS) | (setup.manual ? 0 : c.endpoints),
		.image_max = PROCESS_IMAGE_MAX,
		.restore = true,
	};
	text_copy(facts->part, sizeof(facts->part), c.part);
	text_copy(facts->board, sizeof(facts->board), c.board);
	text_copy(facts->serial, sizeof(facts->serial), config->name);
	sim->host = host;
	sim->serial = c.row && c.row->rx && !setup.manual;
	sim->slots = config->slots;
	*card = sim;
	return 0;
}

static int sim_slot_open(const struct card_config *config, const struct card_host *host, void **slot,
			 struct reason *why)
{
	struct client_setup setup = { .host = host };
	struct faults f;
	struct sim *sim;
	struct choice c;
	int err = parse(config, &setup, &c, why);

	if (err)
		return err;
	if (host->fresh)
		faults_forget(host);
	err = faults_hold(&setup.faults, host, NULL, &f, why);
	if (err)
		return err;
	if (f.unplug)
		return reason_set(why, ENODEV, "the card is unplugged (fault unplug)");
	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return reason_set(why, ENOMEM, "no memory for a slot of a simulated card");
	sim->host = host;
	err = client_open(&setup, &sim->client, why);
	if (err)
		free(sim);
	else
		*slot = sim;
	return err;
}

static void sim_close(void *card, bool last)
{
	struct sim *sim = card;

	/* The process is the card's: a slot does not end it. */
	client_close(sim->client, last && sim->host->slot < 0);
	if (last)
		faults_forget(sim->host);
	free(sim);
}

/* A call whose reply has nothing in it but its errno. */
static int sim_call(void *card, unsigned type, const struct card_run *run, struct reason *why)
{
	struct sim *sim = card;
	struct proto_msg reply, msg = { .type = type };

	if (run) {
		msg.id = run->id;
		msg.arg[0] = run->size;
	}
	return client_call(sim->client, &msg, run ? run->fd : -1, NULL, &reply, why);
}

static int sim_status(void *card, unsigned slot, struct card_status *status, struct reason *why)
{
	struct sim *sim = card;
	struct proto_msg reply, msg = { .type = PROTO_STATUS };
	int err = client_call(sim->client, &msg, -1, NULL, &reply, why);
	size_t hash;

	(void)slot;
	if (err)
		return err;
	hash = reply.arg[1] == 64 && reply.len >= 64 ? 64 : 0;
	*status = (struct card_status){ .condition = CARD_UNKNOWN };
	if (reply.arg[0] <= CARD_FAILED)
		status->condition = (enum card_condition)reply.arg[0];
	memcpy(status->sha256, reply.data, hash);
	snprintf(status->detail, sizeof(status->detail), "%.*s", (int)(reply.len - hash),
		 (const char *)reply.data + hash);
	return 0;
}

static int sim_accept(void *card, const struct card_run *run, struct reason *why)
{
	return sim_call(card, PROTO_ACCEPT, run, why);
}

static int sim_program(void *card, struct card_run *run, struct reason *why)
{
	struct sim *sim = card;
	struct proto_msg reply, msg = { .type = PROTO_PROGRAM, .id = run->id, .arg = { run->size } };

	struct reason sound = { 0 };
	int err;

	run->touched = true;
	err = client_call(sim->client, &msg, run->fd, run, &reply, why);
	/* Whose fault is it: the image's, or that of what carried it? */
	if (err == -EBADMSG && sim_accept(card, run, &sound) == 0) {
		reason_wrap(why, "the image is sound but arrived damaged over the configuration link");
		why->err = EIO;
		return -EIO;
	}
	return err;
}

static int sim_confirm(void *card, struct card_run *run, struct reason *why)
{
	int err = sim_call(card, PROTO_CONFIRM, run, why);

	if (err) {
		reason_wrap(why, "the link reported success, but reading the card back says");
		return err == -EBADMSG ? -EIO : err;
	}
	text_copy(run->confirmed_by, sizeof(run->confirmed_by),
		  "CRC, DONE and configuration memory read back");
	return 0;
}

static int sim_clear(void *card, unsigned slot, struct reason *why)
{
	(void)slot;
	return sim_call(card, PROTO_CLEAR, NULL, why);
}

static int sim_reset(void *card, unsigned slot, struct reason *why)
{
	(void)slot;
	return sim_call(card, PROTO_RESET, NULL, why);
}

static int sim_verify(void *card, struct card_run *run, struct reason *why)
{
	return sim_call(card, PROTO_VERIFY, run, why);
}

static const struct {
	const char *name;
	enum proto_stat stat;
	enum card_source source;
	double unit;
	int decimals;
	bool serial; /* of boards with a serial port only */
} sensors[] = {
	{ "cycles", STAT_CYCLES, CARD_MEASURED, 1, 0, false },
	{ "clock_hz", STAT_CLOCK_HZ, CARD_MEASURED, 1, 0, false },
	{ "toggles", STAT_TOGGLES, CARD_MEASURED, 1, 0, false },
	{ "bytes_in", STAT_BYTES_IN, CARD_MEASURED, 1, 0, false },
	{ "bytes_out", STAT_BYTES_OUT, CARD_MEASURED, 1, 0, false },
	{ "stalls", STAT_STALLS, CARD_MEASURED, 1, 0, false },
	{ "register_accesses", STAT_REG_ACCESSES, CARD_MEASURED, 1, 0, false },
	{ "uart_framing_errors", STAT_FRAMING, CARD_MEASURED, 1, 0, true },
	{ "uart_overruns", STAT_OVERRUNS, CARD_MEASURED, 1, 0, true },
	{ "ram_reads", STAT_RAM_READS, CARD_MEASURED, 1, 0, false },
	{ "ram_writes", STAT_RAM_WRITES, CARD_MEASURED, 1, 0, false },
	{ "unsettled", STAT_UNSETTLED, CARD_MEASURED, 1, 0, false },
	{ "luts", STAT_LUTS, CARD_DECODED, 1, 0, false },
	{ "dffs", STAT_DFFS, CARD_DECODED, 1, 0, false },
	{ "carries", STAT_CARRIES, CARD_DECODED, 1, 0, false },
	{ "rams", STAT_RAMS, CARD_DECODED, 1, 0, false },
	{ "sprams", STAT_SPRAMS, CARD_DECODED, 1, 0, false },
	{ "dsps", STAT_DSPS, CARD_DECODED, 1, 0, false },
	{ "plls", STAT_PLLS, CARD_DECODED, 1, 0, false },
	{ "pins_in", STAT_PINS_IN, CARD_DECODED, 1, 0, false },
	{ "pins_out", STAT_PINS_OUT, CARD_DECODED, 1, 0, false },
	{ "globals", STAT_GLOBALS, CARD_DECODED, 1, 0, false },
	{ "clock_domains", STAT_CLOCK_DOMAINS, CARD_DECODED, 1, 0, false },
	{ "lut_levels", STAT_LUT_LEVELS, CARD_DECODED, 1, 0, false },
	{ "loops", STAT_LOOPS, CARD_DECODED, 1, 0, false },
	{ "undriven_nets", STAT_UNDRIVEN, CARD_DECODED, 1, 0, false },
	{ "model_power_watts", STAT_POWER_NW, CARD_MODEL, 1e-9, 6, false },
	{ "model_temp_celsius", STAT_TEMP_UDEGC, CARD_MODEL, 1e-6, 2, false },
};

/* Of each slot: `slot0_cycles`, and what the model says as `model_slot0_power_watts`. */
static const enum proto_stat slot_sensors[] = {
	STAT_CYCLES, STAT_CLOCK_HZ, STAT_TOGGLES, STAT_BYTES_IN, STAT_BYTES_OUT, STAT_LUTS, STAT_POWER_NW,
};
/* Of the card that they are on. */
static const enum proto_stat carrier_sensors[] = {
	STAT_CYCLES, STAT_TOGGLES, STAT_BYTES_IN, STAT_BYTES_OUT, STAT_POWER_NW, STAT_TEMP_UDEGC,
	STAT_FRAMING, STAT_OVERRUNS, /* the last two: where the board has a serial port */
};
_Static_assert(sizeof(carrier_sensors) / sizeof(carrier_sensors[0]) +
	       SIM_SLOTS_MAX * sizeof(slot_sensors) / sizeof(slot_sensors[0]) <= CARD_SENSORS_MAX,
	       "all slots' sensors have room");

static void sensor_fill(struct card_sensor *out, enum proto_stat stat, const uint8_t *stats, int slot)
{
	size_t i = 0;

	while (sensors[i].stat != stat)
		i++;
	*out = (struct card_sensor){
		.source = sensors[i].source,
		.value = (double)proto_get(stats + 8 * stat, 8) * sensors[i].unit,
		.decimals = sensors[i].decimals,
	};
	if (slot < 0)
		text_copy(out->name, sizeof(out->name), sensors[i].name);
	else if (sensors[i].source == CARD_MODEL)
		snprintf(out->name, sizeof(out->name), "model_slot%d_%s", slot,
			 sensors[i].name + strlen("model_"));
	else
		snprintf(out->name, sizeof(out->name), "slot%d_%s", slot, sensors[i].name);
}

static int sim_telemetry(void *card, struct card_sensor *out, size_t max, struct reason *why)
{
	struct sim *sim = card;
	struct proto_msg reply, msg = { .type = PROTO_TELEMETRY };
	size_t block = 8 * PROTO_STATS, n = 0;
	int err = client_call(sim->client, &msg, -1, NULL, &reply, why);

	if (err)
		return err;
	if (reply.len != block * (1 + sim->slots))
		return reason_set(why, EIO, "the simulated card told %zu bytes of telemetry, not %zu",
				  reply.len, block * (1 + sim->slots));
	for (size_t i = 0; !sim->slots && i < sizeof(sensors) / sizeof(sensors[0]) && n < max; i++)
		if (!sensors[i].serial || sim->serial)
			sensor_fill(&out[n++], sensors[i].stat, reply.data, -1);
	for (size_t i = 0; sim->slots && i + (sim->serial ? 0 : 2) <
			   sizeof(carrier_sensors) / sizeof(carrier_sensors[0]) && n < max; i++)
		sensor_fill(&out[n++], carrier_sensors[i], reply.data, -1);
	for (unsigned s = 0; s < sim->slots; s++)
		for (size_t i = 0; i < sizeof(slot_sensors) / sizeof(slot_sensors[0]) && n < max; i++)
			sensor_fill(&out[n++], slot_sensors[i], reply.data + block * (1 + s), (int)s);
	return (int)n;
}

static unsigned sim_endpoints(void *card, unsigned slot)
{
	(void)slot;
	return client_endpoints(((struct sim *)card)->client);
}

static unsigned sim_io_ready(void *card, unsigned slot)
{
	(void)slot;
	return client_ready(((struct sim *)card)->client);
}

static void sim_io_submit(void *card, struct card_io *io)
{
	client_io(((struct sim *)card)->client, io);
}

static void sim_io_cancel(void *card, struct card_io *io)
{
	client_io_cancel(((struct sim *)card)->client, io);
}

static int sim_poll_fd(void *card)
{
	return client_poll_fd(((struct sim *)card)->client);
}

static unsigned sim_pump(void *card, struct reason *why)
{
	return client_pump(((struct sim *)card)->client, why);
}

/* Tell the process; f: the card's set, or what a slot has beside it. */
static int attr_tell(const struct card_config *config, struct sim *sim, const struct faults *f,
		     struct reason *why)
{
	struct faults configured = { 0 }, all;
	int err = 0;

	if (sim->host->slot >= 0) {
		err = parse_faults(config, &configured, why);
		err = err ? err : faults_hold(&configured, sim->host, f, &all, why);
	}
	return err ? err : client_faults(sim->client, sim->host->slot < 0 ? f : &all, why);
}

static int sim_attr_set(const struct card_config *config, const struct card_host *host, void *card,
			uint64_t id, const char *name, const char *value, struct reason *why)
{
	struct sim *sim = card;
	struct faults f;
	int err = fault_fits(config, host->slot, name, why);

	if (err)
		return err;
	if (!strcmp(name, "upset")) {
		struct proto_msg reply, msg = { .type = PROTO_UPSET, .id = id };
		struct upset u;

		if (!value)
			return reason_set(why, ENODATA, "an upset is an event, there is nothing to remove");
		if (!sim)
			return reason_set(why, ENODEV, "the card is not there");
		err = upset_parse(&u, value, why);
		if (err)
			return err;
		msg.arg[0] = u.random;
		msg.arg[1] = u.bank;
		msg.arg[2] = u.row;
		msg.arg[3] = u.column;
		return client_call(sim->client, &msg, -1, NULL, &reply, why);
	}
	err = faults_now(config, host, &f, why);
	if (!err)
		err = faults_set(&f, name, value, why);
	if (err)
		return err;
	/* Without power nothing can be told any more; and the slots' threads look into the folder. */
	if (f.unplug)
		err = faults_save(&f, host, why);
	if (!err && sim)
		err = attr_tell(config, sim, &f, why);
	return err || f.unplug ? err : faults_save(&f, host, why);
}

static int sim_attr_list(const struct card_config *config, const struct card_host *host,
			 struct card_attrs *out, struct reason *why)
{
	struct faults f;
	int err = faults_now(config, host, &f, why);

	if (!err)
		faults_list(&f, out);
	return err;
}

int64_t sim_pid(void *card)
{
	return client_pid(((struct sim *)card)->client);
}

const struct card_backend sim_backend = {
	.version = CARD_ABI,
	.name = "sim",
	.keys = sim_keys,
	.check = sim_check,
	.open = sim_open,
	.slot_open = sim_slot_open,
	.close = sim_close,
	.status = sim_status,
	.accept = sim_accept,
	.program = sim_program,
	.confirm = sim_confirm,
	.clear = sim_clear,
	.reset = sim_reset,
	.verify = sim_verify,
	.telemetry = sim_telemetry,
	.endpoints = sim_endpoints,
	.io_submit = sim_io_submit,
	.io_cancel = sim_io_cancel,
	.io_ready = sim_io_ready,
	.poll_fd = sim_poll_fd,
	.pump = sim_pump,
	.attr_set = sim_attr_set,
	.attr_list = sim_attr_list,
};
