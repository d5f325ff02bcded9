// SPDX-License-Identifier: Apache-2.0
/* A folder for a store (store_fixture.h). */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sqlite3.h>

#include "tests/unit/store_fixture.h"

int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	snprintf(p->dir, sizeof(p->dir), "/tmp/test-store-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->db, sizeof(p->db), "%s/catalogue.db", p->dir);
	*state = p;
	return 0;
}

static int place_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int place_remove(void **state)
{
	struct place *p = *state;

	if (p->mounted)
		umount2(p->dir, MNT_DETACH);
	nftw(p->dir, place_remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

void place_empty(struct place *p)
{
	nftw(p->dir, place_remove_one, 8, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(mkdir(p->dir, 0700), 0);
}

void place_mount(struct place *p, const char *options)
{
	if (mount("tmpfs", p->dir, "tmpfs", MS_NOSUID | MS_NODEV, options)) {
		print_message("[ SKIPPED: a tmpfs cannot be mounted here (%s), run as root ]\n", strerror(errno));
		skip();
	}
	p->mounted = true;
}

struct store *open_ok(struct place *p, bool fresh)
{
	struct reason why = { 0 };
	struct store *store = NULL;

	if (store_open(p->dir, fresh, &store, &why))
		fail_msg("store_open: %s", why.text);
	return store;
}

void db_edit(struct place *p, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

void blob_make(struct store *store, uint64_t id, const char *text, char sha256[SHA256_HEX])
{
	struct reason why = { 0 };
	int fd = -1;

	assert_int_equal(store_spool_open(store, id, &fd, &why), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(digest_fd(fd, sha256), 0);
	close(fd);
	assert_int_equal(store_spool_keep(store, id, sha256, &why), 0);
}

struct store_slot row_with(const char *sha256)
{
	struct store_slot row = { .state = "configured", .load = 7, .run = 0xfffffffffffffff0u, .run_err = 5,
				  .image_mtime_ns = 1234567890123456789, .state_mtime_ns = -1, .restorable = true };

	text_copy(row.loaded_sha256, sizeof(row.loaded_sha256), sha256);
	row.loaded = (char *)(uintptr_t)"{\"part\":\"x\"}";
	text_copy(row.error, sizeof(row.error), "it went wrong");
	return row;
}
