// SPDX-License-Identifier: Apache-2.0
/*
 * One image as Glance describes it (glance_page.h). Custom properties stand
 * beside the server's own fields, in one object.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/repo/glance_page.h"
#include "backend/repo/json_push.h"
#include "backend/repo/keystone.h"

/* Every whole number up to here is a double: 8 PiB. */
#define SIZE_EXACT 9007199254740992.0

bool glance_id_good(const char *id)
{
	const size_t len = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.");

	return len && len < 256 && !id[len] && id[0] != '.';
}

static const char *text_of(const json_t *root, const char *name)
{
	return json_string_value(json_object_get(root, name));
}

/* --- what verifies it ---------------------------------------------------------------- */

/* Lower-case hex of a digest of so many bytes into `to`; false = it is none. */
static bool hex_copy(char *to, const char *from, size_t bytes)
{
	if (!from || strlen(from) != 2 * bytes)
		return false;
	for (; *from; from++) {
		if (!isxdigit((unsigned char)*from))
			return false;
		*to++ = (char)tolower((unsigned char)*from);
	}
	*to = '\0';
	return true;
}

static void digest_read(struct glance_record *r)
{
	static const struct {
		const char *name;
		size_t bytes;
	} algos[] = { { "sha512", 64 }, { "sha384", 48 }, { "sha256", 32 }, { "sha1", 20 }, { "md5", 16 } };
	const char *algo = text_of(r->root, "os_hash_algo");
	const char *value = text_of(r->root, "os_hash_value");
	char md5[33] = "";

	for (unsigned i = 0; algo && i < sizeof(algos) / sizeof(algos[0]); i++)
		if (!strcmp(algo, algos[i].name) && hex_copy(r->digest, value, algos[i].bytes)) {
			r->entry.digest_algo = algos[i].name;
			r->entry.digest = r->digest;
		}
	if (!hex_copy(md5, text_of(r->root, "checksum"), 16))
		md5[0] = '\0';
	if (!r->entry.digest && *md5) {
		memcpy(r->digest, md5, sizeof(md5));
		r->entry.digest_algo = "md5";
		r->entry.digest = r->digest;
	}
	/* The data of an id never change once there are some; what they were is told all the same. */
	if (r->entry.data == REPO_DATA_NONE)
		r->validator[0] = '\0';
	else if (r->entry.digest)
		snprintf(r->validator, sizeof(r->validator), "%s:%s%s%s", r->entry.digest_algo, r->digest,
			 r->digest[32] && *md5 ? "+md5:" : "", r->digest[32] ? md5 : "");
	else
		snprintf(r->validator, sizeof(r->validator), "active");
	r->entry.validator = r->validator;
}

void glance_validator_md5(const char *validator, char md5[33])
{
	const char *at = strstr(validator, "md5:");

	md5[0] = '\0';
	if (at && strlen(at + 4) == 32)
		memcpy(md5, at + 4, 33);
}

/* --- whose it is, and what it has ------------------------------------------------------ */

static void rank_read(struct glance_record *r, const char *project)
{
	const char *owner = text_of(r->root, "owner");
	const char *visibility = text_of(r->root, "visibility");

	/* Also what is other projects' private, which an administrator sees, comes last. */
	r->entry.rank = REPO_PUBLIC;
	if (owner && project && !strcmp(owner, project))
		r->entry.rank = REPO_OWN;
	else if (visibility && !strcmp(visibility, "shared"))
		r->entry.rank = REPO_SHARED;
	else if (visibility && !strcmp(visibility, "community"))
		r->entry.rank = REPO_COMMUNITY;
}

/* Where the data may lie is nobody's business: such addresses can have credentials in them. */
static const char *const unshown[] = {
	"id",	       "name",	    "status",	"size",	       "virtual_size", "self",
	"file",	       "schema",    "stores",	"locations",   "direct_url",   "tags",
	"os_hash_algo", "os_hash_value", "os_hidden", "min_disk", "min_ram",   "protected",
	"updated_at",  NULL,
};
/* Of the server's own fields these are told, behind the custom ones. */
static const char *const own[] = { "owner",	  "visibility",	      "created_at", "disk_format",
				   "container_format", "checksum", NULL };

static bool listed(const char *const *list, const char *name)
{
	for (; *list; list++)
		if (!strcmp(*list, name))
			return true;
	return false;
}

static size_t property_add(struct glance_record *r, size_t n, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);

	/* A NUL inside cannot be shown. */
	if (!text || n == REPO_PROPERTIES_MAX || strlen(text) != json_string_length(value) ||
	    strlen(text) >= REPO_PROPERTY_MAX || !*name || strlen(name) > 255)
		return n;
	r->properties[2 * n] = name;
	r->properties[2 * n + 1] = text;
	return n + 1;
}

static void properties_read(struct glance_record *r)
{
	const json_t *tags = json_object_get(r->root, "tags"), *tag;
	const char *name;
	json_t *value;
	size_t n = 0, i;

	json_object_foreach(r->root, name, value)
		if (!listed(unshown, name) && !listed(own, name))
			n = property_add(r, n, name, value);
	for (i = 0; own[i]; i++)
		n = property_add(r, n, own[i], json_object_get(r->root, own[i]));
	json_array_foreach(tags, i, tag) {
		const char *text = json_string_value(tag);

		if (text && r->tags.len + strlen(text) < REPO_PROPERTY_MAX - 1)
			buf_addf(&r->tags, "%s%s", r->tags.len ? "," : "", text);
	}
	if (r->tags.len && !buf_ok(&r->tags) && n < REPO_PROPERTIES_MAX) {
		r->properties[2 * n] = "tags";
		r->properties[2 * n + 1] = r->tags.data;
		n++;
	}
	r->properties[2 * n] = NULL;
	r->entry.properties = r->properties;
}

/* --- the whole -------------------------------------------------------------------------- */

static int status_read(struct glance_record *r)
{
	const char *status = text_of(r->root, "status");

	r->entry.status = status && strlen(status) < 64 ? status : "";
	r->entry.data = REPO_DATA_NONE;
	if (!strcmp(r->entry.status, "active"))
		r->entry.data = REPO_DATA;
	else if (!strcmp(r->entry.status, "deactivated"))
		r->entry.data = REPO_DATA_SHUT;
	return !strcmp(r->entry.status, "deleted") || !strcmp(r->entry.status, "pending_delete") ? -ENOENT :
												   0;
}

int glance_record_read(struct glance_record *r, const char *text, size_t len, const char *project,
		       struct reason *why)
{
	json_error_t fault;
	const json_t *value;
	double size;

	memset(r, 0, sizeof(*r));
	if (!json_tree_fits(text, len))
		return reason_set(why, EBADMSG, "a record of an image is not read: it has too many values");
	/* A number that no integer holds, in a field that nobody needs, would hide the image. */
	r->root = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &fault);
	if (!json_is_object(r->root))
		return reason_set(why, EBADMSG, "a record of an image is not read: %s", fault.text);
	r->entry.id = text_of(r->root, "id");
	if (!r->entry.id || !glance_id_good(r->entry.id))
		return reason_set(why, EBADMSG, "a record of an image has no id that can be used");
	value = json_object_get(r->root, "name");
	r->entry.name = json_is_string(value) ? json_string_value(value) : "";
	r->entry.name_len = json_is_string(value) ? json_string_length(value) : 0;
	if (status_read(r))
		return -ENOENT;
	size = json_real_value(json_object_get(r->root, "size"));
	if (json_is_real(json_object_get(r->root, "size")) && size >= 0 && size <= SIZE_EXACT && size == floor(size)) {
		r->entry.has_size = true;
		r->entry.size = (uint64_t)size;
	}
	r->updated_ns = keystone_time_ns(text_of(r->root, "updated_at"));
	r->entry.mtime_ns = r->updated_ns ? r->updated_ns : keystone_time_ns(text_of(r->root, "created_at"));
	digest_read(r);
	rank_read(r, project);
	properties_read(r);
	return 0;
}

void glance_record_free(struct glance_record *r)
{
	json_decref(r->root);
	buf_free(&r->tags);
	r->root = NULL;
}
