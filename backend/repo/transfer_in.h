// SPDX-License-Identifier: Apache-2.0
/* What the files of the transfer engine share (private to them). */
#ifndef BACKEND_REPO_TRANSFER_IN_H
#define BACKEND_REPO_TRANSFER_IN_H

#include <pthread.h>
#include <stdatomic.h>

#include <fabricfs/buf.h>

#include "backend/repo/curl_api.h"
#include "backend/repo/secret.h"
#include "backend/repo/transfer.h"
#include "backend/repo/url.h"

#define HEADERS_MAX	  (64 * 1024) /* bytes of an answer's headers */
#define VALIDATOR_MAX	  1024
#define CONNECTIONS	  4	      /* at once, when the configuration says nothing */
#define REDIRECTS_MAX	  8
#define DRAIN_MAX	  (64 * 1024) /* bytes of an error's page that are read to keep a connection */
#define READ_MAX	  (256 * 1024) /* bytes that libcurl reads at a time */
#define READ_PARSED_MAX	  4096	      /* where each is looked at: it reads up to 100 times before others have their turn */
#define OFFLINE_MS	  10000	      /* when the configuration says nothing */
#define CONNECT_MS	  5000

/* Who asks. Counted: a try keeps those that it was sent with. Never changed. */
struct peer_secrets {
	atomic_uint refs;
	struct secret authorization; /* "Authorization: ...", or nothing */
	struct secret cert, key;     /* PEM */
};

struct transfer_peer {
	atomic_uint refs;
	char *name;
	struct secret ca; /* PEM */
	pthread_mutex_t lock;
	struct peer_secrets *secrets; /* lock; never NULL once it is made */
	bool insecure;
	int64_t connect_timeout_ms, offline_timeout_ms;
	unsigned connections;
	_Atomic uint64_t requests, retries, received;
	/* The transfer thread's own. */
	unsigned running;
	struct transfer *queue, **queue_end; /* waiting for a connection, in order */
};

/* What became of one try, as far as trying again is concerned. */
enum try_end {
	TRY_ANSWERED, /* an answer that nothing can be added to */
	TRY_OFFLINE,  /* no connection */
	TRY_BROKEN,   /* a connection that broke */
	TRY_STALLED,  /* a connection on which nothing came */
	TRY_BUSY,     /* an answer that says: later (408, 429, 5xx) */
};

/* Of one transfer: what has been tried. Zero at first. */
struct retry {
	unsigned tries;	       /* without progress, the ones that were connected */
	unsigned stalls;       /* of them */
	int64_t offline_ns;    /* since when no connection can be made (monotonic), 0 = not so */
	unsigned offline;      /* how often it was tried since */
	int64_t waited_ms;     /* because a server said so */
};

/* What counts as progress: a connection that dies after every few bytes is no way to get an image. */
#define RETRY_PROGRESS (64 * 1024)
#define RETRY_TRIES    5     /* requests without progress */
#define RETRY_STALLS   2     /* of them, as each takes long */
#define RETRY_WAIT_MS  60000 /* as much of it as servers may ask for */

/*
 * After a try that came to nothing: milliseconds until the next one, or -1 = give up.
 * asked_ms: what Retry-After says, -1 = nothing. began_ns: when that try began, now_ns: both
 * monotonic. lot: random.
 */
int64_t retry_next(struct retry *retry, enum try_end end, int64_t asked_ms, int64_t offline_timeout_ms,
		   int64_t began_ns, int64_t now_ns, uint32_t lot);
/* Milliseconds that a try may take to connect which begins now. */
int64_t retry_connect_ms(const struct retry *retry, int64_t connect_timeout_ms, int64_t offline_timeout_ms,
			 int64_t now_ns);
/* Bytes came: what went wrong before is forgotten. */
void retry_progress(struct retry *retry);
/* Retry-After: seconds or a date, which is compared with the server's own Date (NULL = none) or
 * with now (seconds since the epoch). Milliseconds, -1 = makes no sense. */
int64_t retry_after(const char *value, const char *date, int64_t now_s);

/* transfer_peer.c */

/* The present ones, with a reference. */
struct peer_secrets *peer_secrets_get(struct transfer_peer *peer);
void peer_secrets_put(struct peer_secrets *secrets); /* may be NULL */

/* transfer_header.c */

struct content_range {
	bool has_range; /* bytes first-last/, else only the size: bytes * /size */
	uint64_t first, last;
	bool has_total;
	uint64_t total;
};

/* 0 or -EBADMSG. */
int content_range_parse(const char *value, struct content_range *range);
/* A decimal number and nothing else. */
bool number_parse(const char *text, uint64_t *value);
/* The headers of an answer, "Name: value" each ended by a NUL: the last of a name, NULL = none. */
const char *header_find(const struct buf *headers, const char *name);
/* ETag, else Last-Modified, else "". */
const char *header_validator(const struct buf *headers);
/* Does the header line `line` carry something that another host must not see? */
bool header_travels(const char *line);

struct transfer {
	unsigned magic;
	struct transfer *next; /* in the queue of its peer, or in the inbox */
	struct transfer *live_next, *live_prev;
	struct transfer_request request; /* its pointers lead to the copies below */
	char *method, *url, *validator;
	struct curl_slist *headers;
	struct secret body;
	int *also;
	atomic_bool cancelled;

	/* The try that runs, or the last one. */
	CURL *easy;
	struct peer_secrets *secrets; /* that it was sent with */
	struct curl_slist *sent;
	char now_url[URL_MAX]; /* after redirects */
	unsigned redirects;
	char location[URL_MAX]; /* where to go next, "" = nowhere */
	struct buf head;	/* headers that came */
	int status;		/* 0 = nothing came yet */
	bool head_done;
	bool accepted;		/* the body is the asker's */
	bool paused;		/* its asker has no room */
	bool connected;		/* a connection was there to send the request on */
	bool whole;		/* all that was wanted came, whatever comes behind it */
	bool ends_there;	/* and the body is said to end just there */
	bool contradicts;	/* its length is not that of its range: nothing of it is taken */
	uint64_t drained;	/* bytes of a body that nobody wants */
	uint64_t skip;		/* bytes before what is wanted */
	int64_t began_ns;
	int64_t window_ns;	/* since when `window` bytes have come */
	uint64_t window;
	char error[CURL_ERROR_SIZE];

	/* Over all tries. */
	bool begun;
	uint64_t given;		/* bytes of the range, with those that are gathered */
	char *gathered;		/* of a body without a limit: what libcurl gave and data() has not had */
	size_t gathered_len;
	uint64_t given_before;	/* at the beginning of this try */
	bool has_total;
	uint64_t total;		/* of the whole content, as the first answer said */
	char first_validator[VALIDATOR_MAX];
	struct retry retry;
	bool fresh;		/* the next try makes a new connection */
	int64_t wait_until_ns;	/* the next try; 0 = none is waited for */
	int err;		/* positive: this is how it ends */
	struct reason why;
};

#define TRANSFER_MAGIC 0x7452416eu

/* transfer_request.c; the transfer thread */

/* Make t->easy for the next try. 0 or -ENOMEM. */
int request_prepare(struct transfer *t);
/* After libcurl has ended it (code), or the stall check has (stalled). What is true afterwards:
 * t->err set = over; t->location = go there; else what kind of try it was. */
enum try_end request_judge(struct transfer *t, CURLcode code, bool stalled);
/* Set the errno and the sentence of the end, when it is not set yet. */
void request_fail(struct transfer *t, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same of an answer that was not wanted. */
void request_status_fail(struct transfer *t);
/* Forget what belongs to one try. */
void request_reset(struct transfer *t);
/* Give the asker what was gathered. Negative: it failed, t->err is set. */
int request_flush(struct transfer *t);
/* What the asker sees of it. */
struct transfer_answer request_answer(struct transfer *t);

#endif
