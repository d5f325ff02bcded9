// SPDX-License-Identifier: Apache-2.0
/*
 * The session: what one mount must remember when its worker dies.
 *
 * The holder makes a memfd and gives it to every worker; workers map it shared.
 * It holds the saved INIT request, a journal of requests that changed something
 * (by their unique id), and a table of open handles. A kill -9 may hit between
 * any two stores, so each entry is published by its last store.
 *
 * It dies with the mount: what must survive longer is in the store. Any thread.
 */
#ifndef FS_DAEMON_SESSION_H
#define FS_DAEMON_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <fabricfs/digest.h>
#include <fabricfs/error.h>

struct fuse_session;

/* A memfd of the right size, empty; close-on-exec is clear so that workers get it. -errno. */
int session_create(void);
/* Map it; once, before threads. */
int session_attach(int memfd, struct reason *why);

/* --- INIT ----------------------------------------------------------------------- */

#define SESSION_INIT_MAX 4096
void session_init_save(const void *request, size_t n);
/* Bytes copied to out, 0 = no INIT has been seen on this mount. */
size_t session_init_load(void *out, size_t max);

/* --- the request being handled ---------------------------------------------------- */

#define FUSE_RESENT_BIT (UINT64_C(1) << 63)
/* Of the request that this thread is processing; set by the worker's loop. */
struct request {
	uint64_t unique; /* without the resent bit */
	bool resent;     /* it was read before by a worker that died */
	uint32_t opcode; /* FUSE_* of linux/fuse.h */
	uint64_t poll_kh; /* FUSE_POLL only: the kernel's poll handle */
};
const struct request *request_current(void);
void request_set(const struct request *request); /* for the loop and for unit tests */

/* --- the journal ------------------------------------------------------------------- */

/* Was this request done already? True: repeat its answer. */
bool journal_find(uint64_t unique, int *err, uint64_t *value);
/* Note the answer, before giving it. err: positive errno or 0; value: what
 * belongs to it (bytes written, a handle). */
void journal_done(uint64_t unique, int err, uint64_t value);

/* --- handles ------------------------------------------------------------------------ */

enum saved_kind {
	SAVED_FREE = 0,
	SAVED_UPLOAD, /* image or check opened for writing, or a temporary */
	SAVED_READER, /* image opened for reading */
	SAVED_FOLLOW, /* .follow */
	SAVED_IO,     /* io/... */
	SAVED_WATCH,  /* a value file that is polled */
	SAVED_COMMAND, /* ctl or stop opened for writing */
};

/* Who opened it; taken while the caller waits in open(), so it cannot be another by then. */
struct who {
	uint32_t uid, gid;
	int32_t pid;          /* in the daemon's pid namespace, 0 = not visible there */
	uint64_t start_ticks; /* field 22 of /proc/PID/stat: pid and this are one process */
	char command[32];
	char container[96];
	char user[40];
};
/* Fill from /proc; never fails, unknown stays empty. */
void who_is(struct who *who, uid_t uid, gid_t gid, pid_t pid);

enum upload_bits {
	UPLOAD_WRITTEN = 1,     /* has a byte (or a size) */
	UPLOAD_SEEDED = 2,      /* began as a view of the loaded image */
	UPLOAD_APPEND = 4,
	UPLOAD_TRUNCATED = 8,   /* opened with O_TRUNC or emptied: begins empty */
	UPLOAD_TOLD = 16,       /* an errno was returned: later closes give 0 */
	UPLOAD_POISONED = 32,   /* a writer died of a signal */
	UPLOAD_JUDGED = 64,     /* since its last change it was programmed or checked */
	UPLOAD_ENDED = 128,     /* stop or timeout: ECANCELED */
	UPLOAD_REFERENCE = 256, /* the spool is the blob `sha256`, by reference */
	UPLOAD_MTIME = 512,     /* the writer set mtime_ns itself */
	UPLOAD_PROGRAMMED = 1024, /* programmed on this open: further bytes are EFBIG until truncation */
	UPLOAD_SPARSE = 2048,   /* written out of order: the recogniser must read the spool again */
	UPLOAD_NOTED = 4096,    /* the refusal that UPLOAD_TOLD is about is in history */
};

/* Where a reader of .follow is. */
struct follow_position {
	uint64_t next;    /* number of the record last given */
	uint64_t dropped; /* to be told before the next record */
	uint64_t cut;     /* bytes of the next line that were given already */
	uint64_t unique;  /* the request that moved it here */
	uint64_t len;     /* bytes given on the way here */
};

struct saved_handle {
	_Atomic uint64_t fh; /* 0 = free; written last */
	uint32_t kind;       /* saved_kind */
	uint32_t open_flags; /* O_* */
	uint64_t ino;
	uint64_t opened_by;  /* unique id of the request that made it */
	struct who who;
	/* poll of this open: the mtime it last saw at offset 0, and the kernel's handle */
	_Atomic int64_t seen_ns;
	_Atomic uint64_t poll_kh; /* 0 = nobody polls (kh+1 is stored) */
	union {
		struct {
			_Atomic uint32_t bits; /* upload_bits */
			_Atomic uint64_t size;
			_Atomic int64_t last_ns; /* CLOCK_MONOTONIC of its last byte */
			int64_t mtime_ns;
			char sha256[SHA256_HEX]; /* of the reference */
			char source[320];        /* "devN" for a copy from a card, "repository:name@id" */
			char name[256];          /* temporary: its name; "" = image itself */
			_Atomic uint32_t opens; /* temporary: open files of it */
			_Atomic int64_t closed_ns; /* temporary: when last closed, 0 = open */
			/* O_APPEND: the request that wrote last, and where; the same again goes
			 * to the same place */
			_Atomic uint64_t append_by;
			uint64_t append_at;
			int32_t refused; /* errno that UPLOAD_TOLD is about */
			_Atomic uint64_t run; /* that programs its bytes, begun for one of its closes; 0 */
		} upload;
		struct {
			char sha256[SHA256_HEX];
			uint64_t size;
		} reader;
		struct {
			/* Two positions in turn: pos[at] is the present one, the other that
			 * before it. A read fills the other, then turns `at`; `unique` is the
			 * request that moved there, so that a resent read gets the same again. */
			struct follow_position pos[2];
			_Atomic uint32_t at;
			int32_t dev; /* -1 = all */
		} follow;
		struct {
			uint64_t of; /* handle of the open that is polled */
		} watch;
		struct {
			_Atomic uint64_t load; /* the load that this open found */
			_Atomic uint32_t closed; /* a close was answered, and nothing was moved since */
		} io;
	};
};

/* A new handle with its fh set last by saved_publish(); NULL when the table is
 * full (ENFILE). The caller fills it before publishing. */
struct saved_handle *saved_new(enum saved_kind kind, uint64_t *fh);
void saved_publish(struct saved_handle *h, uint64_t fh);
/* By fh; NULL: there is none. */
struct saved_handle *saved_find(uint64_t fh);
void saved_drop(struct saved_handle *h);
/* What the current request made already, when a worker died before it could answer it; NULL. */
struct saved_handle *saved_made_before(enum saved_kind kind);
/* All published handles, for the successor of a worker; stops when fn returns non-zero. */
int saved_each(int (*fn)(struct saved_handle *h, void *arg), void *arg);
/* Drawn at random when the mount was made: id + unique never meets another mount's. */
uint64_t session_id(void);
/* A number never given before on this mount (also for handles that are not saved). Never 0. */
uint64_t session_number(void);

/* --- telling the kernel ---------------------------------------------------------------- */

/* Wake a poller by the kernel's handle; written straight to the connection, as
 * poll handles of a dead worker have no libfuse object any more. */
void session_notify_poll(uint64_t kh);
/*
 * The attributes of a node are stale; its pages follow when somebody reads. There
 * is no such call for names, on purpose: invalidating an entry waits for the lock
 * of its directory, which a look-up in flight holds; killed there, this process
 * could not die before that look-up is answered, and its successor, who would
 * answer it, is started only when it is dead (seen on 6.18). A name that went is
 * found out by the attributes of its node. Nor for all names (FUSE_NOTIFY_INC_EPOCH, 6.16):
 * it would take away what somebody has mounted on a file or folder of ours (seen on 6.18),
 * to hide it from a container say.
 */
void session_notify_inode(uint64_t ino);

/* Where suspect.h keeps its memory; NULL before session_attach(). */
struct suspects *session_suspects(void);

/* Statistics, for tests: how many requests were received with the resent bit,
 * by opcode; kept in the session so that they outlive workers. */
void session_count_resent(uint32_t opcode);
uint64_t session_resent(uint32_t opcode);

#endif
