// SPDX-License-Identifier: Apache-2.0
/*
 * The backend `sim`: a simulated card, reached over its configuration port and
 * its board like any other. The card itself is a process (process.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "process.h"
#include "sim.h"
#include "sim_setup.h"

#include <fabricfs/buf.h>

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
	bool logic;  /* it has its configuration logic and no fabric, */
	bool tried_first;
};

static int sim_check(const struct card_config *config, struct reason *why)
{
	struct client_setup setup = { 0 };
	struct sim_choice c;

	return sim_parse(config, &setup, &c, why);
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
	return host->slot < 0 ? sim_parse_faults(config, f, why) : 0;
}

static int sim_open(const struct card_config *config, const struct card_host *host, void **card,
		    struct card_facts *facts, struct reason *why)
{
	struct client_setup setup = { .host = host };
	struct sim *sim;
	struct sim_choice c;
	int err = sim_parse(config, &setup, &c, why);

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
	sim->logic = c.is_logic;
	sim->tried_first = c.logic.tried_first;
	*facts = c.is_logic ? (struct card_facts){
		.has_idcode = true,
		.idcode = c.logic.idcode,
		.execution = "none",
		.can = CARD_CAN_CLEAR | CARD_CAN_READBACK,
		.image_max = LOGIC_IMAGE_MAX,
		.restore = true,
	} : (struct card_facts){
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
		/* A slot is a whole device too, beside no static design. */
		.takes = IMAGE_TAKES_FULL,
	};
	if (c.is_logic) {
		text_copy(facts->vendor, sizeof(facts->vendor), c.logic.vendor);
		text_copy(facts->formats, sizeof(facts->formats), c.logic.formats);
	}
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
	struct sim_choice c;
	int err = sim_parse(config, &setup, &c, why);

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
	struct card_run part;

	if (!run)
		return client_call(sim->client, &msg, -1, NULL, &reply, why);
	msg.id = run->id;
	msg.arg[0] = run->size;
	part = *run;
	return client_call(sim->client, &msg, run->fd, &part, &reply, why);
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
	const struct sim *sim = card;

	if (sim->logic && run->facts && run->facts->encrypted == IMAGE_YES)
		return reason_set(why, EOPNOTSUPP, "the image is encrypted, and a simulated device has no key");
	/* The device finds by itself what could be wrong with it; a second pass over a large image
	 * only makes its copy slower. */
	if (sim->logic && !sim->tried_first)
		return 0;
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
	if ((err == -EBADMSG || (sim->logic && (err == -EMEDIUMTYPE || err == -EOPNOTSUPP))) &&
	    sim_call(card, PROTO_ACCEPT, run, &sound) == 0) {
		reason_wrap(why, "the image is sound but arrived damaged over the configuration link");
		why->err = EIO;
		return -EIO;
	}
	return err;
}

static int sim_confirm(void *card, struct card_run *run, struct reason *why)
{
	struct sim *sim = card;
	struct proto_msg reply, msg = { .type = PROTO_CONFIRM, .id = run->id, .arg = { run->size } };
	int err;

	/* A device cannot tell which image it has; its process remembers what it was called. */
	if (sim->logic && run->sha256) {
		msg.data = (const uint8_t *)run->sha256;
		msg.len = strlen(run->sha256);
	}
	err = client_call(sim->client, &msg, run->fd, run, &reply, why);
	if (err) {
		reason_wrap(why, "the link reported success, but reading the card back says");
		return err == -EBADMSG ? -EIO : err;
	}
	if (sim->logic)
		snprintf(run->confirmed_by, sizeof(run->confirmed_by), "%.*s", (int)reply.len,
			 (const char *)reply.data);
	else
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

static int logic_telemetry(const struct proto_msg *reply, struct card_sensor *out, size_t max,
			   struct reason *why)
{
	static const char *const names[PROTO_LOGIC_STATS] = {
		[STAT_CONFIG_BYTES] = "config_bytes",
		[STAT_CONFIG_FRAMES] = "config_frames",
		[STAT_CONFIG_CHECKS] = "config_crc_checks",
	};
	size_t n = 0;

	if (reply->len != 8 * PROTO_LOGIC_STATS)
		return reason_set(why, EIO, "the simulated card told %zu bytes of telemetry, not %d", reply->len,
				  8 * PROTO_LOGIC_STATS);
	for (; n < PROTO_LOGIC_STATS && n < max; n++) {
		out[n] = (struct card_sensor){ .source = CARD_MEASURED,
					       .value = (double)proto_get(reply->data + 8 * n, 8) };
		text_copy(out[n].name, sizeof(out[n].name), names[n]);
	}
	return (int)n;
}

static int sim_telemetry(void *card, struct card_sensor *out, size_t max, struct reason *why)
{
	struct sim *sim = card;
	struct proto_msg reply, msg = { .type = PROTO_TELEMETRY };
	size_t block = 8 * PROTO_STATS, n = 0;
	int err = client_call(sim->client, &msg, -1, NULL, &reply, why);

	if (err)
		return err;
	if (sim->logic)
		return logic_telemetry(&reply, out, max, why);
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
		err = sim_parse_faults(config, &configured, why);
		err = err ? err : faults_hold(&configured, sim->host, f, &all, why);
	}
	return err ? err : client_faults(sim->client, sim->host->slot < 0 ? f : &all, why);
}

static int sim_attr_set(const struct card_config *config, const struct card_host *host, void *card,
			uint64_t id, const char *name, const char *value, struct reason *why)
{
	struct sim *sim = card;
	struct faults f;
	int err = sim_fault_fits(config, host->slot, name, why);

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
