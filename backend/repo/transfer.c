// SPDX-License-Identifier: Apache-2.0
/*
 * The transfer thread: all requests over the network, on one libcurl multi handle.
 *
 * Others put transfers (and calls for later) into the inbox and wake the thread;
 * everything else belongs to it alone. A transfer is in one of these places:
 *
 *   inbox -> queue of its peer -> running (an easy handle) -> done
 *                 ^                   |
 *                 +---- waiting <-----+   (a try came to nothing)
 *
 * A peer has a limit of requests that run at once, so one slow server takes no
 * connection from another; those that wait for their next try take none.
 *
 * Lock: engine.lock guards inbox, later_inbox, running and stopping. Nothing is
 * called under it.
 */
#include "backend/repo/transfer_in.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define NS_PER_MS     1000000LL
#define TICK_MS	      1000 /* stalls are looked for so often */
#define STALL_BYTES   256  /* a second: slower than this is not a transfer */
#define CONNECTIONS_KEPT 64

struct later {
	struct later *next;
	int64_t due_ns;
	void (*fn)(void *arg);
	void *arg;
};

static struct {
	pthread_mutex_t lock;
	struct transfer *inbox, **inbox_end;
	struct later *later_inbox;
	bool running, stopping;
	atomic_bool cancels; /* some transfer has been cancelled */
	atomic_bool resumes; /* there may be room for one that waits for it */
	CURLM *multi;
	pthread_t thread;
	/* The thread's own. */
	struct transfer *live;
	struct later *later; /* by due time */
	int64_t check_ns;    /* when the waiting and the stalled are looked at next */
} engine = { .lock = PTHREAD_MUTEX_INITIALIZER, .inbox_end = &engine.inbox };

/* --- from any thread --------------------------------------------------------------- */

static void transfer_free(struct transfer *t)
{
	request_reset(t);
	for (struct curl_slist *h = t->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(t->headers);
	secret_free(&t->body);
	/* Tokens come in headers. */
	if (t->head.data)
		explicit_bzero(t->head.data, t->head.cap);
	buf_free(&t->head);
	free(t->method);
	free(t->url);
	free(t->validator);
	free(t->also);
	free(t->gathered);
	transfer_peer_put(t->request.peer);
	t->magic = 0;
	free(t);
}

static int headers_copy(struct transfer *t, const char *const *headers)
{
	for (; headers && *headers; headers++) {
		struct curl_slist *more = curl_slist_append(t->headers, *headers);

		if (!more)
			return -ENOMEM;
		t->headers = more;
	}
	return 0;
}

static int also_copy(struct transfer *t, const int *also)
{
	size_t n = 0;

	while (also && also[n])
		n++;
	if (n == 0)
		return 0;
	t->also = calloc(n + 1, sizeof(*also));
	if (!t->also)
		return -ENOMEM;
	memcpy(t->also, also, n * sizeof(*also));
	return 0;
}

static int request_copy(struct transfer *t, const struct transfer_request *request)
{
	char url[URL_MAX];
	int rc = url_clean(request->url, url, sizeof(url), &t->why);

	if (rc < 0)
		return rc;
	t->method = strdup(request->method);
	t->url = strdup(url);
	if (request->validator && *request->validator)
		t->validator = strdup(request->validator);
	if (!t->method || !t->url || (request->validator && *request->validator && !t->validator) ||
	    headers_copy(t, request->headers) < 0 || also_copy(t, request->also) < 0 ||
	    (request->body && secret_copy(&t->body, request->body, request->body_len) < 0))
		return reason_set(&t->why, ENOMEM, "no memory");
	return 0;
}

int transfer_start(const struct transfer_request *request, struct transfer **out, struct reason *why)
{
	struct transfer *t = calloc(1, sizeof(*t));
	const char *name = request->peer->name;
	bool running;
	int rc;

	if (out)
		*out = NULL;
	if (!t)
		return reason_set(why, ENOMEM, "repository %s: no memory", name);
	t->magic = TRANSFER_MAGIC;
	t->request = *request;
	atomic_fetch_add(&request->peer->refs, 1);
	rc = request_copy(t, request);
	if (rc < 0) {
		reason_set(why, -rc, "repository %s: %s", name, t->why.text);
		transfer_free(t);
		return rc;
	}
	/* Known before the thread can see it: done() may come before this returns. */
	if (out)
		*out = t;
	pthread_mutex_lock(&engine.lock);
	running = engine.running && !engine.stopping;
	if (running) {
		*engine.inbox_end = t;
		engine.inbox_end = &t->next;
		curl_multi_wakeup(engine.multi);
	}
	pthread_mutex_unlock(&engine.lock);
	if (running)
		return 0;
	if (out)
		*out = NULL;
	transfer_free(t);
	return reason_set(why, ECANCELED, "repository %s: nothing is asked any more, as the daemon ends", name);
}

void transfer_cancel(struct transfer *t)
{
	atomic_store(&t->cancelled, true);
	pthread_mutex_lock(&engine.lock);
	atomic_store(&engine.cancels, true);
	if (engine.running)
		curl_multi_wakeup(engine.multi);
	pthread_mutex_unlock(&engine.lock);
}

void transfer_resume(void)
{
	atomic_store(&engine.resumes, true);
	pthread_mutex_lock(&engine.lock);
	if (engine.running)
		curl_multi_wakeup(engine.multi);
	pthread_mutex_unlock(&engine.lock);
}

int transfer_later(int64_t ms, void (*fn)(void *arg), void *arg, struct reason *why)
{
	struct later *later = calloc(1, sizeof(*later));

	if (!later)
		return reason_set(why, ENOMEM, "no memory");
	*later = (struct later){ .due_ns = clock_mono_ns() + ms * NS_PER_MS, .fn = fn, .arg = arg };
	pthread_mutex_lock(&engine.lock);
	later->next = engine.later_inbox;
	engine.later_inbox = later;
	if (engine.running)
		curl_multi_wakeup(engine.multi);
	pthread_mutex_unlock(&engine.lock);
	return 0;
}

/* --- one transfer from place to place ------------------------------------------------ */

static void queue_put(struct transfer *t)
{
	struct transfer_peer *peer = t->request.peer;

	t->next = NULL;
	*peer->queue_end = t;
	peer->queue_end = &t->next;
}

static void queue_remove(struct transfer *t)
{
	struct transfer_peer *peer = t->request.peer;
	struct transfer **at = &peer->queue;

	while (*at && *at != t)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = t->next;
	if (peer->queue_end == &t->next)
		peer->queue_end = at;
	t->next = NULL;
}

static void transfer_end(struct transfer *t)
{
	struct transfer_answer answer = request_answer(t);

	if (t->live_prev)
		t->live_prev->live_next = t->live_next;
	else
		engine.live = t->live_next;
	if (t->live_next)
		t->live_next->live_prev = t->live_prev;
	t->request.done(t, t->request.core, t->err, t->head_done && t->status ? &answer : NULL, &t->why);
	transfer_free(t);
}

/* Give libcurl the next try. The place at the peer is taken already. */
static void try_start(struct transfer *t)
{
	struct transfer_peer *peer = t->request.peer;

	request_reset(t);
	if (request_prepare(t) == 0 && curl_multi_add_handle(engine.multi, t->easy) == CURLM_OK) {
		atomic_fetch_add_explicit(&peer->requests, 1, memory_order_relaxed);
		return;
	}
	request_fail(t, ENOMEM, "no memory");
	peer->running--;
	transfer_end(t);
}

/* Run what may run. The peer may be gone afterwards if nobody else has it. */
static void peer_next(struct transfer_peer *peer)
{
	atomic_fetch_add(&peer->refs, 1);
	while (peer->queue && peer->running < peer->connections) {
		struct transfer *t = peer->queue;

		queue_remove(t);
		peer->running++;
		try_start(t);
	}
	transfer_peer_put(peer);
}

static void give_up(struct transfer *t, enum try_end end, CURLcode code)
{
	const char *text = t->contradicts ? "its length is not that of its range" :
			   t->error[0] ? t->error :
			   code == CURLE_OK ? "it ended before what was asked for did" : curl_easy_strerror(code);

	switch (end) {
	case TRY_OFFLINE:
		/* OpenSSL's words for an answer that is not TLS. */
		return request_fail(t, EHOSTUNREACH, "%s%s", text, strstr(text, "wrong version number") ?
				    " (does it speak http:// only?)" : "");
	case TRY_BROKEN:
		return request_fail(t, EREMOTEIO, "the connection broke after %llu bytes: %s",
				    (unsigned long long)t->given, text);
	case TRY_STALLED:
		return request_fail(t, ETIMEDOUT, "nothing, or next to nothing, came for %lld ms (after %llu bytes)",
				    (long long)t->request.peer->offline_timeout_ms, (unsigned long long)t->given);
	case TRY_BUSY:
	case TRY_ANSWERED:
		request_status_fail(t);
	}
}

/* What was sent and came to nothing may have been done nevertheless: a gateway that says 502 or 504
 * does not know. */
static bool perhaps_done(const struct transfer *t, enum try_end end)
{
	const int status = end == TRY_BUSY ? t->status : 0;

	return t->connected && status != 408 && status != 425 && status != 429 && status != 503;
}

/* A try is over: another one, or the end. */
static void try_end(struct transfer *t, CURLcode code, bool stalled)
{
	struct transfer_peer *peer = t->request.peer;
	enum try_end end;
	int64_t wait, now = clock_mono_ns();

	curl_multi_remove_handle(engine.multi, t->easy);
	end = request_judge(t, code, stalled);
	if (!t->err && t->location[0])
		return try_start(t);
	if (end == TRY_ANSWERED)
		goto ended;
	wait = (t->request.once && perhaps_done(t, end)) || (t->request.quick && end == TRY_OFFLINE) ? -1 :
	       retry_next(&t->retry, end,
			  end == TRY_BUSY ? retry_after(header_find(&t->head, "Retry-After"),
							header_find(&t->head, "Date"),
							clock_now_ns() / 1000000000) : -1,
			  peer->offline_timeout_ms, t->began_ns, now, arc4random());
	if (wait < 0) {
		give_up(t, end, code);
		goto ended;
	}
	log_debug("repository %s: try again in %lld ms (%s)", peer->name, (long long)wait,
		  t->error[0] ? t->error : end == TRY_BUSY ? "it said later" : "broken");
	atomic_fetch_add_explicit(&peer->retries, 1, memory_order_relaxed);
	request_reset(t);
	t->fresh = end != TRY_BUSY;
	t->redirects = 0; /* a place that was led to may have been good for one time */
	t->wait_until_ns = now + wait * NS_PER_MS;
	if (engine.check_ns > t->wait_until_ns)
		engine.check_ns = t->wait_until_ns;
	peer->running--;
	return peer_next(peer);
ended:
	peer->running--;
	atomic_fetch_add(&peer->refs, 1); /* the transfer's goes with it */
	transfer_end(t);
	peer_next(peer);
	transfer_peer_put(peer);
}

static void transfer_stop(struct transfer *t)
{
	if (t->easy)
		return try_end(t, CURLE_ABORTED_BY_CALLBACK, false);
	queue_remove(t);
	request_fail(t, ECANCELED, "cancelled");
	transfer_end(t);
}

/* --- the loop ------------------------------------------------------------------------ */

/* Returns true when the thread has been told to end. */
static bool inbox_take(void)
{
	struct transfer *in;
	struct later *later;
	bool stopping;

	pthread_mutex_lock(&engine.lock);
	in = engine.inbox;
	engine.inbox = NULL;
	engine.inbox_end = &engine.inbox;
	later = engine.later_inbox;
	engine.later_inbox = NULL;
	stopping = engine.stopping;
	pthread_mutex_unlock(&engine.lock);
	while (later) {
		struct later *one = later, **at = &engine.later;

		later = later->next;
		while (*at && (*at)->due_ns < one->due_ns)
			at = &(*at)->next;
		one->next = *at;
		*at = one;
	}
	while (in) {
		struct transfer *t = in;

		in = in->next;
		t->live_next = engine.live;
		if (engine.live)
			engine.live->live_prev = t;
		engine.live = t;
		queue_put(t);
		peer_next(t->request.peer);
	}
	return stopping;
}

/* An end changes the list behind the one that looks at it: begin again after each. */
static void cancelled_stop(bool all)
{
	if (!atomic_exchange(&engine.cancels, false) && !all)
		return;
again:
	for (struct transfer *t = engine.live; t; t = t->live_next)
		if (all || atomic_load(&t->cancelled)) {
			atomic_store(&t->cancelled, true);
			transfer_stop(t);
			goto again;
		}
}

/* Each goes on, or is asked for room again and waits on. */
static void paused_resume(void)
{
	if (!atomic_exchange(&engine.resumes, false))
		return;
again:
	for (struct transfer *t = engine.live; t; t = t->live_next) {
		CURLcode code;

		if (!t->easy || !t->paused)
			continue;
		t->paused = false;
		t->window = 0;
		t->window_ns = clock_mono_ns();
		/* What libcurl kept is given within this call. */
		code = curl_easy_pause(t->easy, CURLPAUSE_CONT);
		if (code != CURLE_OK) {
			try_end(t, code, false);
			goto again;
		}
	}
}

static void finished_take(void)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(engine.multi, &left))) {
		struct transfer *t = NULL;
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		try_end(t, code, false);
	}
}

/* libcurl has nothing more for now. */
static void gathered_give(void)
{
again:
	for (struct transfer *t = engine.live; t; t = t->live_next)
		if (t->gathered_len && request_flush(t) < 0) {
			try_end(t, CURLE_WRITE_ERROR, false);
			goto again;
		}
}

/* Has it earned its time? Starts the next span when it has. */
static bool transfer_stalls(struct transfer *t, int64_t now)
{
	int64_t span = t->request.peer->offline_timeout_ms;
	int64_t elapsed = (now - t->window_ns) / NS_PER_MS;

	if (t->paused) {
		t->window = 0;
		t->window_ns = now;
		return false;
	}
	if (!t->connected) /* libcurl's own limit ends it before, unless it waits behind another */
		return elapsed >= span + t->request.peer->connect_timeout_ms;
	if (elapsed < span)
		return false;
	if (t->window * 1000 < (uint64_t)elapsed * STALL_BYTES)
		return true;
	t->window = 0;
	t->window_ns = now;
	return false;
}

static void live_check(int64_t now)
{
	if (now < engine.check_ns)
		return;
again:
	engine.check_ns = now + TICK_MS * NS_PER_MS;
	for (struct transfer *t = engine.live; t; t = t->live_next) {
		if (t->easy && transfer_stalls(t, now)) {
			try_end(t, CURLE_OPERATION_TIMEDOUT, true);
			goto again;
		}
		if (t->easy || t->wait_until_ns == 0)
			continue;
		if (t->wait_until_ns > now) {
			if (engine.check_ns > t->wait_until_ns)
				engine.check_ns = t->wait_until_ns;
			continue;
		}
		t->wait_until_ns = 0;
		queue_put(t);
		peer_next(t->request.peer);
		goto again;
	}
}

static void later_call(int64_t now)
{
	while (engine.later && engine.later->due_ns <= now) {
		struct later *one = engine.later;

		engine.later = one->next;
		one->fn(one->arg);
		free(one);
	}
}

static int poll_ms(int64_t now)
{
	int64_t until = engine.live ? engine.check_ns : now + 60000 * NS_PER_MS;

	if (engine.later && engine.later->due_ns < until)
		until = engine.later->due_ns;
	return until <= now ? 0 : (int)((until - now + NS_PER_MS - 1) / NS_PER_MS);
}

static void *engine_run(void *arg)
{
	int running;

	(void)arg;
	pthread_setname_np(pthread_self(), "transfer");
	for (;;) {
		bool stopping = inbox_take();

		cancelled_stop(stopping);
		if (stopping && !engine.live)
			break;
		paused_resume();
		curl_multi_perform(engine.multi, &running);
		finished_take();
		gathered_give();
		live_check(clock_mono_ns());
		later_call(clock_mono_ns());
		curl_multi_poll(engine.multi, NULL, 0, poll_ms(clock_mono_ns()), NULL);
	}
	return NULL;
}

/* --- beginning and end ----------------------------------------------------------------- */

int transfer_thread_start(struct reason *why)
{
	sigset_t all, before;
	int rc;

	if (!curl_api_loaded())
		return 0; /* no peer was made: there will be no request */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return reason_set(why, ENOMEM, "libcurl does not start");
	engine.multi = curl_multi_init();
	if (!engine.multi) {
		curl_global_cleanup();
		return reason_set(why, ENOMEM, "libcurl does not start: no memory");
	}
	curl_multi_setopt(engine.multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	curl_multi_setopt(engine.multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	engine.stopping = false;
	engine.running = true;
	engine.check_ns = 0;
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = pthread_create(&engine.thread, NULL, engine_run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return 0;
	engine.running = false;
	curl_multi_cleanup(engine.multi);
	curl_global_cleanup();
	return reason_set(why, rc, "the transfer thread does not start: %s", strerror(rc));
}

void transfer_thread_stop(void)
{
	struct later *rest;

	pthread_mutex_lock(&engine.lock);
	if (!engine.running) {
		pthread_mutex_unlock(&engine.lock);
		return;
	}
	engine.stopping = true;
	curl_multi_wakeup(engine.multi);
	pthread_mutex_unlock(&engine.lock);
	pthread_join(engine.thread, NULL);
	pthread_mutex_lock(&engine.lock);
	engine.running = false;
	rest = engine.later_inbox;
	engine.later_inbox = NULL;
	pthread_mutex_unlock(&engine.lock);
	for (int i = 0; i < 2; i++) {
		while (rest) {
			struct later *one = rest;

			rest = one->next;
			free(one);
		}
		rest = engine.later;
		engine.later = NULL;
	}
	curl_multi_cleanup(engine.multi);
	curl_global_cleanup();
}
