// SPDX-License-Identifier: Apache-2.0
/*
 * Logging in to Keystone (keystone.h).
 *
 * All is guarded by one lock, under which nothing waits and nobody is called
 * back. A keystone is counted: its owner and a login on its way each hold it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#include "backend/repo/cloud.h"
#include "backend/repo/keystone.h"
#include "backend/repo/transfer.h"

#define ANSWER_MAX (16 << 20) /* bytes: catalogues of large clouds have some hundred KiB */
#define TOKEN_MAX  8192
#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL
/* Servers that lock accounts count failures within half an hour or so. */
#define REFUSED_NS (3600 * NS_PER_S)
/* A token is renewed when a fifth of its life is left, or this much. */
#define AHEAD_MS 60000
#define SHORTEST_MS 2000
/* After a background renewal failed. */
#define AGAIN_NS (10 * NS_PER_S)
/* Between two logins because a server refused a token that was still good. */
#define SPOILT_NS (30 * NS_PER_S)

struct keystone {
	pthread_mutex_t lock;
	struct cloud cloud;
	struct transfer_peer *peer;
	char *name; /* of the repository */
	unsigned users;
	struct keystone_session *session; /* the present one, NULL = none */
	struct keystone_wait *waits, **waits_end;
	struct transfer *login; /* on its way */
	uint64_t logins;
	int64_t refused_ns;    /* monotonic: when the credentials were refused; 0 = they were not */
	int64_t failed_ns;     /* when they were taken and came to nothing that can be used; 0 = not so */
	bool proven;	       /* a login with them has succeeded */
	int64_t not_before_ns; /* of a renewal in the background */
	int64_t spoilt_ns;     /* when a token was replaced because it was refused; 0 = never */
	struct reason refused; /* or why it came to nothing */
	/* Of the login on its way; the transfer thread's. */
	struct buf body;
	struct secret token;
};

static void users_put(struct keystone *k)
{
	bool last;

	pthread_mutex_lock(&k->lock);
	last = !--k->users;
	pthread_mutex_unlock(&k->lock);
	if (!last)
		return;
	keystone_session_put(k->session);
	transfer_peer_put(k->peer);
	buf_free(&k->body);
	secret_free(&k->token);
	free(k->name);
	cloud_free(&k->cloud);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* --- one login ------------------------------------------------------------------------ */

/* What goes into a header of each request: printable, and not more than servers take. */
static bool token_good(const char *token)
{
	size_t len = 0;

	while (token[len] > ' ' && token[len] < 0x7f && len < TOKEN_MAX)
		len++;
	return len && !token[len];
}

static int login_begin(struct transfer *t, void *core, const struct transfer_answer *answer,
		       struct reason *why)
{
	struct keystone *k = core;
	const char *token = answer->header(answer, "X-Subject-Token");

	(void)t;
	buf_clear(&k->body);
	secret_free(&k->token);
	if (!token)
		return reason_set(why, EBADMSG, "%s: the answer to the login has no token, this is not "
				  "Keystone", k->cloud.auth_url);
	if (!token_good(token))
		return reason_set(why, EBADMSG, "%s: the answer to the login has a token of %zu bytes, which "
				  "cannot be one", k->cloud.auth_url, strlen(token));
	return secret_copy(&k->token, token, strlen(token)) ?
		       reason_set(why, ENOMEM, "no memory for a token") : 0;
}

static int login_data(struct transfer *t, void *core, const void *bytes, size_t n,
		      struct reason *why)
{
	struct keystone *k = core;

	(void)t;
	buf_add(&k->body, bytes, n);
	return buf_ok(&k->body) ? reason_set(why, ENOMEM, "no memory for a catalogue of services") : 0;
}

/* What came of it: a session, or the sentence. */
static int login_judge(struct keystone *k, int err, int status, bool more_wanted, const struct reason *told,
		       struct keystone_session **session, struct reason *why)
{
	static const char *const refused[] = {
		[CLOUD_PASSWORD] = "the user or the password was",
		[CLOUD_APPLICATION] = "the application credential was",
		[CLOUD_TOKEN] = "the token was",
		[CLOUD_FIXED_TOKEN] = "the token was",
		[CLOUD_NONE] = "asking was",
	};
	const struct cloud *cloud = &k->cloud;

	*session = NULL;
	*why = told ? *told : (struct reason){ 0 };
	if (status == 401 && more_wanted)
		return reason_set(why, EACCES, "%s: more than one credential is wanted of this user (401, multi-factor "
				  "authentication), and a mirror has one: give it an application credential",
				  cloud->auth_url);
	if (status == 401)
		/* Keystone says the same of a project or domain that there is not, or that is another's. */
		return reason_set(why, EACCES, "%s: %s refused (401)%s; this is not tried again for an hour, so "
				  "that no account gets locked%s", cloud->auth_url, refused[cloud->auth],
				  cloud->auth == CLOUD_PASSWORD ? ", or is not of this project or domain" : "",
				  cloud->files.len ? ", unless its file is written" : "");
	if (status == 403)
		return reason_set(why, EACCES, "%s: logging in is forbidden (403), by a policy or by a gateway before it",
				  cloud->auth_url);
	if (err == ENOENT || status == 300 || status == 405)
		return reason_set(why, EREMOTEIO, "%s: there is no Keystone at this address (%d)", cloud->auth_url, status);
	if (err)
		return why->err ? -err : reason_set(why, err, "%s: the login failed", cloud->auth_url);
	err = keystone_answer(cloud, k->body.len ? k->body.data : "", k->body.len, session, why);
	if (err)
		return err;
	(*session)->token = k->token;
	k->token = (struct secret){ 0 };
	return 0;
}

static void session_time(struct keystone_session *s, int64_t now)
{
	int64_t ahead;

	/* What a server says may be any number: no login with each request, and for ever is for ever. */
	if (!s->lifetime_ms || s->lifetime_ms > INT64_C(100) * 365 * 86400 * 1000)
		return;
	if (s->lifetime_ms < SHORTEST_MS)
		s->lifetime_ms = SHORTEST_MS;
	ahead = s->lifetime_ms / 5 < AHEAD_MS ? s->lifetime_ms / 5 : AHEAD_MS;
	s->end_ns = now + s->lifetime_ms * NS_PER_MS;
	s->renew_ns = s->end_ns - ahead * NS_PER_MS;
}

static void login_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		       const struct reason *told)
{
	struct keystone *k = core;
	struct keystone_session *session, *old = NULL;
	struct keystone_wait *waits, *next;
	const int status = answer ? answer->status : 0;
	const int64_t now = clock_mono_ns();
	struct reason why;

	(void)t;
	err = -login_judge(k, err, status, answer && answer->header(answer, "Openstack-Auth-Receipt"), told, &session,
			   &why);
	buf_free(&k->body);
	secret_free(&k->token);
	pthread_mutex_lock(&k->lock);
	k->login = NULL;
	waits = k->waits;
	k->waits = NULL;
	k->waits_end = &k->waits;
	if (session) {
		session_time(session, now);
		old = k->session;
		k->session = session;
		k->proven = true;
		k->refused_ns = k->failed_ns = 0;
		for (struct keystone_wait *w = waits; w; w = w->next)
			keystone_session_ref(session);
	} else {
		k->not_before_ns = now + AGAIN_NS;
		/* Only what Keystone itself refuses counts towards a lock. */
		k->refused_ns = status == 401 ? now : 0;
		k->failed_ns = status != 401 && err == EACCES ? now : 0;
		k->proven &= status != 401;
		k->refused = why;
	}
	pthread_mutex_unlock(&k->lock);
	keystone_session_put(old);
	for (; waits; waits = next) {
		next = waits->next;
		waits->ready(waits, session, err, &why);
	}
	users_put(k);
}

/* With the lock. */
static int login_start(struct keystone *k, struct reason *why)
{
	static const char *const headers[] = { "Content-Type: application/json",
					       "Accept: application/json", NULL };
	struct secret body CLEANUP_SECRET = { 0 };
	struct transfer_request request = {
		.peer = k->peer,
		.method = "POST",
		.headers = headers,
		.body_max = ANSWER_MAX,
		.core = k,
		.begin = login_begin,
		.data = login_data,
		.done = login_done,
	};
	char *url = NULL;
	int err;

	if (keystone_request(&k->cloud, &body) || asprintf(&url, "%s/auth/tokens", k->cloud.auth_url) < 0)
		return reason_set(why, ENOMEM, "no memory for a login");
	request.url = url;
	request.body = body.text;
	request.body_len = body.len;
	request.once = !k->proven;
	k->users++;
	err = transfer_start(&request, &k->login, why);
	free(url);
	if (err) {
		k->login = NULL;
		k->users--;
		return err;
	}
	k->logins++;
	return 0;
}

/* --- asking --------------------------------------------------------------------------- */

static bool fixed(const struct keystone *k)
{
	return k->cloud.auth == CLOUD_FIXED_TOKEN || k->cloud.auth == CLOUD_NONE;
}

/* A session from the beginning, where there is nobody to log in to; NULL = there is somebody. */
static int session_fixed(const struct cloud *cloud, struct keystone_session **session, struct reason *why)
{
	int err;

	*session = NULL;
	if (cloud->auth != CLOUD_NONE && cloud->auth != CLOUD_FIXED_TOKEN)
		return 0;
	err = keystone_answer(cloud, "", 0, session, why);
	if (!err && cloud->secret.text && secret_copy(&(*session)->token, cloud->secret.text, cloud->secret.len)) {
		keystone_session_put(*session);
		*session = NULL;
		err = reason_set(why, ENOMEM, "no memory for a token");
	}
	return err;
}

int keystone_new(struct cloud *cloud, struct transfer_peer *peer, const char *name,
		 struct keystone **out, struct reason *why)
{
	struct keystone *k = calloc(1, sizeof(*k));
	int err;

	*out = NULL;
	if (k)
		k->name = strdup(name);
	if (!k || !k->name) {
		free(k);
		return reason_set(why, ENOMEM, "no memory for a repository");
	}
	err = session_fixed(cloud, &k->session, why);
	if (err) {
		free(k->name);
		free(k);
		return err;
	}
	pthread_mutex_init(&k->lock, NULL);
	k->cloud = *cloud;
	memset(cloud, 0, sizeof(*cloud));
	k->peer = peer;
	k->users = 1;
	k->waits_end = &k->waits;
	*out = k;
	return 0;
}

/* Credentials that were refused have been written since: with them all begins anew. */
static void credentials_read(struct keystone *k, const struct repo_config *config)
{
	struct keystone_session *session = NULL, *gone = NULL;
	struct cloud cloud = { 0 };
	struct reason why = { 0 };
	int err = cloud_read(config, &cloud, &why);

	if (!err)
		err = session_fixed(&cloud, &session, &why);
	if (err) {
		log_warn("repository %s: its credentials were written, and cannot be read: %s", k->name, why.text);
		/* Read again when they are written again. */
		seen_files_look(&k->cloud.files);
	}
	pthread_mutex_lock(&k->lock);
	if (!err && !k->login) {
		const struct cloud old = k->cloud;

		k->cloud = cloud;
		cloud = old;
		k->refused_ns = k->failed_ns = 0;
		k->proven = false;
		gone = k->session;
		k->session = session;
		session = NULL;
	} else if (err) {
		(void)reason_set(&k->refused, EACCES, "%s: the credentials were refused (401), and those that were written "
				 "since cannot be read: %s", k->cloud.auth_url ? k->cloud.auth_url : k->cloud.where,
				 why.text);
	}
	pthread_mutex_unlock(&k->lock);
	keystone_session_put(session);
	keystone_session_put(gone);
	cloud_free(&cloud);
}

void keystone_look(struct keystone *k, const struct repo_config *config)
{
	bool refused;

	pthread_mutex_lock(&k->lock);
	k->failed_ns = 0;
	refused = k->refused_ns && !k->login;
	pthread_mutex_unlock(&k->lock);
	if (refused && seen_files_changed(&k->cloud.files))
		credentials_read(k, config);
}

void keystone_put(struct keystone *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	if (k->login)
		transfer_cancel(k->login);
	pthread_mutex_unlock(&k->lock);
	users_put(k);
}

/* With the lock: may a login begin? */
static int login_allowed(const struct keystone *k, int64_t now, struct reason *why)
{
	if ((!k->refused_ns || now - k->refused_ns >= REFUSED_NS) &&
	    (!k->failed_ns || now - k->failed_ns >= AGAIN_NS))
		return 0;
	if (why)
		*why = k->refused;
	return -EACCES;
}

/* With the lock: may the present session be replaced, whose token was refused? */
static int spoilt_allowed(struct keystone *k, int64_t now, struct reason *why)
{
	if (fixed(k)) {
		k->refused_ns = now;
		return reason_set(why, EACCES, "%s: the image service refused %s (401)", k->cloud.where,
				  k->cloud.auth == CLOUD_NONE ? "to be asked without a token" :
								"the token");
	}
	if (k->spoilt_ns && now - k->spoilt_ns < SPOILT_NS)
		return reason_set(why, EACCES, "%s: the image service goes on refusing tokens that Keystone "
				  "has just given (401)", k->cloud.auth_url);
	k->spoilt_ns = now;
	return 0;
}

/* With the lock: the present session, NULL when there is none that is good; -errno when there cannot be
 * another now. *gone is one to be put. */
static int session_now(struct keystone *k, const struct keystone_session *spoilt, int64_t now,
		       struct keystone_session **session, struct keystone_session **gone,
		       struct reason *why)
{
	struct keystone_session *s = k->session;
	int err = 0;

	*session = NULL;
	*gone = NULL;
	if (s && s == spoilt)
		err = spoilt_allowed(k, now, why);
	if (s && !err && (s == spoilt || (s->end_ns && now >= s->end_ns))) {
		*gone = s;
		k->session = s = NULL;
	}
	if (s && !err)
		*session = keystone_session_ref(s);
	return err;
}

int keystone_ask(struct keystone *k, struct keystone_session *spoilt, struct keystone_wait *wait,
		 struct keystone_session **session, struct reason *why)
{
	const int64_t now = clock_mono_ns();
	struct keystone_session *gone;
	int err;

	pthread_mutex_lock(&k->lock);
	err = session_now(k, spoilt, now, session, &gone, why);
	if (*session) {
		/* Its successor is fetched while it is still good; who asks does not wait for that. */
		if ((*session)->renew_ns && now >= (*session)->renew_ns && !k->login &&
		    now >= k->not_before_ns && !login_allowed(k, now, NULL) && login_start(k, NULL))
			k->not_before_ns = now + AGAIN_NS;
	} else if (!err) {
		if (!k->login)
			err = login_allowed(k, now, why);
		if (!err && !k->login)
			err = login_start(k, why);
		if (!err) {
			wait->next = NULL;
			*k->waits_end = wait;
			k->waits_end = &wait->next;
		}
	}
	pthread_mutex_unlock(&k->lock);
	keystone_session_put(gone);
	return err;
}

void keystone_forget(struct keystone *k, const struct keystone_session *session)
{
	struct keystone_session *gone = NULL;

	pthread_mutex_lock(&k->lock);
	if (session && k->session == session && !fixed(k)) {
		gone = k->session;
		k->session = NULL;
	}
	pthread_mutex_unlock(&k->lock);
	keystone_session_put(gone);
}

bool keystone_cancel(struct keystone *k, struct keystone_wait *wait)
{
	bool found = false;

	pthread_mutex_lock(&k->lock);
	for (struct keystone_wait **w = &k->waits; *w; w = &(*w)->next)
		if (*w == wait) {
			*w = wait->next;
			found = true;
			break;
		}
	k->waits_end = &k->waits;
	while (*k->waits_end)
		k->waits_end = &(*k->waits_end)->next;
	pthread_mutex_unlock(&k->lock);
	return found;
}

void keystone_cost(struct keystone *k, struct repo_cost *cost)
{
	transfer_peer_cost(k->peer, &cost->requests, &cost->retries, &cost->received);
	pthread_mutex_lock(&k->lock);
	cost->logins = k->logins;
	pthread_mutex_unlock(&k->lock);
}
