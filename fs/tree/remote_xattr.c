// SPDX-License-Identifier: Apache-2.0
/*
 * Attributes of images of a repository: user.fpga.id, .status, the digest under the name of its
 * algorithm, .sha256 also when it was found out here, .cached, .pinned, and .property.<name> for
 * each property. A name of a property is encoded as that of an image is, and one that does not fit
 * the 255 bytes of an attribute's name is left out.
 */
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/remote/origin.h"
#include "fs/tree/serve.h"

#define PREFIX "user.fpga."
#define PROPERTY "property."

/* Of the entry itself. False: there is no such attribute. */
static bool own_value(const struct catalogue_entry *e, const char *name, struct buf *out)
{
	const char *text = "";

	if (!strcmp(name, "id"))
		text = e->remote_id;
	else if (!strcmp(name, "status"))
		text = e->status;
	else if (*e->digest_algo && !strcmp(name, e->digest_algo))
		text = e->digest;
	buf_adds(out, text);
	return *text;
}

/* Of what the cache has of it. False: there is no such attribute. */
static bool cache_value(const struct catalogue_entry *e, const char *name, struct buf *out)
{
	struct entry_cache cache;

	if (strcmp(name, "cached") != 0 && strcmp(name, "pinned") != 0 && strcmp(name, "sha256") != 0)
		return false;
	if (entry_cache_get(e->id, &cache, NULL))
		return false;
	if (!strcmp(name, "cached"))
		buf_addf(out, "%llu", (unsigned long long)cache.cached);
	else if (!strcmp(name, "pinned"))
		buf_adds(out, cache.pinned ? "1" : "0");
	else
		buf_adds(out, cache.sha256);
	return out->len;
}

/* The attribute of a property, without the prefix; false: it has none. */
static bool property_name(const char *property, struct buf *out)
{
	out->len = 0;
	buf_adds(out, PROPERTY);
	name_encode(property, XATTR_NAME_MAX, out);
	return !buf_ok(out) && *property && strlen(PREFIX) + out->len <= XATTR_NAME_MAX;
}

static bool property_value(char **pairs, const char *name, struct buf *out)
{
	struct buf is CLEANUP_BUF = BUF_INIT;

	for (size_t i = 0; pairs && pairs[i] && pairs[i + 1]; i += 2) {
		if (!property_name(pairs[i], &is) || strcmp(is.data, name))
			continue;
		buf_adds(out, pairs[i + 1]);
		return true;
	}
	return false;
}

void remote_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct buf value CLEANUP_BUF = BUF_INIT;
	char **pairs CLEANUP_FREE = NULL;
	struct catalogue_entry e;
	bool there = false;
	int err;

	/* What the kernel asks for by itself needs no look. */
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	name += strlen(PREFIX);
	err = entry_read(ino, &e);
	if (!err)
		there = own_value(&e, name, &value) || cache_value(&e, name, &value);
	if (!err && !there && !strncmp(name, PROPERTY, strlen(PROPERTY))) {
		err = catalogue_properties(mirror_store(), e.id, &pairs, NULL);
		there = !err && property_value(pairs, name, &value);
	}
	if (err || !there)
		fuse_reply_err(req, err ? -err : ENODATA);
	else
		xattr_reply(req, &value, size);
}

static void name_add(struct buf *names, const char *name)
{
	buf_addf(names, PREFIX "%s", name);
	buf_add(names, "", 1);
}

void remote_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	static const char *const own[] = { "id", "status" };
	struct buf names CLEANUP_BUF = BUF_INIT, name CLEANUP_BUF = BUF_INIT;
	char **pairs CLEANUP_FREE = NULL;
	struct catalogue_entry e;
	struct entry_cache cache;
	int err = entry_read(ino, &e);

	if (!err)
		err = catalogue_properties(mirror_store(), e.id, &pairs, NULL);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		struct buf value CLEANUP_BUF = BUF_INIT;

		if (own_value(&e, own[i], &value))
			name_add(&names, own[i]);
	}
	if (*e.digest_algo)
		name_add(&names, e.digest_algo);
	if (!entry_cache_get(e.id, &cache, NULL)) {
		if (*cache.sha256 && strcmp(e.digest_algo, "sha256") != 0)
			name_add(&names, "sha256");
		name_add(&names, "cached");
		name_add(&names, "pinned");
	}
	for (size_t i = 0; pairs && pairs[i] && pairs[i + 1]; i += 2)
		if (property_name(pairs[i], &name))
			name_add(&names, name.data);
	xattr_reply(req, &names, size);
}

void remote_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size)
{
	bool off = !value || (size == 1 && *value == '0');
	struct reason why = { 0 };
	struct catalogue_entry e;
	int err;

	if (strcmp(name, PREFIX "pinned") != 0)
		fuse_reply_err(req, strncmp(name, PREFIX, strlen(PREFIX)) ? EOPNOTSUPP : EPERM);
	else if (!off && (size != 1 || *value != '1'))
		fuse_reply_err(req, EINVAL);
	else if ((err = entry_read(ino, &e)))
		fuse_reply_err(req, -err);
	else
		fuse_reply_err(req, -entry_pin(e.id, !off, &why));
}
