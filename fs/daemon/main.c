// SPDX-License-Identifier: Apache-2.0
/*
 * The program's beginning: which of its parts is wanted, and for a mount the
 * checks that are worth a sentence in the user's terminal before anything is
 * mounted.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/daemon/config.h"
#include "fs/daemon/holder.h"
#include "fs/daemon/inspect.h"
#include "fs/daemon/mount.h"
#include "fs/daemon/options.h"
#include "fs/daemon/worker.h"

#include <fabricfs/buf.h>
#include <fabricfs/helper.h>
#include <fabricfs/log.h>
#include <fabricfs/sim_card.h>
#include <fabricfs/store.h>

/* Processes that fabricfs starts from its own file, by argv[0]. */
static const struct part {
	const char *name;
	int (*main)(int argc, char **argv);
} internal_parts[] = {
	{ "fabricfs-worker", worker_main },
	{ "fabricfs-card", sim_card_main },
	{ "fabricfs-helper", helper_main },
}, commands[] = {
	{ "inspect", inspect_main },
	{ "check-config", check_config_main },
};

/* What the parent blocks or ignores for itself goes through fork and exec. */
static void signals_default(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/*
 * The configuration as it was checked, for all workers to come: one that was
 * edited into nonsense must not keep a successor from serving.
 */
static int config_keep(const char *path, int *out, struct reason *why)
{
	int from CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC);
	int to CLEANUP_FD = memfd_create("fabricfs.yaml", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char bytes[4096];
	ssize_t n;

	if (from < 0 || to < 0)
		return reason_set(why, errno, "%s: %s", path, strerror(errno));
	while ((n = read(from, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || write(to, bytes, (size_t)n) != n)
			return reason_set(why, errno, "%s: %s", path, strerror(errno));
	}
	fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	*out = STEAL_FD(to);
	return 0;
}

static int config_check(const struct options *o, struct reason *why)
{
	struct config *config = NULL;
	int err = config_load(*o->config ? o->config : NULL, &config, why);

	if (!err)
		err = config_finish(config, o->sim, why);
	config_free(config);
	return err;
}

/* A daemon whose mount was taken away writes down what is left to write; until then it has the
 * folder. As long as its own end may take, and a little. */
#define LOCK_WAIT_MS 40000

static int lock_take(const struct options *o, int *fd, struct reason *why)
{
	char where[PATH_MAX];
	int err = store_lock(o->state_dir, fd, why);

	if (err != -EBUSY || !store_lock_where(o->state_dir, where, sizeof(where)) || mount_is_there(where))
		return err;
	return store_lock_wait(o->state_dir, LOCK_WAIT_MS, fd, why);
}

static int prepare(const struct options *o, struct holder_files *files, struct reason *why)
{
	struct store *store = NULL;
	int err;

	*files = (struct holder_files){ .exe_fd = -1, .lock_fd = -1, .config_fd = -1, .report_fd = -1 };
	files->exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (files->exe_fd < 0)
		return reason_set(why, errno, "/proc/self/exe: %s", strerror(errno));
	if ((err = config_check(o, why)) ||
	    (*o->config && (err = config_keep(o->config, &files->config_fd, why))) ||
	    (err = lock_take(o, &files->lock_fd, why)) ||
	    (err = store_open(o->state_dir, true, &store, why)))
		return err;
	store_close(store);
	return 0;
}

/* Waits for the holder's word; returns the exit status. */
static int await_holder(int fd)
{
	char text[1 + REASON_MAX + 1];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			len += (size_t)n;
	}
	text[len] = '\0';
	if (text[0] == HOLDER_READY)
		return 0;
	fprintf(stderr, "fabricfs: %s\n", text[0] == HOLDER_FAILED ? text + 1
		: "the background process ended without a word; see the system log");
	return 1;
}

static int mount_main(const struct options *o)
{
	struct holder_files files;
	struct reason why = { 0 };
	int report[2];

	umask(077);
	log_init("fabricfs", false, o->debug);
	if (prepare(o, &files, &why)) {
		fprintf(stderr, "fabricfs: %s\n", why.text);
		return 1;
	}
	if (o->foreground)
		return holder_run(o, &files);
	if (pipe2(report, O_CLOEXEC)) {
		fprintf(stderr, "fabricfs: pipe: %s\n", strerror(errno));
		return 1;
	}
	pid_t pid = fork();

	if (pid < 0) {
		fprintf(stderr, "fabricfs: fork: %s\n", strerror(errno));
		return 1;
	}
	if (pid) {
		close(report[1]);
		return await_holder(report[0]);
	}
	close(report[0]);
	files.report_fd = report[1];
	setsid();
	if (chdir("/"))
		_exit(1);
	return holder_run(o, &files);
}

int main(int argc, char **argv)
{
	static struct options options; /* large: four paths */
	struct reason why = { 0 };
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;

	name = name ? name + 1 : argc > 0 ? argv[0] : "";
	for (size_t i = 0; i < sizeof(internal_parts) / sizeof(internal_parts[0]); i++)
		if (!strcmp(name, internal_parts[i].name)) {
			signals_default();
			return internal_parts[i].main(argc, argv);
		}
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc - 1, argv + 1);

	if (options_parse(argc, argv, &options, &why)) {
		fprintf(stderr, "fabricfs: %s\n%s", why.text,
			why.err == EINVAL ? "Try 'fabricfs --help'.\n" : "");
		return why.err == EINVAL ? 2 : 1;
	}
	if (options.help) {
		fputs(options_help(), stdout);
		return 0;
	}
	if (options.version) {
		puts("fabricfs " FABRICFS_VERSION);
		return 0;
	}
	return mount_main(&options);
}
