// SPDX-License-Identifier: Apache-2.0
/* A folder as a repository: what of it is listed, what lies outside of it, and files that change while they are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <fabricfs/buf.h>

#include "backend/repo/directory/directory.h"
#include "backend/repo/directory/folder.h"

#define MIB (1 << 20)

static char top[64], dir[80];
static struct repo_value values[2];
static struct repo_config config;
static void *repo;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool over; /* lock */
static int ended;
static struct reason ended_why;
static struct buf listed;

/* --- around each claim ------------------------------------------------------------------------------ */

static void path_of(const char *name, char out[200])
{
	snprintf(out, 200, "%s/%s", name[0] == '/' ? top : dir, name[0] == '/' ? name + 1 : name);
}

static void file(const char *name, size_t size)
{
	char path[200];
	FILE *f;

	path_of(name, path);
	f = fopen(path, "w");
	assert_non_null(f);
	for (size_t i = 0; i < size; i++)
		fputc('a', f);
	fclose(f);
}

static void folder(const char *name)
{
	char path[200];

	path_of(name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void link_to(const char *name, const char *to)
{
	char path[200];

	path_of(name, path);
	assert_int_equal(symlink(to, path), 0);
}

static int begin(void **state)
{
	struct reason why = { 0 };

	(void)state;
	snprintf(top, sizeof(top), "/tmp/test-directory-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(dir, sizeof(dir), "%s/images", top);
	if (mkdir(dir, 0755))
		return -1;
	values[0] = (struct repo_value){ .key = "path", .kind = REPO_KEY_FILE, .text = dir };
	values[1] = (struct repo_value){ .key = "depth", .kind = REPO_KEY_INTEGER, .number = 2 };
	config = (struct repo_config){ .name = "nfs", .kind = "directory", .offline_timeout_ms = 60000, .values = values,
				       .values_len = 2 };
	if (directory_start(&why))
		return -1;
	return directory_kind.open(&config, &repo, &why);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int end(void **state)
{
	(void)state;
	directory_kind.close(repo);
	directory_stop();
	buf_free(&listed);
	return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, begin, end)

static void it_ended(int err, const struct reason *why)
{
	pthread_mutex_lock(&lock);
	ended = err;
	ended_why = why ? *why : (struct reason){ 0 };
	over = true;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static int wait_for_it(void)
{
	pthread_mutex_lock(&lock);
	while (!over)
		pthread_cond_wait(&cond, &lock);
	over = false;
	pthread_mutex_unlock(&lock);
	return ended;
}

/* --- listing ------------------------------------------------------------------------------------------ */

static int on_entry(struct repo_list *list, const struct repo_entry *entry, struct reason *why)
{
	(void)list;
	(void)why;
	buf_addf(&listed, "%s ", entry->id);
	return 0;
}

static void on_listed(struct repo_list *list, int err, bool all, bool unchanged, const struct reason *why)
{
	(void)list;
	assert_true(err || (all && !unchanged));
	it_ended(err, why);
}

static bool is_listed(const char *id)
{
	char word[100];

	snprintf(word, sizeof(word), " %s ", id);
	return strstr(listed.data, word);
}

static void files_and_links_to_files_within_are_listed_and_nothing_else(void **state)
{
	static const char *const those[] = { "a.bit", "within.bit", "sub/b.bit" };
	struct repo_list list = { .entry = on_entry, .done = on_listed };
	struct reason why = { 0 };
	char path[200];
	size_t words = 0;

	(void)state;
	file("a.bit", 10);
	folder("sub");
	file("sub/b.bit", 10);
	file("/secret", 10);
	folder("/outside");
	file("/outside/c.bit", 10);
	link_to("within.bit", "sub/b.bit");
	link_to("to-a-folder", "sub");
	link_to("out.bit", "../secret");
	link_to("absolute.bit", "/etc/hostname");
	link_to("outside", "../outside");
	link_to("nowhere", "nothing");
	link_to("itself", "itself");
	path_of("fifo", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	buf_adds(&listed, " ");
	assert_int_equal(directory_kind.list(repo, &list, &why), 0);
	assert_int_equal(wait_for_it(), 0);
	for (size_t i = 0; i < sizeof(those) / sizeof(*those); i++)
		if (!is_listed(those[i]))
			fail_msg("%s is not among%s", those[i], listed.data);
	for (const char *c = listed.data + 1; *c; c++)
		words += *c == ' ';
	if (words != sizeof(those) / sizeof(*those))
		fail_msg("more than what is wanted:%s", listed.data);
}

static int list(void)
{
	struct repo_list list = { .entry = on_entry, .done = on_listed };
	struct reason why = { 0 };

	assert_int_equal(directory_kind.list(repo, &list, &why), 0);
	return wait_for_it();
}

/* With so many descriptors more than there are now. */
static int with_few(unsigned more, int (*fn)(void))
{
	struct rlimit before, few;
	int err, fd = open(dir, O_RDONLY | O_CLOEXEC);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ (rlim_t)fd + more, before.rlim_max };
	close(fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	err = fn();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	return err;
}

/* Else they would be taken for deleted, and what is cached of them would go. */
static void what_could_not_be_looked_at_is_not_left_out_of_a_list(void **state)
{
	(void)state;
	file("a.bit", 10);
	folder("sub");
	file("sub/b.bit", 10);
	/* The folder itself can be opened, and nothing more. */
	assert_int_equal(with_few(1, list), EREMOTEIO);
	assert_non_null(strstr(ended_why.text, "Too many open files"));
	assert_int_equal(list(), 0);
}

/* Else its images would pass for some that nothing vouches for. */
static void checksums_that_cannot_be_read_are_not_left_out_of_a_list(void **state)
{
	char path[200];

	(void)state;
	file("a.bit", 10);
	file("SHA256SUMS", 0);
	path_of("SHA256SUMS", path);
	assert_int_equal(truncate(path, 65 * MIB), 0);
	assert_int_equal(list(), EBADMSG);
	assert_non_null(strstr(ended_why.text, "SHA256SUMS"));
	assert_int_equal(truncate(path, MIB), 0);
	assert_int_equal(list(), 0);
}

static _Atomic bool renames;

static void *rename_main(void *unused)
{
	char a[200], b[200];

	(void)unused;
	path_of("/x", a);
	path_of("/y", b);
	while (renames) {
		rename(a, b);
		rename(b, a);
	}
	return NULL;
}

/* The kernel gives up on ".." then (openat2(2), EAGAIN). */
static void links_are_found_while_something_else_is_renamed(void **state)
{
	pthread_t thread;
	int root, lost = 0;

	(void)state;
	folder("sub");
	file("a.bit", 10);
	file("/x", 1);
	link_to("sub/up.bit", "../a.bit");
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	renames = true;
	assert_int_equal(pthread_create(&thread, NULL, rename_main, NULL), 0);
	for (int i = 0; i < 20000; i++) {
		int fd = open_beneath(root, "sub/up.bit", O_RDONLY | O_CLOEXEC);

		lost += fd < 0;
		if (fd >= 0)
			close(fd);
	}
	renames = false;
	pthread_join(thread, NULL);
	close(root);
	assert_int_equal(lost, 0);
}

static void a_time_that_is_too_far_away_is_the_last_that_can_be_told(void **state)
{
	(void)state;
	assert_int_equal(repo_time_ns(1795262400, 5), INT64_C(1795262400000000005));
	/* The last that ext4 has. */
	assert_int_equal(repo_time_ns(INT64_C(15032385535), 0), INT64_C(9223372036000000000));
	assert_int_equal(repo_time_ns(INT64_MIN, 0), INT64_C(-9223372036000000000));
}

/* --- reading -------------------------------------------------------------------------------------------- */

static size_t came;
static bool spoils; /* the file, while it is read */

static int on_data(struct repo_fetch *fetch, const void *bytes, size_t n, struct reason *why)
{
	char path[200];

	(void)bytes;
	(void)why;
	came += n;
	if (spoils) {
		spoils = false;
		path_of(fetch->id, path);

		int fd = open(path, O_WRONLY | O_CLOEXEC);

		/* Of the same size, in what comes later. */
		assert_int_equal(pwrite(fd, "b", 1, 3 * MIB), 1);
		close(fd);
	}
	return 0;
}

static void on_fetched(struct repo_fetch *fetch, int err, const struct reason *why)
{
	(void)fetch;
	it_ended(err, why);
}

static int fetch(const char *id)
{
	struct repo_fetch f = { .id = id, .validator = "", .data = on_data, .done = on_fetched };
	struct reason why = { 0 };

	came = 0;
	assert_int_equal(directory_kind.fetch(repo, &f, &why), 0);
	return wait_for_it();
}

static int fetch_one(void)
{
	return fetch("a.bit");
}

/* Nobody can be told then that the repository is offline: it was not even asked. */
static void no_descriptors_are_no_folder_that_cannot_be_reached(void **state)
{
	(void)state;
	file("a.bit", 10);
	assert_int_equal(with_few(0, list), EREMOTEIO);
	assert_int_equal(with_few(0, fetch_one), EREMOTEIO);
	assert_int_equal(with_few(1, fetch_one), EREMOTEIO);
	assert_int_equal(fetch_one(), 0);
}

static void a_file_that_is_written_to_while_it_is_read_is_stale(void **state)
{
	(void)state;
	file("a.bit", 4 * MIB);
	assert_int_equal(fetch("a.bit"), 0);
	assert_int_equal(came, 4 * MIB);
	spoils = true;
	assert_int_equal(fetch("a.bit"), ESTALE);
	assert_true(came < 3 * MIB);
	assert_non_null(strstr(ended_why.text, "was written to while it was read"));
}

static void ids_that_lead_out_of_the_folder_have_no_bytes(void **state)
{
	static const char *const outside[] = { "../secret", "sub/../../secret", "out.bit", "/etc/hostname", "sub/../a.bit/../../secret",
					       "%2E%2E/secret", "through/c.bit" };

	(void)state;
	file("/secret", 10);
	folder("/outside");
	file("/outside/c.bit", 10);
	folder("sub");
	link_to("out.bit", "../secret");
	link_to("through", "../outside");
	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
		if (!fetch(outside[i]))
			fail_msg("%s has bytes", outside[i]);
		assert_int_equal(came, 0);
	}
}

/* In a process of its own, which a filter keeps from openat2(2), as those of containers do. */
static int opened_without_openat2(int err, const char *path)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(*filter), .filter = filter };
	int status, root, fd;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
			_exit(200);
		fd = open_beneath(root, path, O_RDONLY | O_CLOEXEC);
		_exit(fd >= 0 ? 0 : -fd);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 200);
	return WEXITSTATUS(status);
}

static void without_openat2_nothing_outside_is_opened_either(void **state)
{
	static const char *const outside[] = { "..", "../secret", "sub/../../secret", "sub/..", "out.bit", "through/c.bit", ".",
					       "./a.bit", "", "sub//b.bit", "/etc/hostname" };
	static const int errs[] = { ENOSYS, EPERM };

	(void)state;
	file("a.bit", 10);
	file("/secret", 10);
	folder("/outside");
	file("/outside/c.bit", 10);
	folder("sub");
	file("sub/b.bit", 10);
	link_to("out.bit", "../secret");
	link_to("through", "../outside");
	for (int k = 0; k < 2; k++) {
		assert_int_equal(opened_without_openat2(errs[k], "a.bit"), 0);
		assert_int_equal(opened_without_openat2(errs[k], "sub/b.bit"), 0);
		for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++)
			if (!opened_without_openat2(errs[k], outside[i]))
				fail_msg("'%s' is opened", outside[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(files_and_links_to_files_within_are_listed_and_nothing_else),
		CLAIM(what_could_not_be_looked_at_is_not_left_out_of_a_list),
		CLAIM(checksums_that_cannot_be_read_are_not_left_out_of_a_list),
		CLAIM(links_are_found_while_something_else_is_renamed),
		CLAIM(a_time_that_is_too_far_away_is_the_last_that_can_be_told),
		CLAIM(no_descriptors_are_no_folder_that_cannot_be_reached),
		CLAIM(a_file_that_is_written_to_while_it_is_read_is_stale),
		CLAIM(ids_that_lead_out_of_the_folder_have_no_bytes),
		CLAIM(without_openat2_nothing_outside_is_opened_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
