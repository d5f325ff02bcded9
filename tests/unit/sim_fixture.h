// SPDX-License-Identifier: Apache-2.0
/*
 * A simulated card for unit tests: the real backend and the real process, which
 * is this test program again under its other name.
 */
#ifndef TEST_SIM_FIXTURE_H
#define TEST_SIM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/card/sim/sim.h"

#include <fabricfs/clock.h>
#include <fabricfs/digest.h>
#include <fabricfs/sim_card.h>

#define WAIT_NS 20000000000

struct rig {
	char folder[64];
	struct card_host host;
	struct card_config config;
	struct card_value values[4];
	struct card_facts facts;
	void *card;
	struct reason why;
	int cancel_fd;
	uint64_t last_id;
	unsigned news; /* all that pump() told */
	unsigned progress_calls;
	uint64_t progress;
	void (*on_progress)(struct rig *rig, uint64_t done);
};

static inline void rig_wake(const struct card_host *host)
{
	(void)host;
}

/* Reach the card, as a worker that starts. */
static inline void rig_open(struct rig *rig)
{
	int err = sim_backend.open(&rig->config, &rig->host, &rig->card, &rig->facts, &rig->why);

	if (err)
		fail_msg("open: %s", rig->why.text);
}

static inline struct rig *rig_new(int64_t hz, bool lies)
{
	static const char *const faults[] = { "link-lies", "true", NULL };
	struct rig *rig = calloc(1, sizeof(*rig));
	size_t n = 0;

	assert_non_null(rig);
	snprintf(rig->folder, sizeof(rig->folder), "/tmp/test_sim.XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	rig->host.dev = 7;
	rig->host.slot = -1;
	rig->host.run_dir = open(rig->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rig->host.self_exe = "/proc/self/exe";
	rig->host.wake = rig_wake;
	rig->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig->values[n++] = (struct card_value){ .key = "config_clock_hz", .kind = CARD_KEY_INTEGER,
						.number = hz };
	if (lies)
		rig->values[n++] = (struct card_value){ .key = "faults", .kind = CARD_KEY_MAP,
							.list = faults, .list_len = 2 };
	rig->config = (struct card_config){ .name = "bench", .part = "", .values = rig->values,
					    .values_len = n };
	rig_open(rig);
	return rig;
}

static inline void rig_free(struct rig *rig)
{
	char path[128];

	if (rig->card)
		sim_backend.close(rig->card, true);
	close(rig->host.run_dir);
	close(rig->cancel_fd);
	snprintf(path, sizeof(path), "%s/card-7.lock", rig->folder);
	unlink(path);
	/* A clean end leaves no socket, or the folder stays. */
	assert_int_equal(rmdir(rig->folder), 0);
	free(rig);
}

/* Wait for a message and take it. False: none came in time. */
static inline bool rig_pump(struct rig *rig, int ms)
{
	struct pollfd poller = { .fd = sim_backend.poll_fd(rig->card), .events = POLLIN };

	if (poll(&poller, 1, ms) <= 0)
		return false;
	rig->news |= sim_backend.pump(rig->card, &rig->why);
	return true;
}

/* --- images --- */

/* An example by its name, or another image by its path. */
static inline int example_open(const char *name)
{
	char path[256];
	int fd;

	if (strchr(name, '/'))
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), "contrib/examples/%s/%s.bin", name, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s is not there: run this from the top of the source", path);
	return fd;
}

static inline void rig_progress(struct card_run *run, uint64_t done)
{
	struct rig *rig = run->core;

	rig->progress_calls++;
	assert_true(done >= rig->progress);
	rig->progress = done;
	if (rig->on_progress)
		rig->on_progress(rig, done);
}

/* A run of the image in fd. */
static inline struct card_run rig_run(struct rig *rig, int fd, uint64_t id)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	rig->progress = 0;
	rig->progress_calls = 0;
	return (struct card_run){
		.id = id,
		.fd = fd,
		.size = (uint64_t)st.st_size,
		.deadline_ns = clock_mono_ns() + WAIT_NS,
		.cancel_fd = rig->cancel_fd,
		.progress = rig_progress,
		.core = rig,
	};
}

/* accept, program, confirm. */
static inline int rig_program_fd(struct rig *rig, int fd)
{
	struct card_run run = rig_run(rig, fd, ++rig->last_id);
	int err = sim_backend.accept(rig->card, &run, &rig->why);

	if (!err)
		err = sim_backend.program(rig->card, &run, &rig->why);
	if (!err)
		err = sim_backend.confirm(rig->card, &run, &rig->why);
	return err;
}

static inline void rig_program(struct rig *rig, const char *example)
{
	int fd = example_open(example);

	if (rig_program_fd(rig, fd))
		fail_msg("%s: %s", example, rig->why.text);
	close(fd);
}

static inline struct card_status rig_status(struct rig *rig)
{
	struct card_status status;

	if (sim_backend.status(rig->card, 0, &status, &rig->why))
		fail_msg("status: %s", rig->why.text);
	return status;
}

/* The value of a sensor, which has to be of this source. */
static inline double rig_sensor(struct rig *rig, const char *name, enum card_source source)
{
	struct card_sensor sensors[CARD_SENSORS_MAX];
	int n = sim_backend.telemetry(rig->card, sensors, CARD_SENSORS_MAX, &rig->why);

	for (int i = 0; i < n; i++)
		if (strcmp(sensors[i].name, name) == 0) {
			assert_int_equal(sensors[i].source, source);
			return sensors[i].value;
		}
	fail_msg("there is no value %s", name);
	return 0;
}

/* --- reads and writes --- */

struct io {
	struct card_io io;
	bool ended;
	int err;
	size_t moved;
};

static inline void io_ended(struct card_io *io, int err, size_t moved)
{
	struct io *x = (struct io *)io;

	assert_false(x->ended);
	x->ended = true;
	x->err = err;
	x->moved = moved;
}

static inline struct io io_make(struct rig *rig, enum card_endpoint endpoint, bool write, void *data,
			 size_t size)
{
	return (struct io){ .io = { .endpoint = endpoint, .write = write, .id = ++rig->last_id,
				    .data = data, .size = size, .done = io_ended } };
}

static inline void io_wait(struct rig *rig, struct io *x)
{
	int64_t deadline = clock_mono_ns() + WAIT_NS;

	while (!x->ended) {
		if (clock_mono_ns() > deadline)
			fail_msg("an operation did not end");
		rig_pump(rig, 1000);
	}
}

/* Bytes moved, or -errno. */
static inline int io_do(struct rig *rig, struct io x)
{
	sim_backend.io_submit(rig->card, &x.io);
	io_wait(rig, &x);
	return x.err ? -x.err : (int)x.moved;
}

static inline int rig_tx(struct rig *rig, const char *text)
{
	return io_do(rig, io_make(rig, CARD_TX, true, (void *)(uintptr_t)text, strlen(text)));
}

/* Until `size` bytes came, each read waiting. */
static inline void rig_rx(struct rig *rig, void *data, size_t size)
{
	size_t got = 0;

	while (got < size) {
		struct io x = io_make(rig, CARD_RX, false, (char *)data + got, size - got);
		int n;

		x.io.wait = true;
		n = io_do(rig, x);
		assert_true(n > 0);
		got += (size_t)n;
	}
}

static inline int rig_reg(struct rig *rig, bool write, unsigned reg, uint16_t *value)
{
	uint8_t bytes[2] = { (uint8_t)*value, (uint8_t)(*value >> 8) };
	struct io x = io_make(rig, CARD_REGS, write, bytes, 2);
	int n;

	x.io.offset = 2 * reg;
	n = io_do(rig, x);
	*value = (uint16_t)(bytes[0] | bytes[1] << 8);
	return n;
}


#endif
