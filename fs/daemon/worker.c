// SPDX-License-Identifier: Apache-2.0
/*
 * The worker (worker.h): its start, its main thread, its end.
 *
 * Everything that is needed to answer is ready before the first thread
 * receives: the configuration, the store, the handles of the worker before.
 * Cards are opened in the background by their own actors. Between the death of
 * a worker and its successor's first answer clients only wait, so nothing slow
 * may stand before loop_start().
 *
 * At the end the loop stops first, because views of cards are gone after
 * cards_stop(); running programming still answers its caller, which needs the
 * session and no loop.
 */
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/card/cards.h"
#include "fs/daemon/config.h"
#include "fs/daemon/link.h"
#include "fs/daemon/loop.h"
#include "fs/daemon/mount.h"
#include "fs/daemon/passthrough.h"
#include "fs/daemon/privileges.h"
#include "fs/daemon/sanitize.h"
#include "fs/daemon/session.h"
#include "fs/daemon/session_fd.h"
#include "fs/daemon/suspect.h"
#include "fs/daemon/worker.h"
#include "fs/remote/content.h"
#include "fs/remote/mirror.h"
#include "fs/tree/tree.h"

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

struct worker {
	int fuse_fd, session_fd, link_fd, lock_fd, config_fd;
	const char *state_dir, *mountpoint;
	int sim, threads;
	bool debug, to_syslog, fresh, crashed;

	struct mount mount;
	struct config *config;
	struct store *store;
	struct fuse_session *se;
	int signal_fd, event_fd;
	bool cards, tree; /* started */
	bool ready_told, stopping;
};

/* --- the command line that the holder gives ------------------------------------------- */

static int worker_options(struct worker *w, int argc, char **argv)
{
	enum { FUSE = 1, SESSION, LINK, LOCK, CONFIG, STATE, MOUNTPOINT, SIM, THREADS, DEBUG, SYSLOG, FRESH, CRASHED };
	static const struct option longs[] = {
		{ "fuse-fd", required_argument, NULL, FUSE },
		{ "session-fd", required_argument, NULL, SESSION },
		{ "link-fd", required_argument, NULL, LINK },
		{ "lock-fd", required_argument, NULL, LOCK },
		{ "config-fd", required_argument, NULL, CONFIG },
		{ "state-dir", required_argument, NULL, STATE },
		{ "mountpoint", required_argument, NULL, MOUNTPOINT },
		{ "sim", required_argument, NULL, SIM },
		{ "threads", required_argument, NULL, THREADS },
		{ "debug", no_argument, NULL, DEBUG },
		{ "syslog", no_argument, NULL, SYSLOG },
		{ "fresh", no_argument, NULL, FRESH },
		{ "crashed", no_argument, NULL, CRASHED },
		{ 0 },
	};
	int c;

	*w = (struct worker){ .fuse_fd = -1, .session_fd = -1, .link_fd = -1, .lock_fd = -1,
			      .config_fd = -1, .sim = -1, .signal_fd = -1, .event_fd = -1 };
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		int n = optarg ? (int)strtol(optarg, NULL, 10) : 0;

		switch (c) {
		case FUSE: w->fuse_fd = n; break;
		case SESSION: w->session_fd = n; break;
		case LINK: w->link_fd = n; break;
		case LOCK: w->lock_fd = n; break;
		case CONFIG: w->config_fd = n; break;
		case STATE: w->state_dir = optarg; break;
		case MOUNTPOINT: w->mountpoint = optarg; break;
		case SIM: w->sim = n; break;
		case THREADS: w->threads = n; break;
		case DEBUG: w->debug = true; break;
		case SYSLOG: w->to_syslog = true; break;
		case FRESH: w->fresh = true; break;
		case CRASHED: w->crashed = true; break;
		default: return -EINVAL;
		}
	}
	if (w->fuse_fd < 0 || w->session_fd < 0 || w->link_fd < 0 || w->lock_fd < 0 || !w->state_dir ||
	    !w->mountpoint)
		return -EINVAL;
	/* Card processes and helpers must not keep the mount or the state folder alive. */
	const int fds[] = { w->fuse_fd, w->session_fd, w->link_fd, w->lock_fd, w->config_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0 && fcntl(fds[i], F_SETFD, FD_CLOEXEC))
			return -errno;
	return 0;
}

/* --- start --------------------------------------------------------------------------------- */

static void fuse_log_line(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_msg(level <= FUSE_LOG_ERR ? LOG_LEVEL_ERROR : level <= FUSE_LOG_WARNING ? LOG_LEVEL_WARN
		: level <= FUSE_LOG_INFO ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "%s", text);
}

static int signals_start(struct worker *w, struct reason *why)
{
	sigset_t set;

	/* SIGINT of a terminal reaches holder and worker alike; the holder decides. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->signal_fd < 0 || w->event_fd < 0)
		return reason_set(why, errno, "signalfd and eventfd: %s", strerror(errno));
	return 0;
}

/* A card needs several descriptors; the usual soft limit of 1,024 is for select(). */
static void limits_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &limit);
}

#define WORKER_ARENAS 2 /* small pieces come from each thread's own store anyway (glibc's tcache) */

/* Who mounts sees the cards as they are, unless one takes longer than this. */
#define SETTLE_MS 2000
/* A sick card may not hold up the others longer than this when a worker takes over. */
#define TAKE_OVER_MS 250

static unsigned threads_wanted(const struct worker *w)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (w->threads > 0)
		return (unsigned)w->threads;
	return cores < 2 ? 2 : cores > 4 ? 4 : (unsigned)cores;
}

static int session_start(struct worker *w, struct reason *why)
{
	char name[] = "fabricfs", *argv[] = { name, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int err;

	fuse_set_log_func(fuse_log_line);
	w->se = fuse_session_new(&args, &tree_ops, sizeof(tree_ops), NULL);
	fuse_opt_free_args(&args);
	if (!w->se)
		return reason_set(why, ENOMEM, "libfuse made no session");
	/* Adopts the descriptor, mounts nothing and will unmount nothing. Without root nobody could give
	 * the kernel files of ours to read. */
	err = passthrough_attach(w->se, w->fuse_fd, !w->mount.by_helper);
	if (err)
		return reason_set(why, -err, "libfuse did not take over the connection (descriptor %d): %s",
				  w->fuse_fd, strerror(-err));
	session_set_fd(w->fuse_fd);
	passthrough_link(w->link_fd);
	return 0;
}

static int worker_start(struct worker *w, struct reason *why)
{
	char config[32] = "";
	int err;

	limits_raise();
	mount_adopt(&w->mount, w->mountpoint);
	if (w->config_fd >= 0)
		snprintf(config, sizeof(config), "/proc/self/fd/%d", w->config_fd);
	if ((err = signals_start(w, why)) ||
	    (err = config_load(*config ? config : NULL, &w->config, why)) ||
	    (err = config_finish(w->config, w->sim, why)) ||
	    (err = mirror_open(w->config, why)) ||
	    (err = privileges_drop(w->config, w->state_dir, why)) ||
	    (err = store_open(w->state_dir, w->fresh, &w->store, why)) ||
	    (err = session_attach(w->session_fd, why)) ||
	    (err = session_start(w, why)) ||
	    (err = tree_start(w->config, w->store, why)))
		return err;
	/* Who takes over finds all as it was noted. A full disk is no reason not to start. */
	if (w->fresh && mirror_absent(w->store, why))
		log_warn("repositories that are not configured any more: %s", why->text);
	if (mirror_count() &&
	    (err = contents_start(w->store, (uint64_t)w->config->cache_quota, w->fresh, why)))
		return err;
	if ((err = mirror_start(w->store, w->fresh, why)))
		return err;
	suspect_attach(session_suspects(), w->crashed);
	w->tree = true;
	if ((err = cards_start(w->config, w->store, w->fresh, why)))
		return err;
	w->cards = true;
	/* Whoever mounts sees the cards as they are, with what they had; whoever has io/ open must
	 * not find it gone because the card was not asked yet. Requests wait in the kernel. */
	cards_settle(w->fresh ? SETTLE_MS : TAKE_OVER_MS);
	if ((err = loop_start(w->se, threads_wanted(w), w->event_fd, why)))
		return err;
	return 0;
}

/* --- main thread ------------------------------------------------------------------------------ */

static void link_read(struct worker *w)
{
	struct link_backing message = { 0 };
	ssize_t n = recv(w->link_fd, &message, sizeof(message), MSG_DONTWAIT);

	if (n == 1 && message.word == LINK_STOP)
		w->stopping = true;
	if (n > 1)
		passthrough_told(&message, (size_t)n);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	log_warn("the holder is gone: %s is served on, but nobody will start another worker",
		 w->mountpoint);
	passthrough_link(-1);
	close(w->link_fd);
	w->link_fd = -1;
}

static void signals_read(struct worker *w)
{
	struct signalfd_siginfo info;

	while (read(w->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		/* Without a holder a terminal's ^C is for us. */
		if (info.ssi_signo != SIGINT || w->link_fd < 0)
			w->stopping = true;
	}
}

static void ready_tell(struct worker *w)
{
	char word = LINK_READY;

	if (w->ready_told || !loop_is_serving())
		return;
	w->ready_told = true;
	if (send(w->link_fd, &word, 1, MSG_NOSIGNAL) < 0)
		log_debug("the holder does not listen: %s", strerror(errno));
	/* What starting took and does not need any more. */
	malloc_trim(0);
}

static void worker_serve(struct worker *w)
{
	int timeout_ms = cards_tick();

	while (!w->stopping && !loop_has_ended()) {
		struct pollfd fds[] = {
			{ .fd = w->signal_fd, .events = POLLIN },
			{ .fd = w->event_fd, .events = POLLIN },
			{ .fd = w->link_fd, .events = POLLIN },
			{ .fd = cards_timer_fd(), .events = POLLIN },
		};
		uint64_t count;

		ready_tell(w);

		int n = poll(fds, sizeof(fds) / sizeof(fds[0]), timeout_ms);

		if (n < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			break;
		}
		if (n > 0 && fds[0].revents)
			signals_read(w);
		if (n > 0 && fds[1].revents && read(w->event_fd, &count, sizeof(count)) < 0)
			log_debug("eventfd: %s", strerror(errno));
		if (n > 0 && fds[2].revents)
			link_read(w);
		if (n == 0 || (n > 0 && fds[3].revents) || timeout_ms >= 0)
			timeout_ms = cards_tick();
	}
	/* Unmounted right after the first answer: that was no failed start. */
	ready_tell(w);
}

static void worker_end(struct worker *w)
{
	bool ended;

	/* Whatever hangs: everything that matters is committed as it happens. */
	alarm(LINK_STOP_S + 5);
	loop_stop();
	/* Whoever waits for a repository is answered, as long as there is a connection for it. */
	contents_stop();
	ended = mirror_stop();
	/* Before the cards: its notifier looks at them. */
	if (w->tree)
		tree_stop();
	if (w->cards)
		cards_stop(true);
	session_set_fd(-1);
	/* Nobody else is left to take the mount away. */
	if (w->link_fd < 0 && !loop_has_ended() && mount_end(&w->mount)) {
		/* That was the holder's to do: a worker has no right to it (privileges.c). */
		log_warn("%s stays mounted: umount it, or start fabricfs there again", w->mountpoint);
		mount_abort(&w->mount);
	}
	if (w->se)
		fuse_session_destroy(w->se);
	store_close(w->store);
	/* A thread that hangs in a repository's folder has nothing to come back to. */
	if (!ended)
		_exit(0);
	config_free(w->config);
}

int worker_main(int argc, char **argv)
{
	struct worker w;
	struct reason why = { 0 };

	prctl(PR_SET_NAME, "fabricfs-worker");
	/* A thread a card, nearly all of which rest: with eight arenas a processor, as glibc has it, what
	 * each of them left unused would be more than what is used. */
	mallopt(M_ARENA_MAX, WORKER_ARENAS);
	if (worker_options(&w, argc, argv)) {
		fprintf(stderr, "fabricfs-worker: this is started by fabricfs itself\n");
		return 2;
	}
	sanitize_connection(w.fuse_fd);
	log_init("fabricfs", w.to_syslog, w.debug);
	if (worker_start(&w, &why)) {
		char text[1 + REASON_MAX] = { LINK_FAILED };
		size_t n = strlen(why.text);

		memcpy(text + 1, why.text, n);
		log_error("%s", why.text);
		if (send(w.link_fd, text, 1 + n, MSG_NOSIGNAL) < 0)
			log_debug("the holder does not listen: %s", strerror(errno));
		/* Nothing was begun that had to be finished; threads may be anywhere. */
		_exit(1);
	}
	worker_serve(&w);
	worker_end(&w);
	return 0;
}
