// SPDX-License-Identifier: Apache-2.0
/* The simulated card behind its backend: programming, endpoints, telemetry. */
#include "sim_fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "backend/card/sim/proto.h"

static int unlimited(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

static void a_new_card_is_unconfigured_and_offers_nothing(void **state)
{
	struct rig *rig = *state;
	struct card_status status = rig_status(rig);

	assert_int_equal(status.condition, CARD_UNCONFIGURED);
	assert_string_equal(status.sha256, "");
	assert_int_equal(sim_backend.endpoints(rig->card, 0), 0);
	assert_string_equal(rig->facts.part, "iCE40-HX1K");
	assert_string_equal(rig->facts.serial, "bench");
	assert_int_equal(rig_tx(rig, "x"), -ENODEV);
	assert_int_equal(sim_backend.reset(rig->card, 0, &rig->why), -ENODATA);
}

static void upper_answers_in_upper_case(void **state)
{
	struct rig *rig = *state;
	char got[6] = "";

	rig_program(rig, "upper");
	assert_int_equal(sim_backend.endpoints(rig->card, 0),
			 CARD_ENDPOINT_BIT(CARD_TX) | CARD_ENDPOINT_BIT(CARD_RX) |
				 CARD_ENDPOINT_BIT(CARD_PINS));
	assert_int_equal(rig_tx(rig, "hello"), 5);
	rig_rx(rig, got, 5);
	assert_string_equal(got, "HELLO");
}

static void status_has_the_hash_of_what_the_port_took(void **state)
{
	struct rig *rig = *state;
	char hex[SHA256_HEX];
	int fd = example_open("upper");

	rig_program(rig, "upper");
	assert_int_equal(digest_fd(fd, hex), 0);
	close(fd);
	assert_int_equal(rig_status(rig).condition, CARD_CONFIGURED);
	assert_string_equal(rig_status(rig).sha256, hex);
}

static void a_read_that_does_not_wait_ends_when_the_design_is_quiet(void **state)
{
	struct rig *rig = *state;
	char got[8];

	rig_program(rig, "upper");
	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, sizeof(got))), 0);
	assert_int_equal(rig_tx(rig, "abc"), 3);
	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, sizeof(got))), 3);
	assert_memory_equal(got, "ABC", 3);
	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, sizeof(got))), 0);
}

static void a_waiting_read_gets_bytes_that_come_later(void **state)
{
	struct rig *rig = *state;
	char got[4];
	struct io x = io_make(rig, CARD_RX, false, got, sizeof(got));

	rig_program(rig, "upper");
	x.io.wait = true;
	sim_backend.io_submit(rig->card, &x.io);
	assert_int_equal(rig_tx(rig, "late"), 4);
	io_wait(rig, &x);
	assert_int_equal(x.err, 0);
	assert_true(x.moved > 0);
	assert_memory_equal(got, "LATE", x.moved);
}

static void a_nonblocking_read_of_nothing_is_eagain(void **state)
{
	struct rig *rig = *state;
	char got[4];
	struct io x = io_make(rig, CARD_RX, false, got, sizeof(got));

	rig_program(rig, "upper");
	x.io.wait = x.io.nonblock = true;
	assert_int_equal(io_do(rig, x), -EAGAIN);
}

static void a_cancelled_read_ends_with_eintr_and_takes_nothing(void **state)
{
	struct rig *rig = *state;
	char got[5] = "";
	struct io x = io_make(rig, CARD_RX, false, got, 4);

	rig_program(rig, "upper");
	x.io.wait = true;
	sim_backend.io_submit(rig->card, &x.io);
	sim_backend.io_cancel(rig->card, &x.io);
	io_wait(rig, &x);
	assert_int_equal(x.err, EINTR);
	assert_int_equal(x.moved, 0);
	assert_int_equal(rig_tx(rig, "next"), 4);
	rig_rx(rig, got, 4);
	assert_string_equal(got, "NEXT");
}

/* More than the board's queue holds: the writer waits for the reader, and no byte is lost. */
static void a_full_queue_makes_the_writer_wait(void **state)
{
	enum { SIZE = 200000 };
	struct rig *rig = *state;
	uint8_t *sent = malloc(SIZE), *got = malloc(SIZE);

	assert_true(sent && got);
	for (unsigned i = 0; i < SIZE; i++)
		sent[i] = (uint8_t)(i * 7 + i / 251) & 0x5f; /* none of them is a lower case letter */
	rig_program(rig, "upper");

	struct io tx = io_make(rig, CARD_TX, true, sent, SIZE);

	sim_backend.io_submit(rig->card, &tx.io);
	while (!(sim_backend.io_ready(rig->card, 0) & CARD_ENDPOINT_BIT(CARD_RX)))
		assert_true(rig_pump(rig, 10000));
	rig_pump(rig, 100);
	assert_false(tx.ended);

	rig_rx(rig, got, SIZE);
	io_wait(rig, &tx);
	assert_int_equal(tx.err, 0);
	assert_int_equal(tx.moved, SIZE);
	assert_memory_equal(sent, got, SIZE);
	free(sent);
	free(got);
}

static void a_nonblocking_write_to_a_full_design_is_short_then_eagain(void **state)
{
	enum { SIZE = 100000 };
	struct rig *rig = *state;
	uint8_t *sent = calloc(1, SIZE);
	struct io tx = io_make(rig, CARD_TX, true, sent, SIZE);
	int n;

	assert_non_null(sent);
	rig_program(rig, "upper");
	tx.io.nonblock = true;
	n = io_do(rig, tx);
	assert_in_range(n, 65536, 65540);
	tx.io.id = ++rig->last_id;
	assert_int_equal(io_do(rig, tx), -EAGAIN);
	assert_false(sim_backend.io_ready(rig->card, 0) & CARD_ENDPOINT_BIT(CARD_TX));
	free(sent);
}

static void registers_read_back_what_was_written(void **state)
{
	struct rig *rig = *state;
	uint16_t id = 0, value = 0xbeef;

	rig_program(rig, "regs");
	assert_int_equal(sim_backend.endpoints(rig->card, 0),
			 CARD_ENDPOINT_BIT(CARD_REGS) | CARD_ENDPOINT_BIT(CARD_PINS));
	assert_int_equal(rig_reg(rig, false, 0, &id), 2);
	assert_int_equal(id, 0xfab1);
	assert_int_equal(rig_reg(rig, true, 0x20, &value), 2);
	value = 0;
	assert_int_equal(rig_reg(rig, false, 0x20, &value), 2);
	assert_int_equal(value, 0xbeef);
	assert_int_equal(rig_reg(rig, false, 4, &value), 2);
	assert_int_equal(value, 1); /* one write, done once */
}

static void the_whole_window_is_read_at_once(void **state)
{
	struct rig *rig = *state;
	uint8_t window[600];
	struct io odd = io_make(rig, CARD_REGS, false, window, 3);
	struct io half = io_make(rig, CARD_REGS, true, window, 1);

	rig_program(rig, "regs");
	assert_int_equal(io_do(rig, io_make(rig, CARD_REGS, false, window, sizeof(window))), 512);
	assert_int_equal(window[0], 0xb1);
	assert_int_equal(window[1], 0xfa);
	odd.io.offset = 1;
	assert_int_equal(io_do(rig, odd), 3);
	assert_int_equal(window[0], 0xfa);
	assert_int_equal(window[1], 1);
	assert_int_equal(window[2], 0);
	assert_int_equal(io_do(rig, half), -EINVAL);
}

static void a_counter_advances_between_two_reads(void **state)
{
	struct rig *rig = *state;
	uint16_t low[2] = { 0 }, high[2] = { 0 };

	rig_program(rig, "regs");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rig_reg(rig, false, 2, &low[i]), 2);
		assert_int_equal(rig_reg(rig, false, 3, &high[i]), 2);
	}
	assert_true((high[1] << 16 | low[1]) > (high[0] << 16 | low[0]));
}

static void an_operation_sent_again_is_not_done_again(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[2] = { 1, 2 }, got[8] = { 0 };
	struct io write = io_make(rig, CARD_REGS, true, bytes, 2);
	uint16_t writes = 0;

	rig_program(rig, "regs");
	write.io.offset = 2 * 0x10;
	assert_int_equal(io_do(rig, write), 2);
	assert_int_equal(io_do(rig, write), 2);
	assert_int_equal(rig_reg(rig, false, 4, &writes), 2);
	assert_int_equal(writes, 1);

	rig_program(rig, "upper");

	struct io tx = io_make(rig, CARD_TX, true, (char[]){ "abcd" }, 4);
	struct io rx = io_make(rig, CARD_RX, false, got, 4);

	assert_int_equal(io_do(rig, tx), 4);
	assert_int_equal(io_do(rig, tx), 4);
	assert_int_equal(io_do(rig, rx), 4);
	assert_memory_equal(got, "ABCD", 4);
	memset(got, 0, sizeof(got));
	assert_int_equal(io_do(rig, rx), 4);
	assert_memory_equal(got, "ABCD", 4);
	rx.io.id = ++rig->last_id;
	assert_int_equal(io_do(rig, rx), 0);
}

/* The next worker finds the card as it was. */
static void a_card_survives_its_worker(void **state)
{
	struct rig *rig = *state;
	uint16_t value = 0x1234;
	int64_t pid;

	rig_program(rig, "regs");
	pid = sim_pid(rig->card);
	assert_int_equal(rig_reg(rig, true, 0x30, &value), 2);
	sim_backend.close(rig->card, false);
	rig_open(rig);
	assert_int_equal(sim_pid(rig->card), pid);
	assert_int_equal(rig_status(rig).condition, CARD_CONFIGURED);
	assert_int_equal(sim_backend.endpoints(rig->card, 0),
			 CARD_ENDPOINT_BIT(CARD_REGS) | CARD_ENDPOINT_BIT(CARD_PINS));
	value = 0;
	assert_int_equal(rig_reg(rig, false, 0x30, &value), 2);
	assert_int_equal(value, 0x1234);
}

/* Greets the card from a process of its own; exit status 0: it was sent away unanswered. */
static int stranger_main(const struct rig *rig)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct proto_msg hello = { .type = PROTO_HELLO, .seq = 1, .len = 10,
				   .data = (const uint8_t *)"iCE40-HX1K" };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char reply[PROTO_HEADER];

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/card-7.sock", rig->folder);
	if (connect(sock, (struct sockaddr *)&to, sizeof(to)) < 0)
		return 2;
	proto_send(sock, &hello, -1);
	return recv(sock, reply, sizeof(reply), 0) <= 0 ? 0 : 1;
}

static void another_process_does_not_take_the_card_from_its_worker(void **state)
{
	struct rig *rig = *state;
	char got[2];
	int status;
	pid_t pid;

	rig_program(rig, "upper");
	pid = fork();
	if (!pid)
		_exit(stranger_main(rig));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rig_tx(rig, "ab"), 2);
	rig_rx(rig, got, sizeof(got));
	assert_memory_equal(got, "AB", 2);
}

static void the_process_keeps_no_folder_busy(void **state)
{
	struct rig *rig = *state;
	char path[64], cwd[64] = "";

	/* An answer: it is past its start. */
	rig_status(rig);
	snprintf(path, sizeof(path), "/proc/%lld/cwd", (long long)sim_pid(rig->card));
	assert_true(readlink(path, cwd, sizeof(cwd) - 1) > 0);
	assert_string_equal(cwd, "/");
}

static void killing_the_process_is_a_power_cut(void **state)
{
	struct rig *rig = *state;
	char got[4];
	struct io x = io_make(rig, CARD_RX, false, got, sizeof(got));
	int64_t pid;

	rig_program(rig, "upper");
	pid = sim_pid(rig->card);
	x.io.wait = true;
	sim_backend.io_submit(rig->card, &x.io);
	rig->news = 0;
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	while (!(rig->news & CARD_NEWS_LOST))
		assert_true(rig_pump(rig, 10000));
	assert_true(x.ended);
	assert_int_equal(x.err, ENODEV);
	assert_non_null(strstr(rig->why.text, "by signal 9"));
	assert_true(sim_pid(rig->card) != pid);
	assert_int_equal(rig_status(rig).condition, CARD_UNCONFIGURED);
	assert_int_equal(sim_backend.endpoints(rig->card, 0), 0);
	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "x"), 1);
}

static void a_copy_right_after_a_power_cut_works(void **state)
{
	struct rig *rig = *state;
	pid_t pid;

	rig_program(rig, "regs");
	pid = (pid_t)sim_pid(rig->card);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig->news = 0;
	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "x"), 1);
	/* What it had is not missed by anybody. */
	while (rig_pump(rig, 0))
		;
	assert_false(rig->news & CARD_NEWS_LOST);
	assert_int_equal(rig_status(rig).condition, CARD_CONFIGURED);
}

static void a_question_after_a_power_cut_is_answered_and_the_loss_told(void **state)
{
	struct rig *rig = *state;
	pid_t pid;

	rig_program(rig, "regs");
	pid = (pid_t)sim_pid(rig->card);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig->news = 0;
	assert_int_equal(rig_status(rig).condition, CARD_UNCONFIGURED);
	assert_true(rig_pump(rig, 10000));
	assert_true(rig->news & CARD_NEWS_LOST);
}

static void another_image_ends_what_waits(void **state)
{
	struct rig *rig = *state;
	char got[4];
	struct io x = io_make(rig, CARD_RX, false, got, sizeof(got));

	rig_program(rig, "upper");
	x.io.wait = true;
	sim_backend.io_submit(rig->card, &x.io);
	rig_program(rig, "regs");
	io_wait(rig, &x);
	assert_int_equal(x.err, ESTALE);
	assert_int_equal(rig_tx(rig, "x"), -ENODEV);
}

static void clear_and_reset_do_what_they_say(void **state)
{
	struct rig *rig = *state;
	uint16_t value = 7;

	rig_program(rig, "regs");
	assert_int_equal(rig_reg(rig, true, 0x10, &value), 2);
	assert_int_equal(sim_backend.reset(rig->card, 0, &rig->why), 0);
	assert_int_equal(rig_reg(rig, false, 4, &value), 2);
	assert_int_equal(value, 0);
	assert_int_equal(rig_reg(rig, false, 0x10, &value), 2);
	assert_int_equal(value, 7); /* block RAM has no reset */
	assert_int_equal(sim_backend.clear(rig->card, 0, &rig->why), 0);
	assert_int_equal(rig_status(rig).condition, CARD_UNCONFIGURED);
	assert_int_equal(sim_backend.endpoints(rig->card, 0), 0);
}

static void verify_tells_the_loaded_image_from_another(void **state)
{
	struct rig *rig = *state;
	int upper = example_open("upper"), regs = example_open("regs");
	struct card_run run = rig_run(rig, upper, 0);

	rig_program(rig, "upper");
	assert_int_equal(sim_backend.verify(rig->card, &run, &rig->why), 0);
	run = rig_run(rig, regs, 0);
	assert_int_equal(sim_backend.verify(rig->card, &run, &rig->why), -EBADMSG);
	close(upper);
	close(regs);
}

static void an_image_for_another_part_leaves_the_design_running(void **state)
{
	struct rig *rig = *state;
	int fd = example_open("upper-hx8k");
	char got[3] = "";

	rig_program(rig, "upper");
	assert_int_equal(rig_program_fd(rig, fd), -EMEDIUMTYPE);
	close(fd);
	assert_int_equal(rig_tx(rig, "ok"), 2);
	rig_rx(rig, got, 2);
	assert_string_equal(got, "OK");
}

static void telemetry_counts_what_happened(void **state)
{
	struct rig *rig = *state;
	char got[6] = "";

	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "hello"), 5);
	rig_rx(rig, got, 5);
	assert_true(rig_sensor(rig, "bytes_in", CARD_MEASURED) == 5);
	assert_true(rig_sensor(rig, "bytes_out", CARD_MEASURED) == 5);
	assert_true(rig_sensor(rig, "cycles", CARD_MEASURED) > 5);
	assert_true(rig_sensor(rig, "toggles", CARD_MEASURED) > 5);
	assert_true(rig_sensor(rig, "dffs", CARD_DECODED) == 9);
	assert_true(rig_sensor(rig, "model_temp_celsius", CARD_MODEL) >= 25);
	assert_true(rig_sensor(rig, "model_power_watts", CARD_MODEL) >= 0.000355); /* 296 uA */
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, unlimited, done)
		T(a_new_card_is_unconfigured_and_offers_nothing),
		T(upper_answers_in_upper_case),
		T(status_has_the_hash_of_what_the_port_took),
		T(a_read_that_does_not_wait_ends_when_the_design_is_quiet),
		T(a_waiting_read_gets_bytes_that_come_later),
		T(a_nonblocking_read_of_nothing_is_eagain),
		T(a_cancelled_read_ends_with_eintr_and_takes_nothing),
		T(a_full_queue_makes_the_writer_wait),
		T(a_nonblocking_write_to_a_full_design_is_short_then_eagain),
		T(registers_read_back_what_was_written),
		T(the_whole_window_is_read_at_once),
		T(a_counter_advances_between_two_reads),
		T(an_operation_sent_again_is_not_done_again),
		T(a_card_survives_its_worker),
		T(another_process_does_not_take_the_card_from_its_worker),
		T(the_process_keeps_no_folder_busy),
		T(killing_the_process_is_a_power_cut),
		T(a_copy_right_after_a_power_cut_works),
		T(a_question_after_a_power_cut_is_answered_and_the_loss_told),
		T(another_image_ends_what_waits),
		T(clear_and_reset_do_what_they_say),
		T(verify_tells_the_loaded_image_from_another),
		T(an_image_for_another_part_leaves_the_design_running),
		T(telemetry_counts_what_happened),
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
