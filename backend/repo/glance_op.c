// SPDX-License-Identifier: Apache-2.0
/* An operation of the kind `glance`, from its session to its end (glance.h). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

#include "backend/repo/cloud.h"
#include "backend/repo/glance.h"

static struct glance_op *op_of_wait(struct keystone_wait *wait)
{
	return (struct glance_op *)((char *)wait - offsetof(struct glance_op, wait));
}

const char *glance_op_base(const struct glance_op *op)
{
	return op->session->endpoints[op->endpoint].url;
}

/* --- which of several addresses -------------------------------------------------------- */

/*
 * Addresses of one region have the same images. Those of several regions do
 * not: without a region in the configuration it is the first that answers,
 * and it stays with that one.
 */
static void endpoint_choose(struct glance_op *op)
{
	const struct keystone_session *s = op->session;
	struct glance *g = op->g;
	bool several = false;

	op->endpoint = 0;
	for (size_t i = s->endpoints_len; i; i--) {
		if (g->region_known && !strcmp(s->endpoints[i - 1].region, g->region))
			op->endpoint = i - 1;
		several |= strcmp(s->endpoints[i - 1].region, s->endpoints[0].region) != 0;
	}
	for (size_t i = s->endpoints_len; i; i--)
		if (g->region_known && !strcmp(s->endpoints[i - 1].region, g->region) &&
		    !strcmp(s->endpoints[i - 1].url, g->address))
			op->endpoint = i - 1;
	if (several && !g->region_warned) {
		g->region_warned = true;
		log_warn("repository %s: the cloud has image services in several regions and no region is "
			 "told: the first that answers is taken, from '%.64s' on", g->name,
			 s->endpoints[op->endpoint].region);
	}
}

/* With the lock: the next address with the same images, SIZE_MAX = there is none. */
static size_t endpoint_other(const struct glance_op *op)
{
	const struct keystone_session *s = op->session;

	for (size_t i = 1; op->elsewhere + 1 < s->endpoints_len && i < s->endpoints_len; i++) {
		const size_t other = (op->endpoint + i) % s->endpoints_len;

		if (!op->g->region_known || !strcmp(s->endpoints[other].region, op->g->region))
			return other;
	}
	return SIZE_MAX;
}

bool glance_op_elsewhere(struct glance_op *op)
{
	struct glance *g = op->g;
	size_t other;

	pthread_mutex_lock(&g->lock);
	other = endpoint_other(op);
	if (other != SIZE_MAX) {
		log_warn("repository %s: %s cannot be reached, %s is asked", g->name,
			 glance_op_base(op), op->session->endpoints[other].url);
		op->endpoint = other;
		op->elsewhere++;
	}
	pthread_mutex_unlock(&g->lock);
	if (other != SIZE_MAX)
		glance_op_next(op);
	return other != SIZE_MAX;
}

/* With the lock. */
static void session_take(struct glance_op *op, struct keystone_session *session)
{
	keystone_session_put(op->session);
	op->session = session;
	/* Where others were asked already it goes on with them: the next token of a cloud has the same
	 * catalogue, as a rule. */
	if (!op->elsewhere || op->endpoint >= session->endpoints_len)
		endpoint_choose(op);
}

/* --- sessions --------------------------------------------------------------------------- */

/* With the lock: a session, then the request. */
static int op_ask(struct glance_op *op, struct keystone_session *spoilt, struct reason *why)
{
	struct keystone_session *session;
	int err = keystone_ask(op->g->keystone, spoilt, &op->wait, &session, why);

	if (err)
		return err;
	if (!session) {
		op->waiting = true;
		return 0;
	}
	session_take(op, session);
	return op->send(op, why);
}

static void op_ready(struct keystone_wait *wait, struct keystone_session *session, int err,
		     const struct reason *told)
{
	struct glance_op *op = op_of_wait(wait);
	struct glance *g = op->g;
	struct reason why = { 0 };
	bool later;

	pthread_mutex_lock(&g->lock);
	op->waiting = false;
	later = op->later;
	if (session)
		session_take(op, session);
	if (op->cancelled)
		err = -reason_set(&why, ECANCELED, "given up");
	else if (err)
		why = *told;
	else
		err = -op->send(op, &why);
	pthread_mutex_unlock(&g->lock);
	if (err && !later)
		glance_op_end(op, err, &why);
}

/* The same beginning as that of sentences from the transfers. */
static void named_begin(const struct glance *g, struct reason *why)
{
	if (why && why->text[0] && strncmp(why->text, "repository ", 11))
		(void)reason_wrap(why, "repository %s", g->name);
}

int glance_op_begin(struct glance_op *op, struct reason *why)
{
	struct glance *g = op->g;
	int err;

	op->wait.ready = op_ready;
	pthread_mutex_lock(&g->lock);
	*op->link = op;
	err = op_ask(op, NULL, why);
	if (err)
		*op->link = NULL;
	pthread_mutex_unlock(&g->lock);
	if (err) {
		keystone_session_put(op->session);
		named_begin(g, why);
	}
	return err;
}

void glance_op_next(struct glance_op *op)
{
	struct glance *g = op->g;
	struct reason why = { 0 };
	int err;

	pthread_mutex_lock(&g->lock);
	if (op->cancelled)
		err = reason_set(&why, ECANCELED, "given up");
	else
		err = op_ask(op, NULL, &why);
	pthread_mutex_unlock(&g->lock);
	if (err)
		glance_op_end(op, -err, &why);
}

void glance_op_end(struct glance_op *op, int err, const struct reason *why)
{
	static const struct reason none;
	struct reason named = why ? *why : none;

	named_begin(op->g, &named);
	pthread_mutex_lock(&op->g->lock);
	*op->link = NULL;
	pthread_mutex_unlock(&op->g->lock);
	keystone_session_put(op->session);
	op->session = NULL;
	op->end(op, err, err ? &named : &none);
}

/* --- giving up ---------------------------------------------------------------------------- */

static void op_cancelled(void *arg)
{
	struct glance_op *op = arg;
	struct reason why = { 0 };

	/* If somebody is calling op_ready() now, it is this thread: so nobody is. */
	if (op->waiting)
		(void)keystone_cancel(op->g->keystone, &op->wait);
	(void)reason_set(&why, ECANCELED, "given up");
	glance_op_end(op, ECANCELED, &why);
}

void glance_op_cancel(struct glance *g, void **link)
{
	struct glance_op *op;

	pthread_mutex_lock(&g->lock);
	op = *link;
	if (op && !op->cancelled) {
		op->cancelled = true;
		if (op->t)
			transfer_cancel(op->t);
		else if (op->waiting)
			/* Without memory it ends with the login. */
			op->later = !transfer_later(0, op_cancelled, op, NULL);
	}
	pthread_mutex_unlock(&g->lock);
}

/* --- requests ------------------------------------------------------------------------------ */

int glance_op_get(struct glance_op *op, const char *path, struct transfer_request *request,
		  struct reason *why)
{
	static const char name[] = "X-Auth-Token: ";
	const struct secret *token = &op->session->token;
	struct secret header CLEANUP_SECRET = { 0 };
	const char *headers[] = { NULL, NULL };
	char *url = NULL;
	int err;

	if ((token->text && secret_new(&header, sizeof(name) + token->len)) ||
	    asprintf(&url, "%s%s", glance_op_base(op), path) < 0)
		return reason_set(why, ENOMEM, "no memory for a request");
	if (token->text) {
		memcpy(header.text, name, sizeof(name) - 1);
		memcpy(header.text + sizeof(name) - 1, token->text, token->len);
		headers[0] = header.text;
	}
	request->peer = op->g->peer;
	request->method = "GET";
	request->url = url;
	request->headers = headers;
	request->core = op;
	/* Where nothing has answered yet and there are other addresses, this one is not waited for. */
	request->quick = !op->g->region_known && endpoint_other(op) != SIZE_MAX;
	err = transfer_start(request, &op->t, why);
	if (err)
		op->t = NULL;
	free(url);
	return err;
}

bool glance_op_done(struct glance_op *op, int *err, int status, const struct reason **why,
		    struct reason *room)
{
	struct glance *g = op->g;
	bool repeated = false;

	*room = (struct reason){ 0 };
	pthread_mutex_lock(&g->lock);
	op->t = NULL;
	if (op->cancelled) {
		*err = -reason_set(room, ECANCELED, "given up");
		*why = room;
	} else if (status == 401 && op->renewed) {
		*err = -reason_set(room, EACCES, "%s refuses a token that Keystone has just given (401)",
				   glance_op_base(op));
		*why = room;
	} else if (status == 401) {
		op->renewed = true;
		/* op_ask() puts the session that it replaces. */
		*err = -op_ask(op, op->session, room);
		*why = room;
		repeated = !*err;
	} else if (!*err) {
		const struct keystone_endpoint *e = &op->session->endpoints[op->endpoint];

		g->region_known |= text_copy(g->region, sizeof(g->region), e->region);
		(void)text_copy(g->address, sizeof(g->address), e->url);
	}
	pthread_mutex_unlock(&g->lock);
	if (!repeated && *err && (status == 401 || *err == ECANCELED)) {
		glance_op_end(op, *err, *why);
		return true;
	}
	return repeated;
}
