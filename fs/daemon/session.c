// SPDX-License-Identifier: Apache-2.0
/*
 * The session (session.h): a memfd that outlives its workers.
 *
 * One writer may die between any two stores, so nothing here is ever locked in
 * the shared memory: a lock of a dead worker would stay taken. Locks are of
 * this process; what is shared is published by one last store.
 */
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <linux/fuse.h>
#include <unistd.h>

#include "fs/daemon/opens_saved.h"
#include "fs/daemon/session.h"
#include "fs/daemon/session_fd.h"
#include "fs/daemon/suspect.h"

#include <fabricfs/buf.h>

#define SESSION_MAGIC UINT64_C(0x6e6f697373657366) /* "fsession" */
/* Grows when the layout changes: a worker of another build must not misread it. */
#define SESSION_VERSION 5

/* A journal entry is needed until its answer reached the kernel. Each request that is
 * being answered would have to wait for 4095 later ones to lose its entry. */
#define JOURNAL_LEN 4096
#define HANDLE_BITS 13
/* The last place is never used: its number marks what session_number() gives. */
#define HANDLE_LEN ((1u << HANDLE_BITS) - 1)
#define HANDLE_MASK ((UINT64_C(1) << HANDLE_BITS) - 1)
#define OPCODES 64

struct journal_entry {
	_Atomic uint64_t unique; /* 0 while the rest is being written */
	_Atomic uint64_t value;
	_Atomic uint64_t ticket;
	_Atomic int32_t err;
	_Atomic uint32_t check; /* over the rest: an entry two threads tore is not believed */
};

struct session {
	uint64_t magic;
	uint32_t version;
	uint32_t bytes;
	uint64_t id;
	_Atomic uint64_t number;
	_Atomic uint64_t ticket;
	_Atomic uint32_t handles_high; /* handles[] beyond it were never touched */
	_Atomic uint32_t init_len;     /* 0 = not saved; written last */
	_Atomic uint32_t init_answered;
	_Atomic uint64_t resent[OPCODES];
	uint8_t init[SESSION_INIT_MAX];
	struct suspects suspects;
	struct journal_entry journal[JOURNAL_LEN];
	struct saved_handle handles[HANDLE_LEN];
	struct saved_opens opens;
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "entries are shared between processes");

static struct session *session;
static int connection = -1;

/* Places given out by saved_new() and not yet published or dropped. Of this process only:
 * when it dies, what it had not published is free again. */
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t handles_taken[HANDLE_LEN];
static unsigned handles_free_from; /* every place below it is taken */

static __thread struct request current;

int session_create(void)
{
	int fd CLEANUP_FD = memfd_create("fabricfs-session", MFD_ALLOW_SEALING);
	struct {
		uint64_t magic;
		uint32_t version, bytes;
		uint64_t id;
	} head = { SESSION_MAGIC, SESSION_VERSION, sizeof(struct session), 0 };

	_Static_assert(offsetof(struct session, id) == offsetof(__typeof__(head), id),
		       "the head is written before it is mapped");
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(struct session)) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	if (getrandom(&head.id, sizeof(head.id), 0) != sizeof(head.id))
		return -errno;
	ssize_t n = pwrite(fd, &head, sizeof(head), 0);

	if (n != (ssize_t)sizeof(head))
		return n < 0 ? -errno : -EIO;
	return STEAL_FD(fd);
}

int session_attach(int memfd, struct reason *why)
{
	struct stat st;

	if (fstat(memfd, &st))
		return reason_set(why, errno, "the session of the mount: %s", strerror(errno));
	if ((size_t)st.st_size != sizeof(struct session))
		return reason_set(why, EPROTO, "the session of the mount has %lld bytes, this program"
				  " wants %zu: it was made by another version, mount again",
				  (long long)st.st_size, sizeof(struct session));

	void *p = mmap(NULL, sizeof(struct session), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	if (p == MAP_FAILED)
		return reason_set(why, errno, "the session of the mount: mmap: %s", strerror(errno));

	struct session *s = p;

	if (s->magic != SESSION_MAGIC || s->version != SESSION_VERSION ||
	    s->bytes != sizeof(struct session)) {
		int err = reason_set(why, EPROTO, "the session of the mount is of version %u, this"
				     " program wants %u: mount again", s->version, SESSION_VERSION);

		munmap(p, sizeof(struct session));
		return err;
	}
	if (session)
		munmap(session, sizeof(*session));
	session = s;

	pthread_mutex_lock(&handles_lock);
	memset(handles_taken, 0, sizeof(handles_taken));
	handles_free_from = 0;
	for (unsigned i = 0; i < atomic_load(&s->handles_high) && i < HANDLE_LEN; i++)
		handles_taken[i] = atomic_load(&s->handles[i].fh) != 0;
	pthread_mutex_unlock(&handles_lock);
	opens_attach(&s->opens);
	return 0;
}

void session_set_fd(int fd)
{
	connection = fd;
}

/* --- INIT ----------------------------------------------------------------------- */

void session_init_save(const void *request, size_t n)
{
	if (n > SESSION_INIT_MAX)
		return;
	atomic_store(&session->init_len, 0);
	memcpy(session->init, request, n);
	atomic_store(&session->init_len, (uint32_t)n);
}

size_t session_init_load(void *out, size_t max)
{
	size_t n = atomic_load(&session->init_len);

	if (n > SESSION_INIT_MAX || n > max)
		return 0;
	memcpy(out, session->init, n);
	return n;
}

void session_init_answered(void)
{
	atomic_store(&session->init_answered, 1);
}

bool session_init_was_answered(void)
{
	return atomic_load(&session->init_answered);
}

/* --- the request being handled ---------------------------------------------------- */

const struct request *request_current(void)
{
	return &current;
}

void request_set(const struct request *request)
{
	current = request ? *request : (struct request){ 0 };
}

/* --- the journal ------------------------------------------------------------------- */

/* FNV-1a; it only has to tell a torn entry from a whole one. */
static uint32_t entry_check(uint64_t unique, uint64_t ticket, int32_t err, uint64_t value)
{
	uint64_t words[4] = { unique, ticket, (uint32_t)err, value };
	const uint8_t *p = (const uint8_t *)words;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof(words); i++)
		h = (h ^ p[i]) * 16777619u; // NOLINT(clang-analyzer-core.*) loses words[1] on, read by bytes
	return h;
}

bool journal_find(uint64_t unique, int *err, uint64_t *value)
{
	uint64_t newest = 0;

	unique &= ~FUSE_RESENT_BIT;
	if (!unique)
		return false;
	/* All of it: this runs for resent requests only, and takes microseconds. */
	for (unsigned i = 0; i < JOURNAL_LEN; i++) {
		struct journal_entry *e = &session->journal[i];

		if (atomic_load_explicit(&e->unique, memory_order_acquire) != unique)
			continue;
		uint64_t ticket = atomic_load_explicit(&e->ticket, memory_order_relaxed);
		uint64_t its_value = atomic_load_explicit(&e->value, memory_order_relaxed);
		int32_t its_err = atomic_load_explicit(&e->err, memory_order_relaxed);
		uint32_t check = atomic_load_explicit(&e->check, memory_order_relaxed);

		if (check != entry_check(unique, ticket, its_err, its_value) || ticket < newest)
			continue;
		newest = ticket;
		if (err)
			*err = its_err;
		if (value)
			*value = its_value;
	}
	return newest != 0;
}

void journal_done(uint64_t unique, int err, uint64_t value)
{
	uint64_t ticket = atomic_fetch_add(&session->ticket, 1) + 1;
	struct journal_entry *e = &session->journal[ticket % JOURNAL_LEN];

	unique &= ~FUSE_RESENT_BIT;
	atomic_store(&e->unique, 0);
	atomic_store_explicit(&e->ticket, ticket, memory_order_relaxed);
	atomic_store_explicit(&e->err, err, memory_order_relaxed);
	atomic_store_explicit(&e->value, value, memory_order_relaxed);
	atomic_store_explicit(&e->check, entry_check(unique, ticket, err, value), memory_order_relaxed);
	atomic_store_explicit(&e->unique, unique, memory_order_release);
}

/* --- handles ------------------------------------------------------------------------ */

uint64_t session_id(void)
{
	return session->id;
}

static uint64_t number_next(void)
{
	return atomic_fetch_add(&session->number, 1) + 1;
}

uint64_t session_number(void)
{
	/* Handles have their place in the low bits; this place does not exist. */
	return number_next() << HANDLE_BITS | HANDLE_MASK;
}

struct saved_handle *saved_new(enum saved_kind kind, uint64_t *fh)
{
	unsigned i;

	pthread_mutex_lock(&handles_lock);
	for (i = handles_free_from; i < HANDLE_LEN && handles_taken[i]; i++)
		;
	handles_free_from = i;
	if (i == HANDLE_LEN) {
		pthread_mutex_unlock(&handles_lock);
		return NULL;
	}
	handles_taken[i] = 1;
	handles_free_from++;
	/* Known to successors before anything can be published there. */
	if (i >= atomic_load(&session->handles_high))
		atomic_store(&session->handles_high, i + 1);
	pthread_mutex_unlock(&handles_lock);

	struct saved_handle *h = &session->handles[i];

	memset(h, 0, sizeof(*h));
	h->kind = kind;
	h->opened_by = current.unique;
	*fh = number_next() << HANDLE_BITS | i;
	return h;
}

void saved_publish(struct saved_handle *h, uint64_t fh)
{
	assert((fh & HANDLE_MASK) == (uint64_t)(h - session->handles));
	atomic_store_explicit(&h->fh, fh, memory_order_release);
}

struct saved_handle *saved_find(uint64_t fh)
{
	uint64_t i = fh & HANDLE_MASK;

	if (!fh || i >= HANDLE_LEN || i >= atomic_load(&session->handles_high))
		return NULL;
	struct saved_handle *h = &session->handles[i];

	return atomic_load_explicit(&h->fh, memory_order_acquire) == fh ? h : NULL;
}

void saved_drop(struct saved_handle *h)
{
	unsigned i = (unsigned)(h - session->handles);

	assert(i < HANDLE_LEN);
	atomic_store_explicit(&h->fh, 0, memory_order_release);
	pthread_mutex_lock(&handles_lock);
	handles_taken[i] = 0;
	if (i < handles_free_from)
		handles_free_from = i;
	pthread_mutex_unlock(&handles_lock);
}

struct made {
	enum saved_kind kind;
	struct saved_handle *found;
};

static int made_match(struct saved_handle *h, void *arg)
{
	struct made *made = arg;

	if (h->kind != made->kind || h->opened_by != current.unique)
		return 0;
	made->found = h;
	return 1;
}

struct saved_handle *saved_made_before(enum saved_kind kind)
{
	struct made made = { .kind = kind };

	if (current.resent && current.unique)
		saved_each(made_match, &made);
	return made.found;
}

int saved_each(int (*fn)(struct saved_handle *h, void *arg), void *arg)
{
	unsigned high = atomic_load(&session->handles_high);

	for (unsigned i = 0; i < high && i < HANDLE_LEN; i++) {
		struct saved_handle *h = &session->handles[i];

		if (!atomic_load_explicit(&h->fh, memory_order_acquire))
			continue;
		int r = fn(h, arg);

		if (r)
			return r;
	}
	return 0;
}

/* --- telling the kernel ---------------------------------------------------------------- */

static void notify(int32_t code, struct iovec *iov, int count)
{
	struct fuse_out_header out = { .error = code };

	if (connection < 0)
		return;
	iov[0] = (struct iovec){ &out, sizeof(out) };
	for (int i = 0; i < count; i++)
		out.len += (uint32_t)iov[i].iov_len;
	/* ENOENT: the kernel does not know the node (any more). ENODEV: unmounted. Nobody
	 * is left to be told, and no caller could do better. */
	(void)!writev(connection, iov, count);
	iov[0] = (struct iovec){ 0 }; /* the caller's; what it pointed to ends here */
}

void session_notify_poll(uint64_t kh)
{
	struct fuse_notify_poll_wakeup_out arg = { .kh = kh };
	struct iovec iov[2] = { [1] = { &arg, sizeof(arg) } };

	notify(FUSE_NOTIFY_POLL, iov, 2);
}

void session_notify_inode(uint64_t ino)
{
	/*
	 * A negative offset: attributes only. The pages follow when somebody reads: with
	 * FUSE_AUTO_INVAL_DATA a new mtime or size drops them, in the reader's context.
	 * Dropping them here would lock a page that a READ in flight holds; killed there,
	 * this process could not die before that READ is answered, and its successor, who
	 * would answer, is started only when it is dead (seen on 6.18).
	 */
	struct fuse_notify_inval_inode_out arg = { .ino = ino, .off = -1 };
	struct iovec iov[2] = { [1] = { &arg, sizeof(arg) } };

	notify(FUSE_NOTIFY_INVAL_INODE, iov, 2);
}

/* --- statistics -------------------------------------------------------------------------- */

void session_count_resent(uint32_t opcode)
{
	atomic_fetch_add(&session->resent[opcode < OPCODES ? opcode : 0], 1);
}

uint64_t session_resent(uint32_t opcode)
{
	return opcode < OPCODES ? atomic_load(&session->resent[opcode]) : 0;
}

struct suspects *session_suspects(void)
{
	return session ? &session->suspects : NULL;
}
