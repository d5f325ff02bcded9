// SPDX-License-Identifier: Apache-2.0
/*
 * Between worker and simulated card when it goes badly: a socket that is full in
 * both directions, and a process at its other end that is not the card.
 */
#include "sim_fixture.h"

#include "backend/card/sim/proto.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static int ready(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

#define PIECE  32768
#define PIECES 60 /* more than a socket holds; and a card takes 64 operations */
#define READS  4

static pid_t alarm_pid;
static volatile sig_atomic_t alarmed;

static void on_alarm(int sig)
{
	(void)sig;
	alarmed = 1;
	kill(alarm_pid, SIGCONT);
}

/* The worker's writes pile up while the card stands still, and then the card's replies. */
static void a_full_socket_costs_no_byte(void **state)
{
	struct rig *rig = *state;
	struct sigaction act = { .sa_handler = on_alarm }, before;
	struct itimerval timer = { .it_value.tv_usec = 300000 }, off = { 0 };
	static uint8_t sent[PIECES][PIECE], got[READS][PIECE];
	struct io tx[PIECES], rx[READS];
	unsigned pieces = 0;
	size_t n = 0;

	rig_program(rig, "upper");
	alarm_pid = (pid_t)sim_pid(rig->card);
	for (unsigned i = 0; i < PIECES; i++)
		for (unsigned k = 0; k < PIECE; k++)
			sent[i][k] = (uint8_t)('0' + (i + k / 7) % 10);
	/* It goes on by itself: no later than that, and while the worker waits for room. */
	assert_int_equal(kill(alarm_pid, SIGSTOP), 0);
	assert_int_equal(sigaction(SIGALRM, &act, &before), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
	for (; pieces < PIECES && !alarmed; pieces++) {
		tx[pieces] = io_make(rig, CARD_TX, true, sent[pieces], PIECE);
		sim_backend.io_submit(rig->card, &tx[pieces].io);
	}
	assert_true(alarmed); /* it had to wait */
	assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	/* A read ends with what there is; many at once, so that their replies pile up. */
	while (n < (size_t)pieces * PIECE) {
		for (unsigned i = 0; i < READS; i++) {
			rx[i] = io_make(rig, CARD_RX, false, got[i], PIECE);
			sim_backend.io_submit(rig->card, &rx[i].io);
		}
		for (unsigned i = 0; i < READS; i++) {
			io_wait(rig, &rx[i]);
			assert_int_equal(rx[i].err, 0);
			for (size_t k = 0; k < rx[i].moved; k++, n++)
				assert_int_equal(got[i][k], sent[n / PIECE][n % PIECE]);
		}
	}
	for (unsigned i = 0; i < pieces; i++) {
		io_wait(rig, &tx[i]);
		assert_true(tx[i].err == 0 && tx[i].moved == PIECE);
	}
}

/* --- not the card --------------------------------------------------------------------- */

struct impostor {
	struct rig *rig;
	int listen_fd;
	unsigned answer; /* to the greeting, see below */
	pthread_t thread;
};

enum { ANSWER_NOTHING, ANSWER_SHORT, ANSWER_VERSION, ANSWER_TYPE, ANSWER_UNASKED, ANSWERS };

static void answer(int conn, unsigned how)
{
	static uint8_t packet[PROTO_MAX];
	uint8_t header[PROTO_HEADER];
	struct reason why = { 0 };
	struct proto_msg msg, reply = { .type = PROTO_HELLO, .reply = true };
	struct pollfd poller = { .fd = conn, .events = POLLIN };
	int fd;

	if (how == ANSWER_NOTHING || poll(&poller, 1, 10000) != 1 ||
	    proto_receive(conn, packet, true, &msg, &fd, &why) != 1)
		return;
	reply.seq = msg.seq;
	if (how == ANSWER_TYPE)
		reply.type = PROTO_STATUS;
	if (how == ANSWER_UNASKED)
		reply.type = PROTO_PROGRAM + 100;
	proto_header(&reply, header);
	if (how == ANSWER_VERSION)
		proto_put(header, 2, PROTO_VERSION + 1);
	send(conn, header, how == ANSWER_SHORT ? 3 : sizeof(header), MSG_NOSIGNAL);
	/* Until the worker has had enough of it. */
	poll(&poller, 1, 10000);
}

static void *impostor_main(void *arg)
{
	struct impostor *im = arg;

	for (;;) {
		int conn = accept4(im->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (conn < 0)
			return NULL;
		answer(conn, im->answer);
		close(conn);
	}
}

static void impostor_begin(struct impostor *im)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/card-7.sock", im->rig->folder);
	unlink(to.sun_path);
	im->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(im->listen_fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(im->listen_fd, 8), 0);
	assert_int_equal(pthread_create(&im->thread, NULL, impostor_main, im), 0);
}

static void impostor_end(struct impostor *im)
{
	shutdown(im->listen_fd, SHUT_RDWR);
	pthread_join(im->thread, NULL);
	close(im->listen_fd);
}

static void whoever_is_not_the_card_is_refused_with_a_sentence(void **state)
{
	struct rig *rig = *state;

	sim_backend.close(rig->card, true);
	rig->card = NULL;
	for (unsigned how = 0; how < ANSWERS; how++) {
		struct impostor im = { .rig = rig, .answer = how };
		struct reason why = { 0 };
		int err;

		impostor_begin(&im);
		err = sim_backend.open(&rig->config, &rig->host, &rig->card, &rig->facts, &why);
		if (err >= 0 || why.err != -err || !why.text[0])
			fail_msg("answer %u: %d '%s'", how, err, why.text);
		rig->card = NULL;
		impostor_end(&im);
	}
	/* What it left behind is no obstacle. */
	rig_open(rig);
	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "x"), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, ready, done)
		T(a_full_socket_costs_no_byte),
		T(whoever_is_not_the_card_is_refused_with_a_sentence),
#undef T
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
