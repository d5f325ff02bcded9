// SPDX-License-Identifier: Apache-2.0
/*
 * The store on a disk that fails: SQLite's way to it is wrapped, and one
 * operation after the other fails, once or from then on. Whatever fails, the
 * caller gets an errno with a sentence, what was promised is there after the next
 * start, and what was refused for want of room has changed nothing.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

/* --- a disk that fails --------------------------------------------------------------- */

enum op { OP_OPEN = 1, OP_READ = 2, OP_WRITE = 4, OP_SYNC = 8, OP_SHM = 16, OP_TRUNCATE = 32 };

static struct {
	unsigned ops;     /* what is counted and fails */
	int rc, sys;      /* as what */
	bool for_good;
	_Atomic long left; /* until then; 0 = it has failed, -1 = it does not */
	_Atomic bool hit;
} fault;

static sqlite3_vfs *disk; /* the one below */
static sqlite3_vfs shim;

struct shim_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static bool fails(enum op op)
{
	long left = atomic_load(&fault.left);

	if (!(fault.ops & op) || left < 0)
		return false;
	if (left == 0)
		return fault.for_good;
	if (atomic_fetch_sub(&fault.left, 1) != 1)
		return false;
	atomic_store(&fault.hit, true);
	return true;
}

static sqlite3_file *real(sqlite3_file *f)
{
	return ((struct shim_file *)f)->real;
}

static int shim_close(sqlite3_file *f)
{
	return real(f)->pMethods->xClose(real(f));
}

static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return fails(OP_READ) ? fault.rc : real(f)->pMethods->xRead(real(f), p, n, at);
}

static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (!fails(OP_WRITE))
		return real(f)->pMethods->xWrite(real(f), p, n, at);
	/* Half of it arrived, as on a real one. */
	real(f)->pMethods->xWrite(real(f), p, n / 2, at);
	return fault.rc;
}

static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return fails(OP_TRUNCATE) ? fault.rc : real(f)->pMethods->xTruncate(real(f), size);
}

static int shim_sync(sqlite3_file *f, int flags)
{
	return fails(OP_SYNC) ? fault.rc : real(f)->pMethods->xSync(real(f), flags);
}

static int shim_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real(f)->pMethods->xFileSize(real(f), size);
}

static int shim_lock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xLock(real(f), level);
}

static int shim_unlock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xUnlock(real(f), level);
}

static int shim_reserved(sqlite3_file *f, int *out)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int shim_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int shim_sector(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int shim_device(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int shim_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return fails(OP_SHM) ? fault.rc : real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int shim_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void shim_barrier(sqlite3_file *f)
{
	real(f)->pMethods->xShmBarrier(real(f));
}

static int shim_unmap(sqlite3_file *f, int delete)
{
	return real(f)->pMethods->xShmUnmap(real(f), delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, .xClose = shim_close, .xRead = shim_read, .xWrite = shim_write,
	.xTruncate = shim_truncate, .xSync = shim_sync, .xFileSize = shim_size, .xLock = shim_lock,
	.xUnlock = shim_unlock, .xCheckReservedLock = shim_reserved, .xFileControl = shim_control,
	.xSectorSize = shim_sector, .xDeviceCharacteristics = shim_device, .xShmMap = shim_map,
	.xShmLock = shim_shm_lock, .xShmBarrier = shim_barrier, .xShmUnmap = shim_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct shim_file *s = (struct shim_file *)f;
	int rc;

	(void)vfs;
	s->base.pMethods = NULL;
	s->real = (sqlite3_file *)(s + 1);
	if (fails(OP_OPEN))
		return SQLITE_CANTOPEN;
	rc = disk->xOpen(disk, name, s->real, flags, out);
	if (s->real->pMethods)
		s->base.pMethods = &methods;
	return rc;
}

static int shim_error(sqlite3_vfs *vfs, int n, char *text)
{
	(void)vfs;
	return atomic_load(&fault.hit) ? fault.sys : disk->xGetLastError(disk, n, text);
}

static int disk_wrap(void **state)
{
	(void)state;
	disk = sqlite3_vfs_find(NULL);
	shim = *disk;
	shim.zName = "failing";
	shim.szOsFile = (int)sizeof(struct shim_file) + disk->szOsFile;
	shim.xOpen = shim_open;
	shim.xGetLastError = shim_error;
	return sqlite3_vfs_register(&shim, 1);
}

/* --- what is done, and what must be true ------------------------------------------------ */

struct done {
	int open, number, keep, commit, record, sync;
};

static int said(int err, const struct reason *why)
{
	assert_true(err <= 0);
	if (err && (!why->text[0] || why->err != -err))
		fail_msg("%d without its sentence: %d '%s'", err, why->err, why->text);
	return err;
}

static int image_keep(struct store *store, const char *sha256)
{
	struct reason why = { 0 };
	int fd, err = said(store_spool_open(store, 1, &fd, &why), &why);

	if (err)
		return err;
	assert_int_equal(write(fd, "image", 5), 5);
	close(fd);
	return said(store_spool_keep(store, 1, sha256, &why), &why);
}

static struct done work(const struct place *p, const char *sha256)
{
	struct done d = { -1, -1, -1, -1, -1, -1 };
	struct store_record record = { .dev = 0, .slot = -1, .json = "{\"n\":1}", .time_ns = 1 };
	struct store_slot row = row_with(sha256);
	struct buf text CLEANUP_BUF = BUF_INIT;
	struct reason why = { 0 };
	struct store *store;
	uint64_t bytes;
	unsigned number;

	d.open = said(store_open(p->dir, true, &store, &why), &why);
	if (d.open)
		return d;
	d.number = said(store_card_number(store, "sim:a", &number, NULL, &why), &why);
	d.keep = image_keep(store, sha256);
	if (!d.keep)
		d.commit = said(store_commit(store, 0, -1, &row, &record, NULL, &why), &why);
	record.json = "{\"n\":2}";
	d.record = said(store_record_add(store, &record, NULL, &why), &why);
	said(store_records(store, 0, 0, 10, &text, NULL, NULL, &why), &why);
	store_records_size(store, 0, &bytes);
	d.sync = said(store_sync(store, &why), &why);
	said(store_blobs_trim(store, &why), &why);
	store_close(store);
	return d;
}

/* On a disk that is good again. */
static void promises_kept(struct place *p, const struct done *d, const char *sha256)
{
	struct store *store = open_ok(p, true);
	struct buf text CLEANUP_BUF = BUF_INIT;
	struct store_slot row;
	bool doubted = false;
	unsigned number = 99;
	int err;

	assert_int_equal(store_card_number(store, "sim:a", &number, NULL, NULL), 0);
	assert_int_equal(number, 0);
	err = store_slot_load(store, 0, -1, &row, &doubted, NULL);
	assert_false(doubted);
	if (!d->commit) {
		assert_int_equal(err, 0);
		assert_string_equal(row.loaded_sha256, sha256);
	} else if (d->commit == -ENOSPC) {
		assert_int_equal(err, -ENOENT);
	} else if (!err) {
		/* It failed at its very end: then it stands whole. */
		assert_string_equal(row.loaded_sha256, sha256);
		assert_string_equal(row.state, "configured");
	}
	store_slot_fini(&row);
	assert_int_equal(store_records(store, 0, 0, 10, &text, NULL, NULL, NULL), 0);
	assert_true(!!d->commit || (text.len && strstr(text.data, "\"n\":1")));
	assert_true(!!d->record || (text.len && strstr(text.data, "\"n\":2")));
	store_close(store);
}

/* Every operation of these kinds fails once in its turn; how many there were. */
static long fail_each(struct place *p, unsigned ops, int rc, int sys, bool for_good)
{
	char sha256[SHA256_HEX];
	struct digest *digest = digest_new();

	digest_update(digest, "image", 5);
	digest_hex(digest, sha256);
	digest_free(digest);
	for (long n = 1;; n++) {
		struct done d;

		fault.ops = ops;
		fault.rc = rc;
		fault.sys = sys;
		fault.for_good = for_good;
		atomic_store(&fault.hit, false);
		atomic_store(&fault.left, n);
		d = work(p, sha256);

		bool hit = atomic_load(&fault.hit);

		atomic_store(&fault.left, -1);
		atomic_store(&fault.hit, false);
		promises_kept(p, &d, sha256);
		place_empty(p);
		if (!hit)
			return n - 1;
		assert_true(n < 10000);
	}
}

static void a_write_that_fails_anywhere_breaks_no_promise(void **state)
{
	assert_true(fail_each(*state, OP_WRITE, SQLITE_IOERR_WRITE, EIO, false) > 20);
	assert_true(fail_each(*state, OP_WRITE, SQLITE_IOERR_WRITE, EIO, true) > 20);
}

static void a_disk_that_is_full_from_any_moment_on_changes_nothing_and_says_so(void **state)
{
	assert_true(fail_each(*state, OP_WRITE | OP_TRUNCATE, SQLITE_FULL, ENOSPC, true) > 20);
}

static void a_read_that_fails_anywhere_breaks_no_promise(void **state)
{
	assert_true(fail_each(*state, OP_READ, SQLITE_IOERR_READ, EIO, false) > 5);
	assert_true(fail_each(*state, OP_READ, SQLITE_IOERR_READ, EIO, true) > 5);
}

static void a_disk_that_cannot_sync_breaks_no_promise(void **state)
{
	assert_true(fail_each(*state, OP_SYNC, SQLITE_IOERR_FSYNC, EIO, true) > 0);
}

static void files_that_cannot_be_opened_or_mapped_break_no_promise(void **state)
{
	assert_true(fail_each(*state, OP_OPEN | OP_SHM, SQLITE_IOERR_SHMMAP, EMFILE, false) > 3);
	assert_true(fail_each(*state, OP_OPEN | OP_SHM, SQLITE_IOERR_SHMMAP, EMFILE, true) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_write_that_fails_anywhere_breaks_no_promise),
		CLAIM(a_disk_that_is_full_from_any_moment_on_changes_nothing_and_says_so),
		CLAIM(a_read_that_fails_anywhere_breaks_no_promise),
		CLAIM(a_disk_that_cannot_sync_breaks_no_promise),
		CLAIM(files_that_cannot_be_opened_or_mapped_break_no_promise),
	};

	atomic_store(&fault.left, -1);
	return cmocka_run_group_tests(tests, disk_wrap, NULL);
}
