// SPDX-License-Identifier: Apache-2.0
/*
 * Reads and writes of a simulated card's endpoints, and its clock `demand`.
 *
 * The clock runs while an operation waits for the design or while the design
 * may still be at work for the last one, and stops for good when the design is
 * at rest. A design with a free-running counter never is: then it stops
 * WORK_NS after it was given bytes, because somebody may poll for the answer,
 * WANT_NS after a register was written, and WANT_CYCLES after one was merely
 * read, so that looking at a counter costs next to nothing.
 * Times are processor time, so that a busy machine does not change results.
 *
 * Looking at the lights (io/leds) is as long as an eye needs: the clock runs for a
 * fiftieth of a second of the board's time, for WANT_NS at most, and stops.
 * Bytes that wait in a serial port are sent, whoever wrote them, and what a design
 * with a serial port says in the first WORK_NS is heard though nobody reads yet.
 *
 * A clock with a rate runs by itself in real time, as far as the processor can
 * follow: what it fell behind by more than LAG_NS is left out. While the design
 * is at rest its edges would change nothing and are not made.
 *
 * Operations of one endpoint are served in their order, one at a time.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "process.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>

#define WANT_NS       100000000
#define WORK_NS       1000000000
#define WANT_CYCLES   4096
/* A write that may not wait gives up when the design took nothing for so long. */
#define STALL_CYCLES  1024
/* An operation that got nothing for so long is looked after now and then only. */
#define PATIENCE_NS   10000000000
#define LAZY_NS       18000000
#define OPS_MAX       64
/* A clock with a rate. */
#define LAG_NS        20000000
#define TICK_NS       1000000
/* Cycles between two looks at the socket while no operation is waiting. */
#define WANT_SLICE    256

int64_t process_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What operations are timed by: the processor's time, or real time where the clock has it too. */
static int64_t now_ns(const struct process *p)
{
	return p->rate_hz ? clock_mono_ns() : process_cpu_ns();
}

/* Let the clock go on for this much processor time from now. */
static void clock_want(struct process *p, int64_t ns)
{
	int64_t until = process_cpu_ns() + ns;

	if (until > p->want_until)
		p->want_until = until;
}

static struct op *op_first(const struct process *p, enum card_endpoint endpoint)
{
	struct op *op = p->ops;

	while (op && op->endpoint != endpoint)
		op = op->next;
	return op;
}

static void op_free(struct process *p, struct op *op)
{
	for (struct op **at = &p->ops; *at; at = &(*at)->next)
		if (*at == op) {
			*at = op->next;
			break;
		}
	free(op->data);
	free(op);
}

static void io_reply(struct process *p, uint32_t seq, int err, size_t moved, const uint8_t *data,
		     size_t len)
{
	if (!seq)
		return;
	/* First what is ready now: whoever gets EAGAIN looks at it next. */
	process_news(p);
	process_send(p, &(struct proto_msg){ .type = PROTO_IO, .reply = true, .seq = seq,
					     .err = moved ? 0 : err, .arg = { moved },
					     .data = data, .len = moved ? len : 0 });
}

/* Remember what a write moved, and stop offering the rest. */
static void tx_settle(struct process *p, struct op *op)
{
	if (!op->offered)
		return;
	op->moved += board_taken(p->board);
	op->offered = false;
	board_offer(p->board, NULL, 0);
	if (op->moved)
		ledger_set(&p->ledger, op->id, false, 0, op->base + op->moved, NULL, 0);
}

/* The end of an operation: remembered if anything moved, told if anybody is there. */
static void op_end(struct process *p, struct op *op, int err)
{
	bool read = !op->write;

	if (op->endpoint == CARD_TX)
		tx_settle(p, op);
	else if (op->moved || (op->endpoint == CARD_REGS && !op->cancelled))
		ledger_set(&p->ledger, op->id, true, op->moved ? 0 : err, op->moved,
			   read ? op->data : NULL, read ? op->moved : 0);
	if (op->endpoint == CARD_REGS && read)
		p->want_cycles = WANT_CYCLES;
	else if (op->endpoint != CARD_RX && op->endpoint != CARD_LEDS)
		clock_want(p, op->endpoint == CARD_TX ? WORK_NS : WANT_NS);
	io_reply(p, op->seq, err, op->moved, read ? op->data : NULL, read ? op->moved : 0);
	op_free(p, op);
}

/* Is this operation known already? Then it is answered, or goes on where it was. */
static bool op_resume(struct process *p, const struct proto_msg *msg, size_t *skip)
{
	const struct ledger_entry *e = ledger_find(&p->ledger, msg->id);

	*skip = 0;
	for (struct op *op = p->ops; op; op = op->next)
		if (op->id == msg->id && op->endpoint != CARD_TX) {
			op->seq = msg->seq;
			return true;
		}
	if (!e)
		return false;
	if (e->complete) {
		io_reply(p, msg->seq, e->err, e->moved, e->data, e->len);
		return true;
	}
	if (e->moved <= msg->arg[3])
		return false;

	uint64_t known = e->moved - msg->arg[3];

	if (known >= msg->len) {
		io_reply(p, msg->seq, 0, msg->len, NULL, 0);
		return true;
	}
	*skip = (size_t)known;
	return false;
}

/* Size and place of an access to the register window. 0 or an errno. */
static int regs_range(const struct op *op, size_t *size)
{
	const uint64_t window = 2 * BOARD_REGS;

	if (op->write && (op->offset % 2 || *size % 2))
		return EINVAL; /* half a register cannot be written without reading it, which may act */
	if (op->offset >= window)
		return op->write ? ENOSPC : 0;
	if (*size > window - op->offset)
		*size = (size_t)(window - op->offset);
	return 0;
}

/* What a read of size bytes at offset gets of this text; *at is where in it. */
static int text_part(const struct buf *text, uint64_t offset, uint64_t size, const uint8_t **at,
		     size_t *moved)
{
	int err = -buf_ok(text);

	*moved = !err && offset < text->len ? text->len - (size_t)offset : 0;
	if (*moved > size)
		*moved = (size_t)size;
	*at = *moved ? (const uint8_t *)text->data + offset : NULL;
	return err;
}

/* io/pins and io/buttons: done at once. */
static void lines_submit(struct process *p, const struct proto_msg *msg,
			 enum card_endpoint endpoint, bool write)
{
	struct buf text CLEANUP_BUF = BUF_INIT;
	const uint8_t *data = NULL;
	const char *lines = (const char *)msg->data;
	size_t moved = 0;
	int err = 0;

	if (!(board_endpoints(p->board) & CARD_ENDPOINT_BIT(endpoint))) {
		err = ENODEV;
	} else if (write) {
		err = endpoint == CARD_PINS ? -board_pins_write(p->board, lines, msg->len)
					    : -board_buttons_write(p->board, lines, msg->len);
		moved = err ? 0 : msg->len;
		/* A clock edge is not given twice because a worker died. */
		ledger_set(&p->ledger, msg->id, true, err, moved, NULL, 0);
		if (!err)
			ops_stir(p);
		/* Somebody will look what the button did. */
		if (!err && endpoint == CARD_BUTTONS)
			clock_want(p, WANT_NS);
	} else {
		if (endpoint == CARD_PINS)
			board_pins_read(p->board, &text);
		else
			board_buttons_read(p->board, &text);
		err = text_part(&text, msg->arg[1], msg->arg[2], &data, &moved);
	}
	io_reply(p, msg->seq, err, moved, data, data ? moved : 0);
}

void op_submit(struct process *p, const struct proto_msg *msg)
{
	unsigned endpoint = (unsigned)(msg->arg[0] & PROTO_IO_ENDPOINT);
	bool write = msg->arg[0] & PROTO_IO_WRITE;
	struct op op = {
		.seq = msg->seq,
		.id = msg->id,
		.endpoint = (enum card_endpoint)endpoint,
		.write = write,
		.nonblock = msg->arg[0] & PROTO_IO_NONBLOCK,
		.wait = msg->arg[0] & PROTO_IO_WAIT,
		.offset = msg->arg[1],
		.base = msg->arg[3],
	};
	size_t size = write ? msg->len : msg->arg[2] < PROTO_DATA ? (size_t)msg->arg[2] : PROTO_DATA;
	size_t skip = 0;
	unsigned pending = 0;
	int err = 0;

	if (!p->board) {
		io_reply(p, msg->seq, ENODEV, 0, NULL, 0);
		return;
	}
	for (const struct op *o = p->ops; o; o = o->next)
		pending++;
	if (op_resume(p, msg, &skip))
		return;
	if (endpoint == CARD_PINS || endpoint == CARD_BUTTONS) {
		lines_submit(p, msg, op.endpoint, write);
		return;
	}
	if (endpoint >= CARD_ENDPOINTS || !(board_endpoints(p->board) & CARD_ENDPOINT_BIT(endpoint)))
		err = ENODEV;
	else if (endpoint != CARD_REGS && write != (endpoint == CARD_TX))
		err = EINVAL;
	else if (endpoint == CARD_REGS)
		err = regs_range(&op, &size);
	if (!err && pending >= OPS_MAX)
		err = EBUSY;
	/* Somebody polls. */
	if (!err && !size && endpoint == CARD_RX && op.wait)
		clock_want(p, WORK_NS);
	if (err || !size || (endpoint == CARD_REGS && op.offset >= 2 * BOARD_REGS)) {
		io_reply(p, msg->seq, err, 0, NULL, 0);
		return;
	}

	struct op *made = malloc(sizeof(*made));

	op.data = malloc(size);
	if (!made || !op.data) {
		free(made);
		free(op.data);
		io_reply(p, msg->seq, ENOMEM, 0, NULL, 0);
		return;
	}
	if (write)
		memcpy(op.data, msg->data, size);
	op.size = size;
	op.moved = skip;
	p->last_move = now_ns(p);
	op.until = p->last_move + WANT_NS;
	if (endpoint == CARD_LEDS) {
		struct fabric_counters c;

		fabric_counters(p->fabric, &c);
		/* Once for a look: a reader that comes back for the rest sees the same look. */
		op.base = c.cycles + (op.offset ? 0 : board_look_cycles(p->board));
	}
	*made = op;

	struct op **at = &p->ops;

	while (*at)
		at = &(*at)->next;
	*at = made;
}

bool op_cancel(struct process *p, uint32_t seq)
{
	struct op *op = p->ops;

	while (op && op->seq != seq)
		op = op->next;
	if (!op)
		return false;
	op->cancelled = true;
	/* A register access on the pins is brought to its end first; it is a short one. */
	if (op->endpoint != CARD_REGS)
		op_end(p, op, EINTR);
	return true;
}

void ops_detach(struct process *p)
{
	struct op *op = p->ops;

	while (op) {
		struct op *next = op->next;

		op->seq = 0;
		if (op->endpoint == CARD_TX)
			tx_settle(p, op);
		if (op->endpoint != CARD_REGS)
			op_free(p, op);
		op = next;
	}
}

void ops_fail(struct process *p, int err)
{
	while (p->ops) {
		struct op *op = p->ops;

		op->cancelled = true;
		op_end(p, op, err);
	}
	p->want_cycles = 0;
	p->want_until = 0;
}

/* --- one look at each endpoint's first operation; true when one ended ----------- */

static bool tx_step(struct process *p)
{
	struct op *op = op_first(p, CARD_TX);

	if (!op)
		return false;
	if (!op->offered) {
		board_offer(p->board, op->data + op->moved, op->size - op->moved);
		op->offered = true;
	}

	size_t taken = board_taken(p->board);

	if (taken && !board_idle_cycles(p->board))
		p->last_move = process_cpu_ns();
	if (op->moved + taken == op->size) {
		op_end(p, op, 0);
		return true;
	}
	if (op->nonblock &&
	    (board_at_rest(p->board) || board_idle_cycles(p->board) >= STALL_CYCLES)) {
		op_end(p, op, EAGAIN);
		return true;
	}
	return false;
}

static bool rx_step(struct process *p, bool ran)
{
	struct op *op = op_first(p, CARD_RX);
	size_t waiting = board_waiting(p->board);
	bool rest = board_at_rest(p->board);

	if (!op)
		return false;
	if (waiting >= op->size || (waiting && (rest || ran))) {
		op->moved = board_take(p->board, op->data, op->size);
		op_end(p, op, 0);
		return true;
	}
	if (waiting)
		return false;
	if (op->wait && op->nonblock) {
		/* Whoever polls for a byte wants the clock to run for it. */
		op_end(p, op, EAGAIN);
		clock_want(p, WANT_NS);
		return true;
	}
	if (!op->wait && (rest || now_ns(p) >= op->until)) {
		op_end(p, op, 0);
		return true;
	}
	return false;
}

/* Bytes of the present register that the operation covers go to or come from `data`. */
static bool regs_step(struct process *p)
{
	struct op *op = op_first(p, CARD_REGS);
	uint16_t value;

	if (!op)
		return false;
	switch (board_access_result(p->board, &value)) {
	case BOARD_PENDING:
		return false;
	case BOARD_SILENT:
		op_end(p, op, ETIMEDOUT);
		return true;
	case BOARD_ACKED:
		if (!op->write && op->offset % 2 == 0)
			op->data[op->moved++] = (uint8_t)value;
		if (!op->write && op->moved < op->size)
			op->data[op->moved++] = (uint8_t)(value >> 8);
		if (op->write)
			op->moved += 2;
		op->offset = (op->offset | 1) + 1;
		p->last_move = process_cpu_ns();
		if (op->moved == op->size) {
			op_end(p, op, 0);
			return true;
		}
		break;
	case BOARD_IDLE:
		break;
	}
	if (op->cancelled) {
		op_end(p, op, EINTR);
		return true;
	}
	value = op->write ? (uint16_t)(op->data[op->moved] | op->data[op->moved + 1] << 8) : 0;
	board_access_begin(p->board, (unsigned)(op->offset / 2), op->write, value);
	return false;
}

static bool leds_step(struct process *p)
{
	struct op *op = op_first(p, CARD_LEDS);
	struct buf text CLEANUP_BUF = BUF_INIT;
	struct fabric_counters c;
	const uint8_t *at;
	int err;

	if (!op)
		return false;
	fabric_counters(p->fabric, &c);
	if (!p->rate_hz && !board_at_rest(p->board) && c.cycles < op->base && now_ns(p) < op->until)
		return false;
	board_leds_read(p->board, &text);
	err = text_part(&text, op->offset, op->size, &at, &op->moved);
	if (at)
		memcpy(op->data, at, op->moved);
	op_end(p, op, err);
	return true;
}

/* So far the clock may run before somebody has to look again. */
static uint64_t leds_left(const struct process *p)
{
	const struct op *op = op_first(p, CARD_LEDS);
	struct fabric_counters c;

	if (!op)
		return UINT64_MAX;
	fabric_counters(p->fabric, &c);
	return c.cycles < op->base ? op->base - c.cycles : UINT64_MAX;
}

/* One look at every endpoint; true when an operation ended, which may be what another waits for. */
static bool ops_step(struct process *p, bool ran)
{
	return regs_step(p) | tx_step(p) | rx_step(p, ran) | leds_step(p);
}

static bool clock_wanted(struct process *p)
{
	/* Whoever sent them will want the answer. */
	if (board_busy(p->board))
		clock_want(p, WORK_NS);
	return p->ops || p->want_cycles || (p->want_until && process_cpu_ns() < p->want_until);
}

/* Run for half a millisecond or so. */
static void clock_run(struct process *p, uint64_t most)
{
	const struct op *rx = op_first(p, CARD_RX);
	struct fabric_counters before, after;
	uint64_t n = p->slice;
	int64_t start = process_cpu_ns();

	if (!p->ops && n > WANT_SLICE)
		n = WANT_SLICE;
	if (n > most)
		n = most;
	fabric_counters(p->fabric, &before);
	board_run(p->board, n,
		  BOARD_STOP_ACCESS | BOARD_STOP_TAKEN | (rx ? BOARD_STOP_SENT : 0),
		  rx ? rx->size : 0);
	fabric_counters(p->fabric, &after);

	uint64_t ran = after.cycles - before.cycles;
	int64_t took = process_cpu_ns() - start;

	p->busy_ns += took;
	if (p->rate_hz && ran)
		p->clock_ns += (int64_t)((double)ran * 1e9 / (double)p->rate_hz + 0.5);
	else if (p->rate_hz)
		p->clock_ns = clock_mono_ns(); /* the clock does not get through */
	p->want_cycles -= ran < p->want_cycles ? ran : p->want_cycles;
	if (took > PROCESS_SLICE_NS / 2 && p->slice > PROCESS_SLICE_FIRST)
		p->slice /= 2;
	else if (took < PROCESS_SLICE_NS / 8 && ran >= n && n == p->slice && n < 65536)
		p->slice *= 2;
}

/* The same for a clock with a rate. */
static int64_t rate_run(struct process *p)
{
	int64_t end = clock_mono_ns() + PROCESS_SLICE_NS, now;
	int64_t period = 1000000000 / (int64_t)p->rate_hz + 1;
	int64_t lag = period > LAG_NS ? period : LAG_NS;

	for (bool ran = false;; ran = true) {
		while (ops_step(p, ran))
			ran = false;
		now = clock_mono_ns();
		if (board_at_rest(p->board)) {
			p->clock_ns = now;
			return -1;
		}
		if (now - p->clock_ns > lag)
			p->clock_ns = now - lag;

		uint64_t due = (uint64_t)((double)(now - p->clock_ns) * 1e-9 * (double)p->rate_hz);

		if (!due) {
			int64_t next = p->clock_ns + period - now;

			/* Not for each cycle; and a read gives up in time at any rate. */
			return p->ops || next < TICK_NS ? TICK_NS : next;
		}
		if (now >= end)
			return 0;
		clock_run(p, due);
	}
}

int64_t ops_run(struct process *p)
{
	int64_t end = process_cpu_ns() + PROCESS_SLICE_NS;

	if (!p->fabric || p->load.fd >= 0 || !link_awake(&p->link))
		return -1;
	if (service_hot(p)) {
		ops_fail(p, EIO);
		return -1;
	}
	if (p->rate_hz)
		return rate_run(p);
	for (bool ran = false;; ran = true) {
		/* What one operation frees, another may wait for. */
		while (ops_step(p, ran))
			ran = false;
		if (!clock_wanted(p)) {
			p->want_until = 0;
			return -1;
		}
		if (board_at_rest(p->board)) {
			/* Nothing will happen until somebody comes. */
			p->want_cycles = 0;
			p->want_until = 0;
			return -1;
		}

		int64_t now = process_cpu_ns();

		if (now >= end)
			return p->ops && now - p->last_move > PATIENCE_NS ? LAZY_NS : 0;
		clock_run(p, leds_left(p));
		/* Nobody waits: the next message should not either. */
		if (!p->ops)
			return 0;
	}
}

void ops_stir(struct process *p)
{
	p->want_cycles = WANT_CYCLES;
	/* What a design says by itself at its start is heard, as by a terminal that is open. */
	if (board_serial(p->board) && board_endpoints(p->board) & CARD_ENDPOINT_BIT(CARD_RX))
		clock_want(p, WORK_NS);
}
