// SPDX-License-Identifier: Apache-2.0
/*
 * What is said to Keystone and what it says (keystone.h). Format: OpenStack's
 * Identity API v3, "Authentication and token management".
 */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <fabricfs/url.h>

#include "backend/repo/cloud.h"
#include "backend/repo/json_push.h"
#include "backend/repo/keystone.h"

#define ENDPOINTS_MAX 64
#define SECONDS_MAX   (INT64_MAX / 1000000000 - 2 * 86400)

/* --- the request --------------------------------------------------------------------- */

/* Room is made for all of it before: nothing of a secret stays behind in memory given back. */
static void add(struct secret *s, const char *text)
{
	const size_t n = strlen(text);

	memcpy(s->text + s->len, text, n);
	s->len += n;
}

static void add_string(struct secret *s, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	s->text[s->len++] = '"';
	for (; *text; text++) {
		const unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || c == '"' || c == '\\') {
			add(s, "\\u00");
			s->text[s->len++] = hex[c >> 4];
			s->text[s->len++] = hex[c & 15];
		} else {
			s->text[s->len++] = (char)c;
		}
	}
	s->text[s->len++] = '"';
}

static void add_member(struct secret *s, const char *name, const char *value)
{
	if (s->text[s->len - 1] != '{')
		add(s, ",");
	add_string(s, name);
	add(s, ":");
	add_string(s, value);
}

/* A name needs its domain. Without one it is that which every Keystone begins with. */
static void add_named(struct secret *s, const char *id, const char *name, const char *domain_id,
		      const char *domain)
{
	if (id) {
		add_member(s, "id", id);
		return;
	}
	add_member(s, "name", name);
	add(s, ",\"domain\":{");
	if (domain_id || !domain)
		add_member(s, "id", domain_id ? domain_id : "default");
	else
		add_member(s, "name", domain);
	add(s, "}");
}

static size_t room(const char *text)
{
	return text ? 6 * strlen(text) + 64 : 64;
}

int keystone_request(const struct cloud *cloud, struct secret *s)
{
	const size_t size = 1024 + room(cloud->secret.text) + room(cloud->username) +
			    room(cloud->user_id) + room(cloud->user_domain) +
			    room(cloud->user_domain_id) + room(cloud->project) + room(cloud->project_id) +
			    room(cloud->project_domain) + room(cloud->project_domain_id) +
			    room(cloud->application) + room(cloud->application_id);

	if (secret_new(s, size))
		return -ENOMEM;
	s->len = 0;
	add(s, "{\"auth\":{\"identity\":{\"methods\":[");
	switch (cloud->auth) {
	case CLOUD_PASSWORD:
		add(s, "\"password\"],\"password\":{\"user\":{");
		add_named(s, cloud->user_id, cloud->username, cloud->user_domain_id, cloud->user_domain);
		add_member(s, "password", cloud->secret.text);
		add(s, "}}");
		break;
	case CLOUD_APPLICATION:
		add(s, "\"application_credential\"],\"application_credential\":{");
		if (cloud->application_id) {
			add_member(s, "id", cloud->application_id);
		} else {
			add_member(s, "name", cloud->application);
			add(s, ",\"user\":{");
			add_named(s, cloud->user_id, cloud->username, cloud->user_domain_id,
				  cloud->user_domain);
			add(s, "}");
		}
		add_member(s, "secret", cloud->secret.text);
		add(s, "}");
		break;
	case CLOUD_TOKEN:
	case CLOUD_FIXED_TOKEN:
	case CLOUD_NONE:
		add(s, "\"token\"],\"token\":{");
		add_member(s, "id", cloud->secret.text);
		add(s, "}");
		break;
	}
	add(s, "}");
	/* An application credential has its scope, and asking for one is refused. */
	if (cloud->auth != CLOUD_APPLICATION && (cloud->project || cloud->project_id)) {
		const char *domain_id = cloud->project_domain_id, *domain = cloud->project_domain;

		if (!domain_id && !domain) {
			domain_id = cloud->user_domain_id;
			domain = cloud->user_domain;
		}
		add(s, ",\"scope\":{\"project\":{");
		add_named(s, cloud->project_id, cloud->project, domain_id, domain);
		add(s, "}}");
	}
	add(s, "}}");
	return 0;
}

/* --- the answer ----------------------------------------------------------------------- */

static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* Digits of a fixed width, -1 = others. */
static int digits(const char **at, int n)
{
	int value = 0;

	for (; n; n--, (*at)++) {
		if (!isdigit((unsigned char)**at))
			return -1;
		value = value * 10 + (**at - '0');
	}
	return value;
}

int64_t keystone_time_ns(const char *text)
{
	static const struct {
		int width;
		char behind;
	} parts[] = { { 4, '-' }, { 2, '-' }, { 2, 'T' }, { 2, ':' }, { 2, ':' }, { 2, '\0' } };
	int value[6], sign, hours, minutes;
	int64_t ns = 0, scale = 100000000;
	struct tm tm = { 0 };
	time_t seconds;

	if (!text)
		return 0;
	for (unsigned i = 0; i < 6; i++) {
		value[i] = digits(&text, parts[i].width);
		if (value[i] < 0)
			return 0;
		if (parts[i].behind && *text++ != parts[i].behind)
			return 0;
	}
	if (value[0] < 1970 || value[1] < 1 || value[1] > 12 || value[2] < 1 || value[2] > 31 ||
	    value[3] > 23 || value[4] > 59 || value[5] > 60)
		return 0;
	tm.tm_year = value[0] - 1900;
	tm.tm_mon = value[1] - 1;
	tm.tm_mday = value[2];
	tm.tm_hour = value[3];
	tm.tm_min = value[4];
	tm.tm_sec = value[5];
	seconds = timegm(&tm);
	if (seconds < 0)
		return 0;
	/* The year 9999 is said for what never ends; int64_t has nanoseconds up to 2262. */
	if (seconds > SECONDS_MAX)
		seconds = SECONDS_MAX;
	if (*text == '.')
		for (text++; isdigit((unsigned char)*text); text++, scale /= 10)
			ns += (*text - '0') * scale;
	/* "Z", nothing (which means the same here), or an offset. */
	sign = *text == '-' ? 1 : *text == '+' ? -1 : 0;
	if (sign) {
		text++;
		hours = digits(&text, 2);
		text += hours >= 0 && *text == ':';
		minutes = hours >= 0 ? digits(&text, 2) : -1;
		if (minutes < 0 || *text)
			return 0;
		seconds += sign * (hours * 3600 + minutes * 60);
	} else if (*text && strcmp(text, "Z")) {
		return 0;
	}
	return seconds < 0 ? 0 : (int64_t)seconds * 1000000000 + ns;
}

char *keystone_endpoint_url(const char *url)
{
	size_t len = strlen(url), host;
	const char *slash;

	if (url_fault(url) || strpbrk(url, "?#@"))
		return NULL;
	host = url[4] == 's' ? 8 : 7;
	while (url[len - 1] == '/')
		len--;
	/* .../v2, .../v2.9: it is added with each request. */
	slash = memrchr(url + host, '/', len - host);
	if (slash && !strncmp(slash, "/v2", 3)) {
		const char *c = slash + 3;

		if (*c == '.')
			for (c++; isdigit((unsigned char)*c); c++)
				;
		if (c == url + len)
			len = (size_t)(slash - url);
	}
	while (len > host && url[len - 1] == '/')
		len--;
	return strndup(url, len);
}

struct catalogue {
	const struct cloud *cloud;
	struct keystone_session *session;
	struct buf regions; /* what there was instead */
	char *plain; /* the first address that is left out because it is not encrypted */
	const char *fault; /* of one that is left out because it is none */
	bool image;	    /* an image service at all */
};

static int endpoint_take(struct catalogue *c, const json_t *endpoint)
{
	struct keystone_session *s = c->session;
	const char *interface = member(endpoint, "interface");
	const char *region = member(endpoint, "region_id");
	const char *url = member(endpoint, "url");
	struct keystone_endpoint *to = &s->endpoints[s->endpoints_len];
	size_t len = interface ? strlen(interface) : 0;

	if (!region)
		region = member(endpoint, "region");
	if (!region)
		region = "";
	if (!url || !len || s->endpoints_len == ENDPOINTS_MAX)
		return 0;
	/* "publicURL" is the old spelling. */
	if (len > 3 && !strcmp(interface + len - 3, "URL"))
		len -= 3;
	if (strlen(c->cloud->interface) != len || strncmp(c->cloud->interface, interface, len))
		return 0;
	if (c->cloud->region && strcmp(c->cloud->region, region)) {
		if (c->regions.len < 256 && strlen(region) < 64)
			buf_addf(&c->regions, "%s%s", c->regions.len ? ", " : "", region);
		return 0;
	}
	to->url = keystone_endpoint_url(url);
	if (!to->url) {
		c->fault = url_fault(url) ? url_fault(url) : "it has a query, a fragment or a user";
		return 0;
	}
	/* Whoever encrypts the login does not mean everybody on the way to have what comes of it. */
	if (!strncmp(c->cloud->auth_url, "https:", 6) && !strncmp(to->url, "http:", 5) && !c->cloud->allow_http) {
		if (c->plain)
			free(to->url);
		else
			c->plain = to->url;
		to->url = NULL;
		return 0;
	}
	to->region = strdup(region);
	if (!to->region) {
		free(to->url);
		to->url = NULL;
		return -ENOMEM;
	}
	s->endpoints_len++;
	return 0;
}

static int catalogue_read(struct catalogue *c, const json_t *list, struct reason *why)
{
	const struct cloud *cloud = c->cloud;
	const json_t *service, *endpoint;
	size_t i, k;

	json_array_foreach(list, i, service) {
		const char *type = member(service, "type");

		if (!type || strcmp(type, "image"))
			continue;
		c->image = true;
		json_array_foreach(json_object_get(service, "endpoints"), k, endpoint)
			if (endpoint_take(c, endpoint))
				return reason_set(why, ENOMEM, "no memory for a catalogue of services");
	}
	if (c->session->endpoints_len)
		return 0;
	if (!c->image)
		return reason_set(why, EREMOTEIO, "%s: the catalogue has no image service for this project",
				  cloud->auth_url);
	if (c->plain)
		return reason_set(why, EREMOTEIO, "%s: the catalogue's image service is at %s, which is not encrypted "
				  "as Keystone is: no token is sent there unless allow-http is true",
				  cloud->auth_url, c->plain);
	/* The address itself is not shown: there may be a password in it. */
	if (c->fault)
		return reason_set(why, EREMOTEIO, "%s: the catalogue's address of the image service cannot be asked: %s",
				  cloud->auth_url, c->fault);
	if (!cloud->region)
		return reason_set(why, EREMOTEIO, "%s: the catalogue's image service has no %s address",
				  cloud->auth_url, cloud->interface);
	return reason_set(why, EREMOTEIO, "%s: the catalogue has no image service with a %s address in "
			  "region '%.64s'; it has one in: %s", cloud->auth_url, cloud->interface,
			  cloud->region, c->regions.len ? c->regions.data : "no region");
}

static int endpoint_fixed(const struct cloud *cloud, struct keystone_session *s, struct reason *why)
{
	s->endpoints[0].url = keystone_endpoint_url(cloud->endpoint);
	s->endpoints[0].region = strdup("");
	if (!s->endpoints[0].url || !s->endpoints[0].region) {
		free(s->endpoints[0].url);
		free(s->endpoints[0].region);
		return reason_set(why, EINVAL, "%s: the image service's address cannot be used",
				  cloud->where);
	}
	s->endpoints_len = 1;
	return 0;
}

/*
 * A token for no project is taken by Glance, and shows a plausible, shrunken
 * list: that has to be an error here.
 */
static int scope_check(const struct cloud *cloud, const json_t *token, struct keystone_session *s,
		       struct reason *why)
{
	const json_t *project = json_object_get(token, "project");
	const char *id = member(project, "id"), *name = member(project, "name");

	if (!id)
		return reason_set(why, EACCES, "%s: the token is for no project, and would show a part of "
				  "the images only; give the project's name", cloud->auth_url);
	if (cloud->auth != CLOUD_APPLICATION &&
	    ((cloud->project_id && strcmp(cloud->project_id, id)) ||
	     (!cloud->project_id && cloud->project && (!name || strcasecmp(cloud->project, name)))))
		return reason_set(why, EACCES, "%s: the token is for project '%.64s', not for the one that "
				  "was asked for, '%.64s'", cloud->auth_url, name ? name : id,
				  cloud->project_id ? cloud->project_id : cloud->project);
	s->project_id = strdup(id);
	return s->project_id ? 0 : reason_set(why, ENOMEM, "no memory for a token");
}

static int times_read(const struct cloud *cloud, const json_t *token, struct keystone_session *s,
		      struct reason *why)
{
	const int64_t end = keystone_time_ns(member(token, "expires_at"));
	const int64_t begin = keystone_time_ns(member(token, "issued_at"));

	if (json_is_null(json_object_get(token, "expires_at")))
		return 0;
	if (!end || !begin || end < begin)
		return reason_set(why, EBADMSG, "%s: the answer does not say how long the token is good",
				  cloud->auth_url);
	s->lifetime_ms = (end - begin) / 1000000;
	if (!s->lifetime_ms)
		s->lifetime_ms = 1;
	return 0;
}

static struct keystone_session *session_new(void)
{
	struct keystone_session *s = calloc(1, sizeof(*s));

	if (s) {
		s->endpoints = calloc(ENDPOINTS_MAX, sizeof(*s->endpoints));
		s->users = 1;
	}
	if (s && !s->endpoints) {
		free(s);
		return NULL;
	}
	return s;
}

int keystone_answer(const struct cloud *cloud, const char *text, size_t len,
		    struct keystone_session **session, struct reason *why)
{
	struct keystone_session *s = session_new();
	struct catalogue catalogue = { .cloud = cloud, .session = s };
	const bool asked = cloud->auth != CLOUD_NONE && cloud->auth != CLOUD_FIXED_TOKEN;
	const bool fits = json_tree_fits(text, len);
	json_t *root = asked && fits ? json_loadb(text, len, 0, NULL) : NULL;
	const json_t *token = json_object_get(root, "token");
	int err = 0;

	*session = NULL;
	if (!s)
		err = reason_set(why, ENOMEM, "no memory for a token");
	else if (asked && !fits)
		err = reason_set(why, EBADMSG, "%s: the answer to the login has more values than any catalogue of "
				 "services", cloud->auth_url);
	else if (asked && !json_is_object(token))
		err = reason_set(why, EBADMSG, "%s: the answer to the login is not Keystone's", cloud->auth_url);
	if (!err && asked)
		err = scope_check(cloud, token, s, why);
	if (!err && asked)
		err = times_read(cloud, token, s, why);
	if (!err && cloud->endpoint)
		err = endpoint_fixed(cloud, s, why);
	else if (!err)
		err = catalogue_read(&catalogue, json_object_get(token, "catalog"), why);
	buf_free(&catalogue.regions);
	free(catalogue.plain);
	json_decref(root);
	if (err)
		keystone_session_put(s);
	else
		*session = s;
	return err;
}

struct keystone_session *keystone_session_ref(struct keystone_session *session)
{
	__atomic_add_fetch(&session->users, 1, __ATOMIC_RELAXED);
	return session;
}

void keystone_session_put(struct keystone_session *s)
{
	if (!s || __atomic_sub_fetch(&s->users, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < s->endpoints_len; i++) {
		free(s->endpoints[i].url);
		free(s->endpoints[i].region);
	}
	free(s->endpoints);
	free(s->project_id);
	secret_free(&s->token);
	free(s);
}
