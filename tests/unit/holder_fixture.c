// SPDX-License-Identifier: Apache-2.0
/* The worker of the tests of holder, loop and session, and their side of it (holder_fixture.h). */
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/daemon/holder.h"
#include "fs/daemon/link.h"
#include "fs/daemon/loop.h"
#include "fs/daemon/session.h"
#include "fs/daemon/suspect.h"
#include "fs/tree/tree.h"
#include "tests/unit/holder_fixture.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>

/* --- the worker ----------------------------------------------------------------------- */

static const char *worker_dir; /* the state directory */

enum { ROOT = 1, HELLO, ACT, WAIT, NODES };
static const char *const names[NODES] = { [HELLO] = "hello", [ACT] = "act", [WAIT] = "wait" };

void path_in(char out[PATH_MAX], const char *dir, const char *name)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s/%s", dir, name);
	text_copy(out, PATH_MAX, b.data);
	buf_free(&b);
}

/* Begin to watch before looking: what comes between is not missed. */
static int folder_watch(const char *dir)
{
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0 || inotify_add_watch(fd, dir, IN_CREATE | IN_MODIFY) < 0)
		abort();
	return fd;
}

/* Until something changed in it. */
static void folder_wait(int fd)
{
	char events[4096];

	if (read(fd, events, sizeof(events)) < 0 && errno != EINTR)
		abort();
}

static bool exists(const char *dir, const char *name)
{
	char path[PATH_MAX];

	path_in(path, dir, name);
	return !access(path, F_OK);
}

void note(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];

	path_in(path, dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static void node_stat(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){ .st_ino = ino, .st_nlink = 1, .st_size = ino == HELLO ? 6 : 0,
			     .st_mode = ino == ROOT ? S_IFDIR | 0755 : S_IFREG | 0666 };
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	for (fuse_ino_t i = HELLO; i < NODES; i++)
		if (!strcmp(name, names[i])) {
			struct fuse_entry_param e = { .ino = i };

			node_stat(i, &e.attr);
			fuse_reply_entry(req, &e);
			return;
		}
	fuse_reply_err(req, ENOENT);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	node_stat(ino, &st);
	fuse_reply_attr(req, &st, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	if (ino == WAIT && !exists(worker_dir, "go")) {
		note(worker_dir, "parked", "x");
		return; /* never answered by this worker */
	}
	if (off >= 6)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, "hello\n" + off, size < (size_t)(6 - off) ? size : (size_t)(6 - off));
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	const struct request *r = request_current();
	uint64_t value;
	int err;

	(void)off;
	(void)fi;
	if (ino != ACT) {
		fuse_reply_err(req, EBADF);
		return;
	}
	if (r->resent && journal_find(r->unique, &err, &value)) {
		note(worker_dir, "repeated", "x");
		fuse_reply_write(req, value);
		return;
	}
	if (size == 5 && !memcmp(bytes, "crash", 5))
		abort();
	if (size == 6 && !memcmp(bytes, "before", 6) && !r->resent)
		raise(SIGKILL);
	note(worker_dir, "acts", "x");
	journal_done(r->unique, 0, size);
	if (size == 5 && !memcmp(bytes, "after", 5))
		raise(SIGKILL);
	fuse_reply_write(req, size);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_write = TREE_DATA_MAX; /* what the loop receives into */
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init, .lookup = op_lookup, .getattr = op_getattr, .open = op_open, .read = op_read, .write = op_write,
};

static const char *worker_arg(char **argv, const char *name)
{
	for (int i = 1; argv[i]; i++)
		if (!strcmp(argv[i], name))
			return argv[i + 1] ? argv[i + 1] : "";
	return NULL;
}

static int worker_fd(char **argv, const char *name)
{
	const char *text = worker_arg(argv, name);
	int fd = text ? (int)strtol(text, NULL, 10) : -1;

	/* As worker.c does: what it starts must not keep the mount. */
	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC))
		abort();
	return fd;
}

static int test_worker(char **argv)
{
	char name[] = "fabricfs", *fuse_argv[] = { name, NULL }, path[32];
	struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
	struct reason why = { 0 };
	int link = worker_fd(argv, "--link-fd"), event = eventfd(0, EFD_CLOEXEC);
	bool fresh = false, crashed = false, told = false;

	for (int i = 1; argv[i]; i++) {
		fresh |= !strcmp(argv[i], "--fresh");
		crashed |= !strcmp(argv[i], "--crashed");
	}
	worker_dir = worker_arg(argv, "--state-dir");
	note(worker_dir, fresh ? "starts-fresh" : "starts", "x");
	if (strstr(worker_dir, "refuses")) {
		if (send(link, "fno card wants to", 17, 0) < 0)
			abort();
		return 1;
	}
	if (strstr(worker_dir, "crashes") && !fresh && !exists(worker_dir, "well"))
		return 3;
	if (strstr(worker_dir, "forks") && fork() == 0) {
		/* An orphan of this worker, as a card process: ends when the test says so. */
		note(worker_dir, "orphan", "x");
		int watch = folder_watch(worker_dir);

		while (!exists(worker_dir, "go"))
			folder_wait(watch);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/dev/fd/%d", worker_fd(argv, "--fuse-fd"));
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof(ops), NULL);

	fuse_opt_free_args(&args);
	if (session_attach(worker_fd(argv, "--session-fd"), &why) || !se || fuse_session_mount(se, path))
		abort();
	suspect_attach(session_suspects(), crashed);
	if (loop_start(se, 2, event, &why))
		abort();
	for (;;) {
		struct pollfd fds[] = { { .fd = link, .events = POLLIN }, { .fd = event, .events = POLLIN } };
		uint64_t count;
		char word;

		if (!told && loop_is_serving()) {
			told = true;
			word = LINK_READY;
			if (send(link, &word, 1, 0) < 0)
				abort();
		}
		if (poll(fds, 2, -1) < 0 || loop_has_ended())
			break;
		if (fds[0].revents && (recv(link, &word, 1, 0) <= 0 || word == LINK_STOP))
			break;
		if (fds[1].revents && read(event, &count, sizeof(count)) < 0)
			break;
	}
	loop_stop();
	fuse_session_destroy(se);
	if (session_resent(FUSE_READ))
		note(worker_dir, "resent-reads", "x");
	return 0;
}

/* --- the test's side --------------------------------------------------------------------- */

/* The last one made: what a failed test leaves behind is cleared away. */
static struct held left;

void held_begin(struct held *h, const char *behaviour)
{
	memset(h, 0, sizeof(*h));
	text_copy(h->base, sizeof(h->base), "/tmp/fabricfs-holder-XXXXXX");
	assert_non_null(mkdtemp(h->base));
	path_in(h->dir, h->base, behaviour);
	path_in(h->mnt, h->base, "mnt");
	assert_int_equal(mkdir(h->dir, 0700), 0);
	assert_int_equal(mkdir(h->mnt, 0755), 0);
}

/* Start a holder and wait for its word; its first letter is returned. */
char held_start(struct held *h)
{
	static struct options o;
	int report[2];
	size_t len = 0;
	ssize_t n;

	o = (struct options){ .foreground = true, .sim = -1 };
	text_copy(o.source, sizeof(o.source), "fabricfs");
	text_copy(o.mountpoint, sizeof(o.mountpoint), h->mnt);
	text_copy(o.state_dir, sizeof(o.state_dir), h->dir);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	fflush(NULL);
	h->holder = fork();
	if (!h->holder) {
		struct holder_files files = {
			.exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC),
			.lock_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
			.config_fd = -1,
			.report_fd = report[1],
		};

		/* A test that is ended from outside leaves no mount. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		/* Its log would be taken for the test's own words. */
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(null, STDOUT_FILENO);
		if (!getenv("V"))
			dup2(null, STDERR_FILENO);
		_exit(holder_run(&o, &files));
	}
	close(report[1]);
	left = *h;
	memset(h->report, 0, sizeof(h->report));
	while (len < sizeof(h->report) - 1 &&
	       (n = read(report[0], h->report + len, sizeof(h->report) - 1 - len)) > 0)
		len += (size_t)n;
	close(report[0]);
	return h->report[0];
}

int exit_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool mounted(const struct held *h)
{
	struct statfs fs;
	int fd = open(h->mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool fuse = fd < 0 || (!fstatfs(fd, &fs) && fs.f_type == FUSE_SUPER);

	if (fd >= 0)
		close(fd);
	return fuse;
}

void held_end(struct held *h)
{
	char path[PATH_MAX];
	const char *const files[] = { "acts", "repeated", "parked", "go", "starts", "starts-fresh", "well",
				     "orphan", "resent-reads" };

	assert_false(mounted(h));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		path_in(path, h->dir, files[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(h->dir), 0);
	assert_int_equal(rmdir(h->mnt), 0);
	assert_int_equal(rmdir(h->base), 0);
	left.holder = 0;
}

void held_stop(struct held *h)
{
	assert_int_equal(kill(h->holder, SIGTERM), 0);
	assert_int_equal(exit_of(h->holder), 0);
}

long marks(const struct held *h, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	path_in(path, h->dir, name);
	return stat(path, &st) ? 0 : st.st_size;
}

/* The test's time-out ends it. */
void until_marks(const struct held *h, const char *name, long n)
{
	int watch = folder_watch(h->dir);

	while (marks(h, name) < n)
		folder_wait(watch);
	close(watch);
}

/* Children of the holder: their number, and the last one's pid. */
unsigned children(const struct held *h, pid_t *last)
{
	char path[64], text[512] = "";
	unsigned n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)h->holder, (int)h->holder);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0; /* the holder has ended */
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	for (char *p = text, *end;; p = end) {
		long pid = strtol(p, &end, 10);

		if (end == p)
			return n;
		n++;
		*last = (pid_t)pid;
	}
}

int say_hello(const struct held *h)
{
	char path[PATH_MAX], text[16] = "";

	path_in(path, h->mnt, "hello");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text));
	int err = n < 0 ? -errno : n == 6 && !memcmp(text, "hello\n", 6) ? 0 : -EBADMSG;

	return close(fd) && !err ? -errno : err;
}

int act(const struct held *h, const char *text)
{
	char path[PATH_MAX];

	path_in(path, h->mnt, "act");
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text, strlen(text));
	int err = n < 0 ? -errno : n == (ssize_t)strlen(text) ? 0 : -EBADMSG;

	close(fd);
	return err;
}

/* A hang is a failure, with a name. */
static void too_long(int sig)
{
	static const char text[] = "holder: a test took longer than 60 s\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

int each_begin(void **state)
{
	(void)state;
	alarm(60);
	return 0;
}

int each_end(void **state)
{
	(void)state;
	alarm(0);
	if (left.holder) {
		pid_t worker = 0;

		if (children(&left, &worker))
			kill(worker, SIGKILL);
		kill(left.holder, SIGKILL);
		waitpid(left.holder, NULL, 0);
		umount2(left.mnt, MNT_DETACH);
		left.holder = 0;
	}
	return 0;
}

int held_main(int argc, char **argv)
{
	if (argc && !strcmp(argv[0], "fabricfs-worker"))
		return test_worker(argv);
	if (geteuid() || access("/dev/fuse", R_OK | W_OK)) {
		printf("skipped: mounting needs root and /dev/fuse\n");
		return 77;
	}
	signal(SIGALRM, too_long);
	return -1;
}
