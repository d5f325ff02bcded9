// SPDX-License-Identifier: Apache-2.0
/* The process of a simulated card, whose workers die, come two at a time or send what they should not. */
#include "sim_fixture.h"

#include "backend/card/sim/ledger.h"
#include "backend/card/sim/proto.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* An HX1K image takes a quarter of a second. */
static int slow(void **state)
{
	*state = rig_new(1000000, false);
	return 0;
}

static int unlimited(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

/* What the process has to say about hostile messages is not wanted a hundred times. */
static int silent(void **state)
{
	int keep = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_true(keep >= 0 && null >= 0);
	dup2(null, STDERR_FILENO);
	*state = rig_new(0, false);
	dup2(keep, STDERR_FILENO);
	close(keep);
	close(null);
	return 0;
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

/* Repeatable: every run of the tests sees the same. */
static uint32_t seed = 1;

static uint32_t noise(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* --- a worker that dies ---------------------------------------------------------- */

/* A connection of our own to the card's process: it takes the backend's place. */
static int raw_connect(struct rig *rig)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/card-7.sock", rig->folder);
	assert_int_equal(connect(sock, (struct sockaddr *)&to, sizeof(to)), 0);
	return sock;
}

static void raw_send(int sock, struct proto_msg msg, int fd)
{
	assert_int_equal(proto_send(sock, &msg, fd), 0);
}

/* The next message of this type; false: the connection was closed. */
static bool raw_receive(int sock, unsigned type, struct proto_msg *msg)
{
	static uint8_t packet[PROTO_MAX];

	for (;;) {
		struct pollfd poller = { .fd = sock, .events = POLLIN };
		int fd, got;

		assert_int_equal(poll(&poller, 1, 10000), 1);
		got = proto_receive(sock, packet, false, msg, &fd, NULL);
		if (got == 0 || got == -ECONNRESET)
			return false;
		assert_int_equal(got, 1);
		if (msg->type == type)
			return true;
	}
}

static int raw_worker(struct rig *rig)
{
	struct proto_msg msg;
	int sock = raw_connect(rig);

	raw_send(sock, (struct proto_msg){ .type = PROTO_HELLO, .seq = 1,
					   .data = (const uint8_t *)"iCE40-HX1K", .len = 10 }, -1);
	assert_true(raw_receive(sock, PROTO_HELLO, &msg));
	assert_int_equal(msg.err, 0);
	return sock;
}

/* The backend's connection was taken over; it finds the same card again. */
static void rig_return(struct rig *rig)
{
	sim_backend.close(rig->card, false);
	rig_open(rig);
}

static struct proto_msg raw_io(uint32_t seq, uint64_t id, enum card_endpoint endpoint,
			       unsigned flags, const char *data, size_t size)
{
	return (struct proto_msg){ .type = PROTO_IO, .seq = seq, .id = id,
				   .arg = { (uint64_t)endpoint | flags, 0, size },
				   .data = (const uint8_t *)data, .len = data ? size : 0 };
}

static void a_read_whose_worker_died_loses_no_byte(void **state)
{
	struct rig *rig = *state;
	struct proto_msg msg;
	int sock;

	rig_program(rig, "upper");
	sock = raw_worker(rig);
	/* One that waits for nothing: dropped with its connection. */
	raw_send(sock, raw_io(2, 501, CARD_RX, PROTO_IO_WAIT, NULL, 4), -1);
	close(sock);
	sock = raw_worker(rig);
	raw_send(sock, raw_io(2, 502, CARD_TX, PROTO_IO_WRITE, "data", 4), -1);
	assert_true(raw_receive(sock, PROTO_IO, &msg));
	assert_int_equal(msg.arg[0], 4);
	/* One that is answered, but nobody takes the answer. */
	raw_send(sock, raw_io(3, 503, CARD_RX, PROTO_IO_WAIT, NULL, 4), -1);
	assert_true(raw_receive(sock, PROTO_IO, &msg));
	assert_int_equal(msg.arg[0], 4);
	close(sock);

	sock = raw_worker(rig);
	raw_send(sock, raw_io(9, 503, CARD_RX, PROTO_IO_WAIT, NULL, 4), -1);
	assert_true(raw_receive(sock, PROTO_IO, &msg));
	assert_int_equal(msg.seq, 9);
	assert_int_equal(msg.len, 4);
	assert_memory_equal(msg.data, "DATA", 4);
	close(sock);
	rig_return(rig);
}

/* The write was half taken when its worker died: the next one's goes on there. */
static void a_write_whose_worker_died_is_not_taken_twice(void **state)
{
	enum { PIECES = 4 };
	struct rig *rig = *state;
	uint8_t *sent = malloc(PIECES * PROTO_TX), *got = malloc(PIECES * PROTO_TX);
	struct proto_msg msg;
	int sock;

	assert_true(sent && got);
	for (unsigned i = 0; i < PIECES * PROTO_TX; i++)
		sent[i] = (uint8_t)(i % 61 + i / 997 % 3 * 64) & 0x5f;
	rig_program(rig, "upper");
	sock = raw_worker(rig);
	for (unsigned i = 0; i < 3; i++) {
		struct proto_msg piece = raw_io(10 + i, 600, CARD_TX, PROTO_IO_WRITE,
						(const char *)sent + i * PROTO_TX, PROTO_TX);

		piece.arg[3] = i * PROTO_TX;
		raw_send(sock, piece, -1);
		/* The third does not fit into the queue and stays. */
		if (i < 2)
			assert_true(raw_receive(sock, PROTO_IO, &msg));
	}
	raw_send(sock, (struct proto_msg){ .type = PROTO_STATUS, .seq = 20 }, -1);
	assert_true(raw_receive(sock, PROTO_STATUS, &msg));
	close(sock);

	rig_return(rig);

	struct io tx = { .io = { .endpoint = CARD_TX, .write = true, .id = 600, .data = sent,
				 .size = PIECES * PROTO_TX, .done = io_ended } };

	sim_backend.io_submit(rig->card, &tx.io);
	rig->last_id = 2000;
	rig_rx(rig, got, PIECES * PROTO_TX);
	io_wait(rig, &tx);
	assert_int_equal(tx.moved, PIECES * PROTO_TX);
	assert_memory_equal(sent, got, PIECES * PROTO_TX);
	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, 10)), 0);
	free(sent);
	free(got);
}

/* Begin or begin again: what an earlier worker had begun has the same id. */
static void resubmit(struct rig *rig, struct io *x)
{
	x->ended = false;
	sim_backend.io_submit(rig->card, &x->io);
}

/*
 * A stream through the design while workers die at random moments. What a
 * worker was told in the moment of its death is not known to the next one.
 */
static void no_byte_is_lost_or_doubled_while_workers_die(void **state)
{
	enum { SIZE = 600000, DEATHS = 60 };
	struct rig *rig = *state;
	uint8_t *sent = malloc(SIZE), *got = malloc(SIZE + 70000);
	size_t in = 0, out = 0;
	unsigned deaths = 0;
	struct io tx, rx;

	assert_true(sent && got);
	for (unsigned i = 0; i < SIZE; i++)
		sent[i] = (uint8_t)noise() & 0x5f;
	rig_program(rig, "upper");
	tx = io_make(rig, CARD_TX, true, sent, 1 + noise() % 100000);
	rx = io_make(rig, CARD_RX, false, got, 1 + noise() % 70000);
	rx.io.wait = true;
	resubmit(rig, &tx);
	resubmit(rig, &rx);
	while (out < SIZE) {
		if (deaths < DEATHS && noise() % 4 == 0) {
			deaths++;
			sim_backend.close(rig->card, false);
			rig_open(rig);
			if (in < SIZE)
				resubmit(rig, &tx);
			resubmit(rig, &rx);
		}
		assert_true(rig_pump(rig, 10000));
		if (tx.ended && in < SIZE) {
			assert_int_equal(tx.err, 0);
			in += tx.moved;
			if (in < SIZE) {
				size_t n = 1 + noise() % 100000;

				tx = io_make(rig, CARD_TX, true, sent + in, n < SIZE - in ? n : SIZE - in);
				resubmit(rig, &tx);
			}
		}
		if (rx.ended) {
			assert_int_equal(rx.err, 0);
			out += rx.moved;
			rx = io_make(rig, CARD_RX, false, got + out, 1 + noise() % 70000);
			rx.io.wait = out < SIZE;
			resubmit(rig, &rx);
		}
	}
	io_wait(rig, &rx);
	assert_int_equal(rx.moved, 0);
	assert_int_equal(out, SIZE);
	assert_memory_equal(sent, got, SIZE);
	assert_true(deaths >= DEATHS / 4);
	free(sent);
	free(got);
}

static void a_run_goes_on_when_its_worker_dies_and_is_not_done_twice(void **state)
{
	struct rig *rig = *state;
	int fd = example_open("regs"), sock = raw_worker(rig);
	struct card_run run = rig_run(rig, fd, 77);
	struct proto_msg msg;
	uint16_t value = 5;

	raw_send(sock, (struct proto_msg){ .type = PROTO_HELLO, .seq = 1, .arg = { 1000000 },
					   .data = (const uint8_t *)"iCE40-HX1K", .len = 10 }, -1);
	raw_send(sock, (struct proto_msg){ .type = PROTO_PROGRAM, .seq = 2, .id = 77,
					   .arg = { run.size } }, fd);
	do
		assert_true(raw_receive(sock, PROTO_PROGRESS, &msg));
	while (msg.arg[0] < run.size / 2);
	close(sock);
	rig_return(rig);
	/* Begun again it would tell of less, which rig_progress() does not let pass. */
	rig->progress = msg.arg[0];
	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), 0);
	assert_int_equal(sim_backend.confirm(rig->card, &run, &rig->why), 0);
	rig->last_id = 1000;
	assert_int_equal(rig_reg(rig, true, 0x10, &value), 2);

	/* And once more: what runs is what this run programmed. */
	assert_int_equal(sim_backend.program(rig->card, &run, &rig->why), 0);
	value = 0;
	assert_int_equal(rig_reg(rig, false, 4, &value), 2);
	assert_int_equal(value, 1); /* the counter of writes has not started again */
	close(fd);
}

static void two_workers_at_once_get_one_process(void **state)
{
	struct rig *rig = *state;
	struct card_facts facts;
	void *other;
	int64_t pid = sim_pid(rig->card);

	/* The next worker comes before the old one is gone, and takes its place. */
	assert_int_equal(sim_backend.open(&rig->config, &rig->host, &other, &facts, &rig->why), 0);
	assert_int_equal(sim_pid(other), pid);
	sim_backend.close(rig->card, false);
	rig->card = other;
	rig_program(rig, "upper");
}

static void a_leftover_socket_is_replaced(void **state)
{
	struct rig *rig = *state;
	char path[128];
	struct stat st;
	int64_t pid = sim_pid(rig->card);

	sim_backend.close(rig->card, false);
	rig->card = NULL;
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	assert_int_equal(waitpid((pid_t)pid, NULL, 0), pid);
	snprintf(path, sizeof(path), "%s/card-7.sock", rig->folder);
	assert_int_equal(stat(path, &st), 0);
	rig_open(rig);
	assert_true(sim_pid(rig->card) != pid);
}

static void a_clean_end_ends_the_process(void **state)
{
	struct rig *rig = *state;
	pid_t pid = (pid_t)sim_pid(rig->card);

	sim_backend.close(rig->card, true);
	rig->card = NULL;
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* --- hostile messages -------------------------------------------------------------- */

static void broken_messages_are_refused(void **state)
{
	struct proto_msg good = { .type = PROTO_IO, .seq = 3, .id = 4, .arg = { 1, 2, 3, 4 },
				  .data = (const uint8_t *)"abc", .len = 3 };
	uint8_t packet[PROTO_HEADER + 3];
	struct proto_msg msg;

	(void)state;
	proto_header(&good, packet);
	memcpy(packet + PROTO_HEADER, good.data, good.len);
	assert_int_equal(proto_decode(packet, sizeof(packet), true, false, &msg, NULL), 0);
	assert_int_equal(msg.seq, 3);
	assert_int_equal(msg.arg[3], 4);
	assert_memory_equal(msg.data, "abc", 3);
	/* cut, longer than it says, with a descriptor, from the wrong side, of another version */
	for (size_t n = 0; n < sizeof(packet); n++)
		assert_int_equal(proto_decode(packet, n, true, false, &msg, NULL), -EPROTO);
	assert_int_equal(proto_decode(packet, sizeof(packet), true, true, &msg, NULL), -EPROTO);
	assert_int_equal(proto_decode(packet, sizeof(packet), false, false, &msg, NULL), -EPROTO);
	packet[0] ^= 2;
	assert_int_equal(proto_decode(packet, sizeof(packet), true, false, &msg, NULL), -EPROTO);
}

static void any_bytes_are_decoded_or_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t n = noise() % (PROTO_HEADER + 64);
		/* Exactly as large, so that a read past its end is seen. */
		uint8_t *packet = malloc(n ? n : 1);
		struct proto_msg msg;

		assert_non_null(packet);
		for (size_t j = 0; j < n; j++)
			packet[j] = (uint8_t)noise();
		if (n >= PROTO_HEADER) {
			/* Mostly right, or nothing is reached. */
			proto_put(packet, 2, PROTO_VERSION);
			proto_put(packet + 2, 2, noise() % 32 | (noise() & 1 ? PROTO_REPLY : 0));
			proto_put(packet + 16, 4, noise() % 3);
			proto_put(packet + 20, 4, n - PROTO_HEADER + (noise() % 8 == 0));
		}
		if (proto_decode(packet, n, noise() & 1, noise() & 1, &msg, NULL) == 0) {
			assert_true(msg.type > 0 && msg.type < PROTO_TYPES);
			assert_true(msg.data + msg.len == packet + n);
		}
		free(packet);
	}
}

/* Whatever comes over the socket, the process stays and the next worker is served. */
static void the_process_outlives_hostile_workers(void **state)
{
	struct rig *rig = *state;
	int64_t pid = sim_pid(rig->card);
	int image = example_open("upper");

	rig_program(rig, "upper");
	for (unsigned i = 0; i < 300; i++) {
		int sock = i % 4 ? raw_worker(rig) : raw_connect(rig);

		for (unsigned j = 0; j < 20; j++) {
			uint8_t bytes[200];
			unsigned type = 1 + noise() % (PROTO_TYPES - 1);
			struct proto_msg msg = {
				.type = type == PROTO_QUIT ? PROTO_STATUS : type,
				.seq = noise() % 8,
				.id = noise() % 4,
				.err = noise() % 16 == 0,
				.data = bytes,
				.len = noise() % 3 ? 0 : noise() % sizeof(bytes),
			};
			bool fd = type >= PROTO_ACCEPT && type <= PROTO_VERIFY && noise() % 8;

			for (unsigned k = 0; k < sizeof(bytes); k++)
				bytes[k] = (uint8_t)noise();
			for (unsigned k = 0; k < 4; k++)
				msg.arg[k] = (uint64_t)noise() << (noise() % 33) >> noise() % 64;
			if (type == PROTO_IO && noise() % 2)
				msg.arg[0] = noise() % 0x800 & ~0xfcu;
			/* The process may have hung up by now: that is its good right. */
			proto_send(sock, &msg, fd ? image : -1);
		}
		close(sock);
	}
	close(image);
	rig_return(rig);
	assert_int_equal(sim_pid(rig->card), pid);
	rig->last_id = 1u << 20;
	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "x"), 1);
}

/* --- the memory of what was done ------------------------------------------------------ */

static void the_ledger_forgets_the_oldest_and_stays_bounded(void **state)
{
	static uint8_t data[PROTO_DATA];
	struct ledger *l = calloc(1, sizeof(*l));

	(void)state;
	assert_non_null(l);
	for (uint64_t id = 1; id <= 1000; id++) {
		assert_int_equal(ledger_set(l, id, true, 0, sizeof(data), data, sizeof(data)), 0);
		assert_true(l->bytes <= LEDGER_BYTES);
		assert_non_null(ledger_find(l, id));
		if (id > 8)
			assert_non_null(ledger_find(l, id - 8));
	}
	assert_null(ledger_find(l, 1));
	assert_null(ledger_find(l, 0));
	assert_int_equal(ledger_set(l, 1000, true, 0, 1, data, 1), 0);
	assert_int_equal(ledger_find(l, 1000)->moved, 1);
	ledger_fini(l);
	assert_int_equal(l->bytes, 0);
	free(l);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, done)
		T(a_read_whose_worker_died_loses_no_byte, unlimited),
		T(a_write_whose_worker_died_is_not_taken_twice, unlimited),
		T(no_byte_is_lost_or_doubled_while_workers_die, unlimited),
		T(a_run_goes_on_when_its_worker_dies_and_is_not_done_twice, slow),
		T(two_workers_at_once_get_one_process, unlimited),
		T(a_leftover_socket_is_replaced, unlimited),
		T(a_clean_end_ends_the_process, unlimited),
		cmocka_unit_test(broken_messages_are_refused),
		cmocka_unit_test(any_bytes_are_decoded_or_refused),
		T(the_process_outlives_hostile_workers, silent),
		cmocka_unit_test(the_ledger_forgets_the_oldest_and_stays_bounded),
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
