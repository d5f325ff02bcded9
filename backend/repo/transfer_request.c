// SPDX-License-Identifier: Apache-2.0
/*
 * One try of one transfer: what is sent, and what is made of what comes back.
 *
 * An answer is judged when its headers are complete: only then, and only if it
 * is what was asked for, do its bytes reach the asker. Bytes that were given are
 * never given again: a further try asks for the rest, and leaves out what a
 * server sends of the beginning nevertheless.
 */
#include "backend/repo/transfer_in.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/clock.h>

void request_fail(struct transfer *t, int err, const char *fmt, ...)
{
	char shown[512];
	struct buf text CLEANUP_BUF = BUF_INIT;
	va_list ap;

	if (t->err)
		return;
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	url_show(t->now_url[0] ? t->now_url : t->url, shown, sizeof(shown));
	t->err = err;
	reason_set(&t->why, err, "repository %s: %s %s: %s", t->request.peer->name, t->method, shown,
		   text.data ? text.data : "no memory");
}

static const char *request_header(const struct transfer_answer *answer, const char *name)
{
	const struct transfer *t = answer->internal;

	return header_find(&t->head, name);
}

struct transfer_answer request_answer(struct transfer *t)
{
	return (struct transfer_answer){
		.status = t->status, .url = t->now_url, .has_total = t->has_total, .total = t->total,
		.validator = t->first_validator, .header = request_header, .internal = t,
	};
}

void request_reset(struct transfer *t)
{
	if (t->easy)
		curl_easy_cleanup(t->easy);
	t->easy = NULL;
	for (struct curl_slist *h = t->sent; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(t->sent);
	t->sent = NULL;
	peer_secrets_put(t->secrets);
	t->secrets = NULL;
}

/* --- what comes ------------------------------------------------------------------ */

static uint64_t wanted_offset(const struct transfer *t)
{
	return t->request.offset + t->given;
}

static bool range_asked(const struct transfer *t)
{
	return wanted_offset(t) > 0 || t->request.length > 0;
}

/* Statuses that mean: not now, perhaps soon. */
static bool status_busy(int status)
{
	return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

static bool status_redirects(const struct transfer *t)
{
	return (t->status == 301 || t->status == 302 || t->status == 303 || t->status == 307 ||
		t->status == 308) && header_find(&t->head, "Location");
}

static bool status_wanted(const struct transfer *t)
{
	for (const int *also = t->also; also && *also; also++)
		if (*also == t->status)
			return true;
	return t->status >= 200 && t->status < 300;
}

/*
 * A coded body is other bytes than those asked for ("identity" was sent). A file
 * which lies there packed is announced so by some servers though: those are its bytes.
 */
static bool coding_refused(const struct transfer *t)
{
	static const char *const packed[] = { ".gz", ".tgz", ".bz2", ".xz", ".zst", ".Z", ".br" };
	const char *coding = header_find(&t->head, "Content-Encoding");
	size_t path = strcspn(t->now_url, "?#");

	if (!coding || !*coding || strcasecmp(coding, "identity") == 0)
		return false;
	for (size_t i = 0; i < sizeof(packed) / sizeof(*packed); i++) {
		size_t n = strlen(packed[i]);

		if (path >= n && strncmp(t->now_url + path - n, packed[i], n) == 0)
			return false;
	}
	return true;
}

static void total_check(struct transfer *t, uint64_t total)
{
	if (t->has_total && t->total != total)
		request_fail(t, ESTALE, "it has %" PRIu64 " bytes now and had %" PRIu64 " before", total, t->total);
	t->has_total = true;
	t->total = total;
}

/* The same content as in the tries before, and as the asker knows it. */
static void validator_check(struct transfer *t)
{
	const char *found = header_validator(&t->head);
	const char *wanted = t->begun ? t->first_validator : t->validator;

	if (wanted && *wanted && strcmp(wanted, found) != 0)
		request_fail(t, ESTALE, "what is there now is something else (%s, and %s before)",
			     *found ? found : "it does not say which version", wanted);
	if (!t->begun)
		text_copy(t->first_validator, sizeof(t->first_validator), found);
}

/* 206, or 200 in answer to a range. */
static void range_check(struct transfer *t)
{
	const char *value = header_find(&t->head, "Content-Range");
	uint64_t offset = wanted_offset(t), length;
	struct content_range range;

	const char *said = header_find(&t->head, "Content-Length");
	bool has_length = said && number_parse(said, &length);
	uint64_t end = t->request.offset + t->request.length;

	t->skip = 0;
	if (t->status != 206) {
		/* The server does not know ranges: it sends all, and what is before is left out. */
		t->skip = offset;
		t->ends_there = has_length && length == end;
		if (has_length)
			total_check(t, length);
		return;
	}
	if (!range_asked(t) || !value || content_range_parse(value, &range) < 0 || !range.has_range)
		return request_fail(t, EBADMSG, "a part of it came (Content-Range: %.64s), and %s was asked for",
				    value ? value : "none", range_asked(t) ? "another form of answer" : "all of it");
	if (range.first > offset || range.last < offset)
		return request_fail(t, EBADMSG, "bytes from %" PRIu64 " to %" PRIu64 " came, and those from %"
				    PRIu64 " were asked for", range.first, range.last, offset);
	/* Bytes beyond the length would be taken for the next answer on this connection. */
	t->contradicts = has_length && length < range.last + 1 - range.first;
	if (t->contradicts)
		return;
	t->skip = offset - range.first;
	t->ends_there = range.last + 1 == end && (!has_length || length == range.last + 1 - range.first);
	if (range.has_total)
		total_check(t, range.total);
}

/* Beyond the end. That there is nothing left to send is no error. */
static bool range_ended(struct transfer *t)
{
	const char *value = header_find(&t->head, "Content-Range");
	struct content_range range;

	if (t->status != 416 || !range_asked(t) || !value || content_range_parse(value, &range) < 0 ||
	    range.has_range || range.total != wanted_offset(t))
		return false;
	/* An earlier answer may have promised more than there is: what is there has come. */
	t->has_total = true;
	t->total = range.total;
	t->whole = true;
	return true;
}

static void answer_begin(struct transfer *t)
{
	struct transfer_answer answer = request_answer(t);
	int rc = 0;

	if (t->begun || t->err)
		return;
	t->begun = true;
	if (t->request.begin)
		rc = t->request.begin(t, t->request.core, &answer, &t->why);
	if (rc < 0) {
		t->err = -rc;
		if (!t->why.err)
			reason_set(&t->why, -rc, "repository %s: %s", t->request.peer->name, strerror(-rc));
	}
}

/* All headers of an answer are there. */
static void answer_judge(struct transfer *t)
{
	t->head_done = true;
	if (buf_ok(&t->head) < 0)
		return request_fail(t, ENOMEM, "no memory for its headers");
	if (range_ended(t)) {
		validator_check(t);
		t->accepted = !t->err;
		return answer_begin(t);
	}
	if (!status_wanted(t))
		return; /* request_judge() says what becomes of it */
	if (t->status == 200 || t->status == 206) {
		if (coding_refused(t))
			return request_fail(t, EBADMSG, "it came %.32s-coded, though the bytes as they are were asked "
					    "for (switch compression off there)", header_find(&t->head, "Content-Encoding"));
		validator_check(t);
		if (!t->err)
			range_check(t);
		if (t->contradicts)
			return;
	} else if (range_asked(t) && t->begun) {
		return request_fail(t, EBADMSG, "status %d came instead of the rest", t->status);
	}
	t->accepted = !t->err;
	answer_begin(t);
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;

	if (t->err)
		return 0;
	while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r' || bytes[len - 1] == ' '))
		len--;
	if (t->head_done && !(len > 5 && strncmp(bytes, "HTTP/", 5) == 0))
		return size * n; /* trailers say nothing that counts */
	if (len > 5 && strncmp(bytes, "HTTP/", 5) == 0) {
		long status = 0;

		buf_clear(&t->head);
		t->head_done = false;
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		t->status = (int)status;
		return size * n;
	}
	if (len == 0) {
		if (t->status >= 200)
			answer_judge(t);
		return t->err || t->contradicts ? 0 : size * n;
	}
	if (t->head.len + len > HEADERS_MAX || memchr(bytes, 0, len)) {
		request_fail(t, EBADMSG, "its headers are no headers");
		return 0;
	}
	buf_add(&t->head, bytes, len);
	buf_add(&t->head, "", 1);
	return size * n;
}

static int data_give(struct transfer *t, const char *bytes, size_t n)
{
	int rc = t->request.data(t, t->request.core, bytes, n, &t->why);

	if (rc < 0) {
		t->err = -rc;
		if (!t->why.err)
			reason_set(&t->why, -rc, "repository %s: %s", t->request.peer->name, strerror(-rc));
	}
	return rc;
}

int request_flush(struct transfer *t)
{
	size_t n = t->gathered_len;

	t->gathered_len = 0;
	return n && !t->err ? data_give(t, t->gathered, n) : 0;
}

/*
 * libcurl gives 16 KiB at a time of the READ_MAX that it reads. They are gathered until it has no more
 * now (transfer.c), so that the asker does its work for each of them once, and on larger pieces.
 */
static int data_gather(struct transfer *t, const char *bytes, size_t n)
{
	if (t->request.body_max)
		return data_give(t, bytes, n);
	if (!t->gathered)
		t->gathered = malloc(READ_MAX);
	if (!t->gathered) {
		request_fail(t, ENOMEM, "no memory");
		return -ENOMEM;
	}
	while (n > 0) {
		size_t room = READ_MAX - t->gathered_len, take = n < room ? n : room;

		memcpy(t->gathered + t->gathered_len, bytes, take);
		t->gathered_len += take;
		bytes += take;
		n -= take;
		if (t->gathered_len == READ_MAX && request_flush(t) < 0)
			return -t->err;
	}
	return 0;
}

/* Bytes of the body which are the asker's. What it takes beyond its range is the end of the try. */
static bool body_give(struct transfer *t, const char *bytes, size_t n)
{
	uint64_t left = t->request.length ? t->request.length - t->given : UINT64_MAX;
	bool more = n < left;

	if (!more) {
		n = (size_t)left;
		t->whole = true;
	}
	if (t->request.body_max && t->given + n > t->request.body_max) {
		request_fail(t, EBADMSG, "more than %" PRIu64 " bytes came", t->request.body_max);
		return false;
	}
	if (n > 0 && t->request.data && data_gather(t, bytes, n) < 0)
		return false;
	t->given += n;
	if (t->given - t->given_before >= RETRY_PROGRESS)
		retry_progress(&t->retry);
	/* A body that ends here leaves its connection for the next request; another is not waited for. */
	return more || t->ends_there;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;

	/* libcurl gives the same bytes again. */
	if (t->accepted && !t->whole && !t->err && t->request.room && !t->request.room(t->request.core)) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	atomic_fetch_add_explicit(&t->request.peer->received, len, memory_order_relaxed);
	t->window += len;
	if (t->err || atomic_load(&t->cancelled))
		return 0;
	if (!t->accepted || t->whole) {
		t->drained += len;
		return t->drained > DRAIN_MAX ? 0 : len;
	}
	if (t->skip >= len) {
		t->skip -= len;
		return len;
	}
	bytes += t->skip;
	len -= (size_t)t->skip;
	t->skip = 0;
	return body_give(t, bytes, len) ? size * n : 0;
}

/* Connected, also by a connection that was there already, and not a byte sent yet. */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct transfer *t = arg;

	(void)ip;
	(void)local_ip;
	(void)port;
	(void)local_port;
	t->connected = true;
	t->window = 0;
	t->window_ns = clock_mono_ns();
	return CURL_PREREQFUNC_OK;
}

/* --- what is sent ------------------------------------------------------------------ */

static bool header_add(struct transfer *t, const char *line)
{
	struct curl_slist *more = curl_slist_append(t->sent, line);

	if (more)
		t->sent = more;
	return more != NULL;
}

static int headers_make(struct transfer *t, bool own)
{
	struct buf range CLEANUP_BUF = BUF_INIT;
	bool ok = header_add(t, "Accept-Encoding: identity") && header_add(t, "Expect:");

	for (struct curl_slist *h = t->headers; h && ok; h = h->next)
		if (own || header_travels(h->data))
			ok = header_add(t, h->data);
	if (own && ok && t->secrets->authorization.text)
		ok = header_add(t, t->secrets->authorization.text);
	if (range_asked(t) && ok) {
		buf_addf(&range, "Range: bytes=%" PRIu64 "-", wanted_offset(t));
		if (t->request.length)
			buf_addf(&range, "%" PRIu64, t->request.offset + t->request.length - 1);
		ok = buf_ok(&range) == 0 && header_add(t, range.data);
	}
	return ok ? 0 : -ENOMEM;
}

static void blob_set(CURL *easy, CURLoption option, const struct secret *pem)
{
	struct curl_blob blob = { .data = pem->text, .len = pem->len, .flags = CURL_BLOB_NOCOPY };

	if (pem->text)
		curl_easy_setopt(easy, option, &blob);
}

static void tls_set(const struct transfer *t, bool own)
{
	const struct transfer_peer *peer = t->request.peer;

	blob_set(t->easy, CURLOPT_CAINFO_BLOB, &peer->ca);
	if (own) {
		blob_set(t->easy, CURLOPT_SSLCERT_BLOB, &t->secrets->cert);
		blob_set(t->easy, CURLOPT_SSLKEY_BLOB, &t->secrets->key);
	}
	if (peer->insecure) {
		curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

static void method_set(const struct transfer *t)
{
	if (strcmp(t->method, "HEAD") == 0) {
		curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
	} else if (t->body.text) {
		curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len);
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->body.text);
		if (strcmp(t->method, "POST") != 0)
			curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, t->method);
	} else if (strcmp(t->method, "GET") != 0) {
		curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, t->method);
	}
}

int request_prepare(struct transfer *t)
{
	bool own;

	if (t->location[0])
		text_copy(t->now_url, sizeof(t->now_url), t->location);
	else
		text_copy(t->now_url, sizeof(t->now_url), t->url);
	t->location[0] = 0;
	own = t->redirects == 0 || url_same_origin(t->url, t->now_url);
	buf_clear(&t->head);
	t->status = 0;
	t->head_done = t->accepted = t->connected = t->whole = t->ends_there = t->contradicts = t->paused = false;
	t->drained = t->skip = t->window = 0;
	t->began_ns = t->window_ns = clock_mono_ns();
	t->given_before = t->given;
	t->error[0] = 0;
	t->secrets = peer_secrets_get(t->request.peer);
	t->easy = curl_easy_init();
	if (!t->easy || headers_make(t, own) < 0)
		return -ENOMEM;

	CURL *e = t->easy;
	const struct transfer_peer *peer = t->request.peer;

	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_URL, t->now_url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
	/* Without this, giving up a name that takes long to look up waits for it, and so would all others. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)retry_connect_ms(&t->retry, peer->connect_timeout_ms,
								       peer->offline_timeout_ms, t->began_ns));
	/* Bytes of images are put away as fast as they come; listings are written down image by image. */
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, t->request.body_max ? (long)READ_PARSED_MAX : (long)READ_MAX);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "fabricfs/" FABRICFS_VERSION);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, t->fresh ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
	method_set(t);
	tls_set(t, own);
	/* Copied by libcurl are neither the list nor, being NOCOPY, the certificates. */
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->sent);
	return 0;
}

/* --- what became of it ------------------------------------------------------------- */

static void redirect_follow(struct transfer *t)
{
	const char *location = header_find(&t->head, "Location");
	struct reason why = { 0 };
	char shown[256];

	url_show(location, shown, sizeof(shown));
	if (strcmp(t->method, "GET") != 0 && strcmp(t->method, "HEAD") != 0)
		return request_fail(t, EREMOTEIO, "it redirects to %s: configure that address", shown);
	if (++t->redirects > REDIRECTS_MAX)
		return request_fail(t, EREMOTEIO, "it redirects in circles, to %s at last", shown);
	if (url_resolve(t->now_url, location, t->location, sizeof(t->location), &why) < 0)
		return request_fail(t, EBADMSG, "it redirects to %s", why.text);
	if (strncmp(t->now_url, "https:", 6) == 0 && strncmp(t->location, "https:", 6) != 0) {
		t->location[0] = 0;
		request_fail(t, EBADMSG, "it redirects to %s, which is not encrypted", shown);
	}
}

/* Did the request say who asks? */
static bool credentials_sent(const struct transfer *t)
{
	bool sent = t->secrets->authorization.len;

	for (const struct curl_slist *h = t->headers; h && !sent; h = h->next)
		sent = !header_travels(h->data);
	return sent;
}

/* What to do about it. */
static const char *status_text(const struct transfer *t)
{
	switch (t->status) {
	case 400:
		/* nginx answers so who speaks the wrong protocol to it. */
		return strncmp(t->now_url, "https:", 6) ? " (bad request: does it want https?)" :
		       t->secrets->cert.len ? " (bad request)" : " (bad request: does it want a client's certificate?)";
	case 401:
		return credentials_sent(t) ? " (the credentials are refused)" :
			" (it wants credentials: user and password-file, or token-file)";
	case 403:
		return " (forbidden)";
	case 404:
		return " (not found)";
	case 429:
		return " (too many requests)";
	case 503:
		return " (unavailable)";
	default:
		return "";
	}
}

void request_status_fail(struct transfer *t)
{
	int err = EREMOTEIO;

	if (t->status == 401 || t->status == 403)
		err = EACCES;
	else if (t->status == 404 || t->status == 410)
		err = ENOENT;
	else if (t->status == 412 || t->status == 416)
		err = ESTALE;
	request_fail(t, err, "status %d%s", t->status, status_text(t));
}

/* Did all come that was promised? libcurl has looked at Content-Length; here it is the range. */
static bool body_whole(const struct transfer *t)
{
	uint64_t want;

	if (t->whole || !t->has_total || strcmp(t->method, "HEAD") == 0 || (t->status != 200 && t->status != 206))
		return true;
	want = t->total > t->request.offset ? t->total - t->request.offset : 0;
	if (t->request.length && t->request.length < want)
		want = t->request.length;
	return t->given >= want;
}

/* Not one certificate or key that could be trusted: trying again changes nothing. */
static bool code_distrusts(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
	       code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR ||
	       code == CURLE_SSL_CRL_BADFILE || code == CURLE_SSL_PINNEDPUBKEYNOTMATCH ||
	       code == CURLE_SSL_INVALIDCERTSTATUS || code == CURLE_SSL_CLIENTCERT;
}

static const char *code_text(const struct transfer *t, CURLcode code)
{
	return t->error[0] ? t->error : curl_easy_strerror(code);
}

/* It was sent on a connection that another request had used: what came may be that one's. */
static bool connection_was_used(const struct transfer *t)
{
	long made = 1;

	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &made);
	return made == 0;
}

static enum try_end failure_judge(struct transfer *t, CURLcode code)
{
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		/* libcurl says so too of a header of more than 100 KiB. */
		if (t->connected && !t->head_done)
			request_fail(t, EBADMSG, "one of its headers is too long (or there is no memory for it)");
		else
			request_fail(t, ENOMEM, "no memory");
		return TRY_ANSWERED;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		if (connection_was_used(t))
			return TRY_BROKEN;
		__attribute__((fallthrough));
	case CURLE_URL_MALFORMAT:
		request_fail(t, EBADMSG, "%s", code_text(t, code));
		return TRY_ANSWERED;
	default:
		break;
	}
	if (code_distrusts(code)) {
		request_fail(t, EHOSTUNREACH, "not trusted: %s%s", code_text(t, code), t->request.peer->ca.len ? "" :
			     " (cacert tells whom to trust)");
		return TRY_ANSWERED;
	}
	return t->connected ? TRY_BROKEN : TRY_OFFLINE;
}

enum try_end request_judge(struct transfer *t, CURLcode code, bool stalled)
{
	request_flush(t);
	if (atomic_load(&t->cancelled))
		request_fail(t, ECANCELED, "cancelled");
	if (t->err)
		return TRY_ANSWERED;
	if (stalled && !(t->accepted && t->whole))
		return TRY_STALLED;
	if (t->contradicts)
		return TRY_BROKEN;
	if (t->head_done && t->accepted)
		return t->whole || (code == CURLE_OK && body_whole(t)) ? TRY_ANSWERED :
		       code == CURLE_OK ? TRY_BROKEN : failure_judge(t, code);
	if (!t->head_done || t->status < 200)
		return code == CURLE_OK ? TRY_BROKEN : failure_judge(t, code);
	/* The status says it all, whatever became of the page behind it. */
	if (status_redirects(t)) {
		redirect_follow(t);
		return TRY_ANSWERED;
	}
	if (status_busy(t->status))
		return TRY_BUSY;
	request_status_fail(t);
	return TRY_ANSWERED;
}
