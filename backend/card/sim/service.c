// SPDX-License-Identifier: Apache-2.0
/* What each message to a simulated card asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board_table.h"
#include "process.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>

static int image_check(uint64_t most, const struct proto_msg *msg, int fd, struct reason *why)
{
	struct stat st;

	if (msg->arg[0] > most)
		return reason_set(why, EFBIG, "an image of %llu bytes, this simulated card takes %llu",
				  (unsigned long long)msg->arg[0], (unsigned long long)most);
	/* Reading from anything else could wait. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return reason_set(why, EINVAL, "the image is not in a regular file");
	return 0;
}

int service_image(const struct process *p, const struct proto_msg *msg, int fd, struct reason *why)
{
	return image_check(p->logic ? LOGIC_IMAGE_MAX : PROCESS_IMAGE_MAX, msg, fd, why);
}

static int image_read(const struct proto_msg *msg, int fd, uint8_t **out, struct reason *why)
{
	size_t size, done = 0;
	int err = image_check(PROCESS_IMAGE_MAX, msg, fd, why);

	if (err)
		return err;
	size = (size_t)msg->arg[0];

	uint8_t *bytes CLEANUP_FREE = malloc(size ? size : 1);

	if (!bytes)
		return reason_set(why, ENOMEM, "no memory for an image of %zu bytes", size);
	while (done < size) {
		ssize_t n = pread(fd, bytes + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return reason_set(why, n < 0 ? errno : EIO, "reading the image at byte %zu of %zu",
					  done, size);
		done += (size_t)n;
	}
	*out = STEAL_PTR(bytes);
	return 0;
}

int service_fabric(const struct hello_words *w, struct fabric **out, struct reason *why)
{
	int err = fabric_new(w->part, w->row ? w->row->package : NULL, out, why);

	/* No pin has it until there is a board. */
	if (!err && w->row)
		fabric_clock(*out, -1, (unsigned)w->row->hz);
	return err;
}

void hello_words(const struct proto_msg *msg, struct hello_words *w)
{
	memset(w->text, 0, sizeof(w->text));
	memcpy(w->text, msg->data, msg->len);
	w->part = w->text;
	w->board = w->part + strlen(w->part) + 1;
	w->baud = w->board + strlen(w->board) + 1;
	w->row = board_row_find(w->board);
}

/* A fabric on its board. */
static int fabric_make(struct process *p, const struct hello_words *words, bool manual, struct reason *why)
{
	const struct board_setup setup = { .name = *words->board ? words->board : "stream",
					   .manual = manual, .baud = strtoull(words->baud, NULL, 10) };
	int err = 0;

	if (!p->link.digest)
		p->link.digest = digest_new();
	if (!p->link.digest)
		err = reason_set(why, ENOMEM, "no memory for a digest");
	if (!err)
		err = service_fabric(words, &p->fabric, why);
	if (!err)
		err = board_new(p->fabric, &setup, &p->board, why);
	if (err) {
		fabric_free(p->fabric);
		p->fabric = NULL;
	} else {
		p->link.fabric = p->fabric;
		board_off(p->board);
	}
	return err;
}

static int card_make(struct process *p, const struct hello_words *words, bool manual, struct reason *why)
{
	const struct faults none = { 0 };
	struct logic_facts facts;
	int err;

	link_faults(&p->link, &none);
	/* A slot is a fabric of its carrier. */
	if (p->carrier || !logic_find(words->part, &facts))
		return fabric_make(p, words, manual, why);
	err = logic_new(words->part, &p->logic, why);
	p->link.logic = p->logic;
	return err;
}

static void hello(struct process *p, const struct proto_msg *msg)
{
	struct reason why = { 0 };
	struct hello_words words;
	const char *part = p->fabric ? fabric_part(p->fabric) : p->logic ? logic_part(p->logic) : NULL;
	int err = 0;

	hello_words(msg, &words);
	if (!part)
		err = card_make(p, &words, msg->arg[1] == 1, &why);
	else if (strcasecmp(words.part, part) != 0)
		err = reason_set(&why, EBUSY, "the card's process simulates %s, not %s", part, words.part);
	if (err) {
		process_reply(p, PROTO_HELLO, msg->seq, err, &why);
		return;
	}
	p->link.hz = msg->arg[0];
	p->rate_hz = msg->arg[2];
	p->greeted = true;
	process_send(p, &(struct proto_msg){ .type = PROTO_HELLO, .reply = true, .seq = msg->seq,
					     .arg = { p->instance, (uint64_t)getpid() } });
	p->told_endpoints = p->told_ready = 0;
	process_news(p);
}

static void status(struct process *p, const struct proto_msg *msg)
{
	uint8_t data[64 + sizeof(p->detail)];
	bool known = p->condition == CARD_CONFIGURED && p->sha256[0];
	size_t len = strlen(p->detail);

	memcpy(data, p->sha256, known ? 64 : 0);
	memcpy(data + (known ? 64 : 0), p->detail, len);
	process_send(p, &(struct proto_msg){ .type = PROTO_STATUS, .reply = true, .seq = msg->seq,
					     .arg = { p->condition, known ? 64 : 0 },
					     .data = data, .len = len + (known ? 64 : 0) });
}

int service_accept(const struct fabric *f, const struct proto_msg *msg, int fd, struct reason *why)
{
	uint8_t *bytes CLEANUP_FREE = NULL;
	int err = image_read(msg, fd, &bytes, why);

	return err ? err : fabric_check(f, bytes, (size_t)msg->arg[0], why);
}

/*
 * Has the card this image? Asked of the card's own side only: DONE, and the
 * configuration memory read back, never of what the link said.
 */
static int read_back(struct process *p, const struct proto_msg *msg, int fd, struct reason *why)
{
	uint8_t *bytes CLEANUP_FREE = NULL;
	int err = image_read(msg, fd, &bytes, why);

	if (err)
		return err;
	if (!link_awake(&p->link))
		return reason_set(why, EIO,
				  "DONE is low: the configuration logic took %llu of %llu bytes",
				  (unsigned long long)fabric_config_bytes(p->fabric),
				  (unsigned long long)msg->arg[0]);
	return fabric_verify(p->fabric, bytes, (size_t)msg->arg[0], why);
}

/* A design that cannot run is not what was asked for, however well it is configured. */
static int confirm(struct process *p, const struct proto_msg *msg, int fd, struct reason *why)
{
	int err = read_back(p, msg, fd, why);

	if (!err && service_hot(p))
		err = reason_set(why, EIO, "the card is too hot, it has stopped the clock");
	return err;
}

static void clear(struct process *p)
{
	load_abort(p, ECANCELED, "the card was cleared");
	load_wipe(p);
	p->condition = CARD_UNCONFIGURED;
	p->detail[0] = '\0';
}

static int reset(struct process *p, struct reason *why)
{
	if (p->logic)
		return reason_set(why, EOPNOTSUPP, "of this part only the configuration logic is simulated, "
				  "there is no design that could be reset");
	if (!board_resets(p->board))
		return reason_set(why, EOPNOTSUPP, "the board has no reset line; reload the image");
	if (!link_awake(&p->link))
		return reason_set(why, ENODATA, "nothing is loaded that could be reset");
	if (!service_cool(p))
		return reason_set(why, EIO, "the card is still too hot: it has to be cooler than %d degrees "
				  "Celsius before its clock runs again", MODEL_COOL_DEGC);
	ops_fail(p, ECANCELED);
	board_reset(p->board);
	ops_stir(p);
	process_news(p);
	return 0;
}

static int faults(struct process *p, const struct proto_msg *msg, struct reason *why)
{
	struct faults f;
	int err = faults_parse(&f, (const char *)msg->data, msg->len, why);

	if (!err)
		err = board_stick(p->board, f.pins, f.pins_len, why);
	if (err)
		return err;
	link_faults(&p->link, &f);
	memcpy(p->sensors, f.sensors, sizeof(p->sensors));
	/* A slot is as warm as its card, which is told itself. */
	if (!p->carrier) {
		model_surround(&p->model, (double)f.ambient_c);
		thermal_note(p->thermal, p->model.temp_degc);
	}
	ops_stir(p);
	return 0;
}

/* Any bit of the configuration memory, each as likely as any other. */
static int upset_draw(const struct process *p, unsigned *bank, unsigned *row, unsigned *column,
		      struct reason *why)
{
	size_t sizes[4], total = 0;
	unsigned widths[4];
	uint64_t at;

	for (unsigned i = 0; i < 4; i++) {
		sizes[i] = widths[i] = 0;
		if (fabric_cram(p->fabric, i, &sizes[i], &widths[i]))
			total += sizes[i] * 8;
	}
	if (!total || getrandom(&at, sizeof(at), 0) != sizeof(at))
		return reason_set(why, EIO, "no configuration bit could be chosen");
	at %= total;
	for (*bank = 0; at >= sizes[*bank] * 8; ++*bank)
		at -= sizes[*bank] * 8;
	*row = (unsigned)(at / widths[*bank]);
	*column = (unsigned)(at % widths[*bank]);
	return 0;
}

static int upset(struct process *p, const struct proto_msg *msg, struct reason *why)
{
	unsigned at[3];
	int err = 0;

	if (p->logic)
		return reason_set(why, EOPNOTSUPP, "of this part only the configuration logic is simulated, "
				  "it has no configuration memory that could be upset");
	if (!link_awake(&p->link))
		return reason_set(why, ENODATA, "nothing is loaded whose configuration could be upset");
	if (msg->id && msg->id == p->upset_id)
		return 0; /* the same request, sent again by the next worker */
	for (unsigned i = 0; i < 3; i++)
		at[i] = msg->arg[1 + i] < UINT32_MAX ? (unsigned)msg->arg[1 + i] : UINT32_MAX;
	if (msg->arg[0])
		err = upset_draw(p, &at[0], &at[1], &at[2], why);
	if (!err)
		err = fabric_upset(p->fabric, at[0], at[1], at[2], why);
	if (err)
		return err;
	p->upset_id = msg->id;
	ops_stir(p);
	return 0;
}

void service_counters(const struct process *p, uint64_t stats[PROTO_STATS], uint64_t *ram_accesses)
{
	struct fabric_counters c;
	struct board_counters b;

	fabric_counters(p->fabric, &c);
	board_counters(p->board, &b);
	*ram_accesses = c.ram_reads + c.ram_writes;
	stats[STAT_CYCLES] = c.cycles;
	stats[STAT_CLOCK_HZ] = p->busy_ns ? (uint64_t)((double)c.cycles * 1e9 / (double)p->busy_ns) : 0;
	stats[STAT_TOGGLES] = c.toggles;
	stats[STAT_UNSETTLED] = c.unsettled;
	stats[STAT_RAM_READS] = c.ram_reads;
	stats[STAT_RAM_WRITES] = c.ram_writes;
	stats[STAT_BYTES_IN] = b.bytes_in;
	stats[STAT_BYTES_OUT] = b.bytes_out;
	stats[STAT_STALLS] = b.stalls;
	stats[STAT_REG_ACCESSES] = b.accesses;
	stats[STAT_FRAMING] = b.framing;
	stats[STAT_OVERRUNS] = b.overruns;
}

void service_resources(const struct process *p, uint64_t stats[PROTO_STATS])
{
	struct fabric_resources r;

	fabric_resources(p->fabric, &r);
	stats[STAT_LUTS] = r.luts;
	stats[STAT_DFFS] = r.dffs;
	stats[STAT_CARRIES] = r.carries;
	stats[STAT_RAMS] = r.rams;
	stats[STAT_SPRAMS] = r.sprams;
	stats[STAT_DSPS] = r.dsps;
	stats[STAT_PLLS] = r.plls;
	stats[STAT_PINS_IN] = r.pins_in;
	stats[STAT_PINS_OUT] = r.pins_out;
	stats[STAT_GLOBALS] = r.globals;
	stats[STAT_CLOCK_DOMAINS] = r.clock_domains;
	stats[STAT_LUT_LEVELS] = r.lut_levels;
	stats[STAT_LOOPS] = r.loops;
	stats[STAT_UNDRIVEN] = r.undriven;
}

void service_reply_stats(struct process *p, uint32_t seq, const uint64_t *stats, unsigned n)
{
	uint8_t data[8 * PROTO_STATS * (1 + SIM_SLOTS_MAX)];

	for (unsigned i = 0; i < n; i++)
		proto_put(data + 8 * i, 8, stats[i]);
	process_send(p, &(struct proto_msg){ .type = PROTO_TELEMETRY, .reply = true, .seq = seq,
					     .data = data, .len = 8 * n });
}

void service_sensors(const struct process *p, const struct model *m, double power_w,
		     uint64_t stats[PROTO_STATS])
{
	const struct stuck_sensor *temp = &p->sensors[FAULT_TEMP], *power = &p->sensors[FAULT_POWER];

	stats[STAT_POWER_NW] = power->set ? power->micro * 1000 : (uint64_t)(power_w * 1e9);
	stats[STAT_TEMP_UDEGC] = temp->set ? temp->micro : (uint64_t)(m->temp_degc * 1e6);
}

bool service_hot(const struct process *p)
{
	return p->trips != atomic_load(&p->thermal->trips);
}

/* What the fabric has counted, and the model's state after it. */
static void own_model_step(struct process *p, uint64_t *stats)
{
	uint64_t ram_accesses;

	service_counters(p, stats, &ram_accesses);
	model_step(&p->model, p->fabric ? fabric_part(p->fabric) : "", clock_mono_ns(),
		   stats[STAT_TOGGLES], ram_accesses);
}

bool service_cool(struct process *p)
{
	uint64_t stats[PROTO_STATS];

	/* A slot believes what its card knew last. */
	if (!p->carrier) {
		own_model_step(p, stats);
		thermal_note(p->thermal, p->model.temp_degc);
	}
	if (service_hot(p) && !atomic_load(&p->thermal->over)) {
		p->trips = atomic_load(&p->thermal->trips);
		p->clock_ns = clock_mono_ns();
	}
	return !service_hot(p);
}

static void telemetry(struct process *p, const struct proto_msg *msg)
{
	uint64_t stats[PROTO_STATS] = { 0 };

	own_model_step(p, stats);
	service_resources(p, stats);
	thermal_note(p->thermal, p->model.temp_degc);
	service_sensors(p, &p->model, p->model.power_w, stats);
	service_reply_stats(p, msg->seq, stats, PROTO_STATS);
}

static int service(struct process *p, const struct proto_msg *msg, int *fd)
{
	struct reason why = { 0 };
	int err = 0;

	switch ((enum proto_type)msg->type) {
	case PROTO_HELLO:
		hello(p, msg);
		return 0;
	case PROTO_STATUS:
		status(p, msg);
		return 0;
	case PROTO_PROGRAM:
		err = service_image(p, msg, *fd, &why);
		if (err)
			break;
		load_begin(p, msg, STEAL_FD(*fd));
		return 0;
	case PROTO_ACCEPT:
		err = p->logic ? port_accept(p, msg, *fd, &why)
			       : service_accept(p->fabric, msg, *fd, &why);
		break;
	case PROTO_CONFIRM:
		err = p->logic ? port_confirm(p, msg, *fd, &why) : confirm(p, msg, *fd, &why);
		if (p->logic && !err)
			return 0;
		break;
	case PROTO_VERIFY:
		err = p->logic ? port_verify(p, msg, *fd, &why) : read_back(p, msg, *fd, &why);
		break;
	case PROTO_CLEAR:
		clear(p);
		break;
	case PROTO_RESET:
		err = reset(p, &why);
		break;
	case PROTO_FAULTS:
		err = p->logic ? port_faults(p, msg, &why) : faults(p, msg, &why);
		break;
	case PROTO_UPSET:
		err = upset(p, msg, &why);
		break;
	case PROTO_TELEMETRY:
		if (p->logic)
			port_telemetry(p, msg);
		else
			telemetry(p, msg);
		return 0;
	case PROTO_IO:
		op_submit(p, msg);
		return 0;
	case PROTO_CANCEL:
		if (!op_cancel(p, (uint32_t)msg->arg[0]) && p->load.fd >= 0 &&
		    p->load.seq == (uint32_t)msg->arg[0])
			load_abort(p, ECANCELED, "programming was ended");
		return 0;
	case PROTO_QUIT:
		/* A slot ends with its card. */
		p->ending = !p->carrier;
		return 0;
	case PROTO_NEWS:
	case PROTO_PROGRESS:
	case PROTO_TYPES:
		return -EPROTO; /* proto_decode() lets none of them through */
	}
	process_reply(p, msg->type, msg->seq, err, &why);
	return 0;
}

int service_message(struct process *p, const struct proto_msg *msg, int fd)
{
	int err;

	if ((!p->greeted && msg->type != PROTO_HELLO && msg->type != PROTO_QUIT) ||
	    (!msg->seq && msg->type != PROTO_QUIT))
		err = -EPROTO;
	else if (p->carrier && p->nudge_fd < 0)
		/* The card itself has no fabric, if it has slots. */
		err = carrier_message(p, msg, fd);
	else
		err = service(p, msg, &fd);
	cleanup_fd(&fd);
	return err;
}
