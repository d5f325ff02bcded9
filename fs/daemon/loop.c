// SPDX-License-Identifier: Apache-2.0
/*
 * Receiving requests (loop.h).
 *
 * Threads: each has its own buffer, and one of them has the lead: it reads the
 * connection. What is answered from memory it answers and reads on; before it
 * handles anything else, or finds that it has to wait, it hands on the lead, and takes it again when it is done and
 * nobody has it. If all of them read, the kernel gives requests to them by turns, and
 * the caller of a value file waits for a thread to wake up at each step, although one
 * was awake. They are cancelled only inside read(), so a request that was received is
 * always handled.
 *
 * Our own loop instead of fuse_session_loop_mt() because of what has to happen
 * between receiving and processing: INIT is saved, the unique id is noted for
 * the journal, and the buffers must be locked. With pages that are not there
 * the kernel's copy into the buffer faults; a kill -9 then makes the kernel
 * answer EIO itself instead of keeping the request for our successor (measured:
 * 3 of 292 kills under load, with locked buffers 0 of 291).
 */
#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/daemon/loop.h"
#include "fs/daemon/session.h"
#include "fs/daemon/session_fd.h"
#include "fs/daemon/suspect.h"
#include "fs/tree/tree.h"

#include <fabricfs/log.h>

/* linux/fuse.h of kernel 6.9; older headers lack it. */
#define NOTIFY_RESEND 7

/* What INIT was answered with, and a page for the headers (libfuse's FUSE_BUFFER_HEADER_SIZE). */
#define BUFFER_BYTES (TREE_DATA_MAX + 4096u)

#define THREADS_MAX 64

/* No live request can have it, and it is not 0, which means a notification. */
#define INIT_REPLAY_UNIQUE UINT64_C(0x7ffffffffffffff0)

static struct {
	struct fuse_session *se;
	int fd, event_fd;
	pthread_t threads[THREADS_MAX];
	void *buffers[THREADS_MAX];
	unsigned len;
	pthread_mutex_t init_lock;
	_Atomic bool serving, ended;
	bool inherited; /* a worker before us had INIT */

	pthread_mutex_t lead_lock;
	pthread_cond_t lead_free;
	bool led, stopping; /* lead_lock */
} loop = {
	.init_lock = PTHREAD_MUTEX_INITIALIZER,
	.lead_lock = PTHREAD_MUTEX_INITIALIZER,
	.lead_free = PTHREAD_COND_INITIALIZER,
};

static void event(void)
{
	uint64_t one = 1;

	if (write(loop.event_fd, &one, sizeof(one)) < 0)
		return; /* full: it is readable already */
}

static void process(void *bytes, size_t n)
{
	struct fuse_buf buf = { .mem = bytes, .size = n };

	fuse_session_process_buf(loop.se, &buf);
}

/* Something is added to its answer (passthrough.c). */
static void init_process(void *bytes, size_t n)
{
	request_set(&(struct request){ .opcode = FUSE_INIT });
	process(bytes, n);
	request_set(NULL);
}

static bool init_replay(void)
{
	union {
		struct fuse_in_header header;
		uint8_t bytes[SESSION_INIT_MAX];
	} saved;
	size_t n = session_init_load(saved.bytes, sizeof(saved));

	if (n < sizeof(struct fuse_in_header))
		return false;
	saved.header.unique = INIT_REPLAY_UNIQUE;
	/* The kernel answers the reply with ENOENT, which libfuse takes in silence. */
	init_process(saved.bytes, n);
	return true;
}

/*
 * The first request decides where the connection is: INIT means that nobody
 * answered it yet. Another means that somebody did, although he died before he
 * could note it. True: the request was INIT and is done.
 */
static bool init_step(struct fuse_in_header *in, size_t n)
{
	bool was_init = false;

	pthread_mutex_lock(&loop.init_lock);
	if (!atomic_load(&loop.serving)) {
		if (in->opcode == FUSE_INIT) {
			uint64_t unique = in->unique;

			/* Saved without the mark: a later replay is not a resend. */
			in->unique &= ~FUSE_RESENT_BIT;
			session_init_save(in, n);
			in->unique = unique;
			init_process(in, n);
			was_init = true;
		} else {
			init_replay();
		}
		session_init_answered();
		atomic_store(&loop.serving, true);
		event();
	}
	pthread_mutex_unlock(&loop.init_lock);
	return was_init;
}

static __attribute__((noinline)) void handle(void *bytes, size_t n)
{
	struct fuse_in_header *in = bytes;
	struct request request = { 0 };

	if (n < sizeof(*in))
		return;
	request.unique = in->unique & ~FUSE_RESENT_BIT;
	request.resent = in->unique & FUSE_RESENT_BIT;
	request.opcode = in->opcode;
	if (in->opcode == FUSE_POLL && n >= sizeof(*in) + sizeof(struct fuse_poll_in))
		request.poll_kh = ((struct fuse_poll_in *)(in + 1))->kh;
	if (request.resent)
		session_count_resent(request.opcode);
	if (!atomic_load(&loop.serving) && init_step(in, n))
		return;
	request_set(&request);
	if (request.resent && suspect_convicted(request.unique)) {
		struct fuse_out_header out = { .len = sizeof(out), .error = -EIO, .unique = in->unique };

		if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET &&
		    write(loop.fd, &out, sizeof(out)) < 0)
			log_debug("the caller of a convicted request is gone");
		return;
	}
	suspect_begin(request.unique);
	process(bytes, n);
	suspect_end();
}

/* --- threads --------------------------------------------------------------------------- */

/* False: no thread is to receive any more. */
static __attribute__((noinline)) bool lead_take(void)
{
	bool taken;

	pthread_mutex_lock(&loop.lead_lock);
	while (loop.led && !loop.stopping)
		pthread_cond_wait(&loop.lead_free, &loop.lead_lock);
	taken = !loop.stopping;
	if (taken)
		loop.led = true;
	pthread_mutex_unlock(&loop.lead_lock);
	return taken;
}

/* Of this thread: it has the lead. */
static _Thread_local bool leading;

static __attribute__((noinline)) void lead_give(void)
{
	leading = false;
	pthread_mutex_lock(&loop.lead_lock);
	loop.led = false;
	pthread_cond_signal(&loop.lead_free);
	pthread_mutex_unlock(&loop.lead_lock);
}

bool loop_leads(void)
{
	return leading;
}

void loop_may_wait(void)
{
	if (leading)
		lead_give();
}

/* Is it handled before another one is received? */
static bool handled_first(const void *bytes, size_t n)
{
	const struct fuse_in_header *in = bytes;

	return n >= sizeof(*in) && atomic_load_explicit(&loop.serving, memory_order_relaxed) &&
	       tree_answers_at_once(in->opcode, in->nodeid);
}

static __attribute__((noinline)) void thread_ended(void)
{
	atomic_store(&loop.ended, true);
	event();
}

/*
 * Has no variable whose address is taken: a cancelled thread leaves this frame
 * without its epilogue, and AddressSanitizer of GCC 12 would keep it poisoned.
 */
static void *loop_thread(void *buffer)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	for (;;) {
		if (!leading && !lead_take())
			return NULL;
		leading = true;
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		ssize_t n = read(loop.fd, buffer, BUFFER_BYTES);
		int err = errno;

		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		if (n >= 0) {
			if (!handled_first(buffer, (size_t)n))
				lead_give();
			handle(buffer, (size_t)n);
			continue;
		}
		/* ENOENT: the request was interrupted before we had it. */
		if (err == EINTR || err == EAGAIN || err == ENOENT)
			continue;
		/* ENODEV: unmounted. ECONNABORTED: aborted by hand. */
		if (err != ENODEV && err != ECONNABORTED)
			log_error("reading the fuse connection: %s", strerror(err));
		break;
	}
	thread_ended();
	return NULL;
}

/* Touched and locked before the first request; see above. */
static void *buffer_new(void)
{
	static bool told;
	void *p = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (mlock(p, BUFFER_BYTES) && !told) {
		told = true;
		log_debug("receive buffers are not locked in memory: %s", strerror(errno));
	}
	return p;
}

/* Our predecessor was reaped before we were started: nobody else answers what it had read. */
static void resend(void)
{
	struct fuse_out_header out = { .len = sizeof(out), .error = NOTIFY_RESEND };

	if (write(loop.fd, &out, sizeof(out)) == (ssize_t)sizeof(out))
		return;
	if (!loop.inherited)
		return;
	log_error("this kernel does not resend requests (%s; wanted: Linux 6.9): what the last worker"
		  " had received stays unanswered", strerror(errno));
}

int loop_start(struct fuse_session *se, unsigned threads, int event_fd, struct reason *why)
{
	uint8_t init[SESSION_INIT_MAX];

	loop.se = se;
	loop.fd = fuse_session_fd(se);
	loop.event_fd = event_fd;
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	for (unsigned i = 0; i < threads; i++) {
		loop.buffers[i] = buffer_new();
		if (!loop.buffers[i])
			return reason_set(why, ENOMEM, "no memory for %u receive buffers", threads);
	}

	loop.inherited = session_init_load(init, sizeof(init)) > 0;
	if (loop.inherited && session_init_was_answered()) {
		init_replay();
		atomic_store(&loop.serving, true);
		event();
	}
	/* Also when nothing was saved: it may have died between reading INIT and saving it. */
	resend();
	for (unsigned i = 0; i < threads; i++) {
		int err = pthread_create(&loop.threads[i], NULL, loop_thread, loop.buffers[i]);

		if (err)
			return reason_set(why, err, "starting thread %u of %u: %s", i + 1, threads,
					  strerror(err));
		loop.len = i + 1;
	}
	return 0;
}

_Bool loop_is_serving(void)
{
	/* With an INIT that may be answered, the first request tells; there may be none for long. */
	return atomic_load(&loop.serving) || loop.inherited;
}

_Bool loop_has_ended(void)
{
	return atomic_load(&loop.ended);
}

void loop_stop(void)
{
	pthread_mutex_lock(&loop.lead_lock);
	loop.stopping = true;
	pthread_cond_broadcast(&loop.lead_free);
	pthread_mutex_unlock(&loop.lead_lock);
	for (unsigned i = 0; i < loop.len; i++)
		pthread_cancel(loop.threads[i]);
	for (unsigned i = 0; i < loop.len; i++)
		pthread_join(loop.threads[i], NULL);
	loop.len = 0;
	for (unsigned i = 0; i < THREADS_MAX; i++)
		if (loop.buffers[i])
			munmap(loop.buffers[i], BUFFER_BYTES);
	memset(loop.buffers, 0, sizeof(loop.buffers));
}
