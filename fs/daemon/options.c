// SPDX-License-Identifier: Apache-2.0
/* The command line (options.h): getopt_long, and the -o lists of mount(8) and fstab. */
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/daemon/config_value.h"
#include "fs/daemon/options.h"

#include <fabricfs/buf.h>

#define CONFIG_DEFAULT "/etc/fabricfs/fabricfs.yaml"
#define STATE_DEFAULT "/var/lib/fabricfs"
#define SIM_MAX 10000
#define THREADS_MAX 64

const char *options_help(void)
{
	return "usage: fabricfs [options] [SOURCE] MOUNTPOINT\n"
	       "       fabricfs inspect [--json] [--for devN|PART] [--mount DIR] FILE...\n"
	       "       fabricfs check-config [FILE]\n"
	       "\n"
	       "Mounts the FPGA cards of this machine as a tree of files.\n"
	       "\n"
	       "  -c, --config FILE       configuration; default " CONFIG_DEFAULT " if it exists\n"
	       "  -s, --state-dir DIR     catalogue, history and images; default " STATE_DEFAULT ",\n"
	       "                          or $XDG_STATE_HOME/fabricfs when not root\n"
	       "      --sim N             N simulated cards (HX1K), beside what is found and configured\n"
	       "                          (default: one when there is no other)\n"
	       "  -f, --foreground        stay in the foreground, log to stderr\n"
	       "  -d, --debug             log more; stays in the foreground\n"
	       "  -o OPT[,OPT...]         mount options, also config=FILE, state-dir=DIR, sim=N, threads=N\n"
	       "  -h, --help              this text\n"
	       "  -V, --version           the version\n";
}

/* Options of mount(2) that say how the tree is mounted. */
static const struct flag {
	const char *name;
	unsigned long set, clear;
} flags[] = {
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "noexec", MS_NOEXEC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "noatime", MS_NOATIME, 0 },
	{ "atime", 0, MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "diratime", 0, MS_NODIRATIME },
	{ "relatime", MS_RELATIME, 0 },
	{ "norelatime", 0, MS_RELATIME },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "nostrictatime", 0, MS_STRICTATIME },
	{ "lazytime", MS_LAZYTIME, 0 },
	{ "nolazytime", 0, MS_LAZYTIME },
	{ "sync", MS_SYNCHRONOUS, 0 },
	{ "async", 0, MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "silent", MS_SILENT, 0 },
	{ "loud", 0, MS_SILENT },
	/* The tree has neither devices nor set-uid files, and is mounted without
	 * either whatever was said; mount(8) says "dev,suid" by itself. */
	{ "nosuid", 0, 0 },
	{ "suid", 0, 0 },
	{ "nodev", 0, 0 },
	{ "dev", 0, 0 },
};

/* What concerns mount(8), fstab and boot, and not us. */
static const char *const ignored[] = {
	"auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "defaults",
	"default_permissions", "intr", "nointr", "iversion", "noiversion",
};

static int option_number(const char *name, const char *text, long max, int *out, struct reason *why)
{
	char *end;

	errno = 0;
	long n = strtol(text, &end, 10);

	if (errno || end == text || *end || *text < '0' || *text > '9' || n > max)
		return reason_set(why, EINVAL, "%s: '%s' is not a number from 0 to %ld", name, text, max);
	*out = (int)n;
	return 0;
}

static int option_path(const char *name, const char *text, char out[PATH_MAX], struct reason *why)
{
	if (!*text)
		return reason_set(why, EINVAL, "%s wants a path", name);
	if (!text_copy(out, PATH_MAX, text))
		return reason_set(why, EINVAL, "%s: the path is longer than %d bytes", name, PATH_MAX - 1);
	return 0;
}

static int mount_option(struct options *o, char *word, struct reason *why)
{
	char *value = strchr(word, '=');

	if (!*word)
		return 0;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(word, flags[i].name)) {
			o->mount_flags = (o->mount_flags | flags[i].set) & ~flags[i].clear;
			return 0;
		}
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (!strcmp(word, ignored[i]))
			return 0;
	if (!strncmp(word, "x-", 2) || !strncmp(word, "X-", 2) || !strncmp(word, "comment=", 8))
		return 0;
	if (!strcmp(word, "allow_other")) {
		o->allow_other = true;
		return 0;
	}
	if (!strcmp(word, "debug")) {
		o->debug = o->foreground = true;
		return 0;
	}
	if (!strcmp(word, "remount"))
		return reason_set(why, EINVAL, "-o remount: fabricfs cannot change a mount,"
				  " unmount it and mount it again");
	if (value) {
		*value++ = '\0';
		if (!strcmp(word, "config"))
			return option_path("-o config=", value, o->config, why);
		if (!strcmp(word, "state-dir"))
			return option_path("-o state-dir=", value, o->state_dir, why);
		if (!strcmp(word, "sim"))
			return option_number("-o sim=", value, SIM_MAX, &o->sim, why);
		if (!strcmp(word, "threads"))
			return option_number("-o threads=", value, THREADS_MAX, &o->threads, why);
		if (!strcmp(word, "fsname"))
			return option_path("-o fsname=", value, o->source, why);
		/* mount(8) passes the type in pieces when it was given as fuse.fabricfs. */
		if (!strcmp(word, "subtype") && !strcmp(value, "fabricfs"))
			return 0;
	}
	return reason_set(why, EINVAL, "-o %s: fabricfs has no such mount option; its own are config=,"
			  " state-dir=, sim=, threads=, allow_other and debug", word);
}

static int mount_options(struct options *o, const char *list, struct reason *why)
{
	char *text CLEANUP_FREE = strdup(list);
	char *rest = text, *word;

	if (!text)
		return reason_set(why, ENOMEM, "out of memory");
	while ((word = strsep(&rest, ","))) {
		int err = mount_option(o, word, why);

		if (err)
			return err;
	}
	return 0;
}

/* Without touching the file system: "." and ".." stay, links too. */
static int path_absolute(char path[PATH_MAX], struct reason *why)
{
	char cwd[PATH_MAX];
	struct buf b CLEANUP_BUF = BUF_INIT;

	if (*path == '/')
		return 0;
	if (!getcwd(cwd, sizeof(cwd)))
		return reason_set(why, errno, "%s: the working directory is not known: %s", path,
				  strerror(errno));
	buf_addf(&b, "%s/%s", strcmp(cwd, "/") ? cwd : "", path);
	if (buf_ok(&b))
		return reason_set(why, ENOMEM, "out of memory");
	if (!text_copy(path, PATH_MAX, b.data))
		return reason_set(why, ENAMETOOLONG, "%s: the absolute path is longer than %d bytes", path,
				  PATH_MAX - 1);
	return 0;
}

/*
 * Only what is above the mount point is resolved: a stale mount there answers
 * ENOTCONN to everything, and mount.c is going to take it away.
 */
static int mountpoint_absolute(char path[PATH_MAX], struct reason *why)
{
	char parent[PATH_MAX], real[PATH_MAX];

	if (realpath(path, real)) {
		text_copy(path, PATH_MAX, real);
		return 0;
	}
	if (errno == ENOENT)
		return reason_set(why, ENOENT, "mount point %s: there is no such directory; make it first "
				  "(mkdir)", path);
	if (errno != ENOTCONN)
		return reason_set(why, errno, "mount point %s: %s", path, strerror(errno));

	int err = path_absolute(path, why);

	if (err)
		return err;
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	char *name = strrchr(path, '/');

	snprintf(parent, sizeof(parent), "%.*s", (int)(name == path ? 1 : name - path), path);
	if (!realpath(parent, real))
		return reason_set(why, errno, "mount point %s: %s", path, strerror(errno));

	struct buf b CLEANUP_BUF = BUF_INIT;

	buf_addf(&b, "%s%s", strcmp(real, "/") ? real : "", name);
	if (buf_ok(&b) || !text_copy(path, PATH_MAX, b.data))
		return reason_set(why, ENAMETOOLONG, "mount point %s: its path is too long", path);
	return 0;
}

static int state_default(char out[PATH_MAX], struct reason *why)
{
	const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct buf b CLEANUP_BUF = BUF_INIT;

	if (geteuid() == 0)
		buf_adds(&b, STATE_DEFAULT);
	else if (base && *base == '/') /* relative ones are invalid, XDG base directory specification */
		buf_addf(&b, "%s/fabricfs", base);
	else if (home && *home == '/')
		buf_addf(&b, "%s/.local/state/fabricfs", home);
	else
		return reason_set(why, EINVAL, "neither XDG_STATE_HOME nor HOME says where the state"
				  " belongs: give --state-dir");
	if (buf_ok(&b) || !text_copy(out, PATH_MAX, b.data))
		return reason_set(why, ENAMETOOLONG, "the path of the state directory is too long:"
				  " give --state-dir");
	return 0;
}

/* --- commands that were not understood as such -------------------------------------------- */

static const char *const commands[] = { "inspect", "check-config", NULL };

/* 0: it looks like none of them. */
static int command_meant(const char *word, struct reason *why)
{
	const char *near = strchr(word, '/') ? NULL : conf_nearest(word, commands);

	if (!strcmp(word, "help") || !strcmp(word, "version"))
		return reason_set(why, EINVAL, "there is no command %s; --%s is an option", word, word);
	if (near && !strcmp(near, word))
		return reason_set(why, EINVAL, "%s has to be the first word: fabricfs %s ...", word, word);
	if (near)
		return reason_set(why, EINVAL, "there is no command '%s', the nearest is '%s'; nor is the last "
				  "word a directory to mount on", word, near);
	return 0;
}

/* Whoever names no directory to mount on may have meant something else. */
static bool is_mountpoint(const char *path)
{
	struct stat st;

	return stat(path, &st) ? errno != ENOENT && errno != ENOTDIR : S_ISDIR(st.st_mode);
}

int options_parse(int argc, char **argv, struct options *o, struct reason *why)
{
	enum { OPT_SIM = 256 };
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "state-dir", required_argument, NULL, 's' },
		{ "sim", required_argument, NULL, OPT_SIM },
		{ "foreground", no_argument, NULL, 'f' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c, err = 0;

	*o = (struct options){ .sim = -1 };
	optind = 0; /* glibc: start anew, also in tests */
	opterr = 0;
	while (!err && (c = getopt_long(argc, argv, ":c:s:fdo:hV", longs, NULL)) >= 0) {
		switch (c) {
		case 'c':
			err = option_path("--config", optarg, o->config, why);
			break;
		case 's':
			err = option_path("--state-dir", optarg, o->state_dir, why);
			break;
		case OPT_SIM:
			err = option_number("--sim", optarg, SIM_MAX, &o->sim, why);
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'd':
			o->debug = o->foreground = true;
			break;
		case 'o':
			err = mount_options(o, optarg, why);
			break;
		case 'h':
			o->help = true;
			return 0;
		case 'V':
			o->version = true;
			return 0;
		case ':':
			return reason_set(why, EINVAL, "%s wants a value", argv[optind - 1]);
		default:
			if (optopt && optopt < 256)
				return reason_set(why, EINVAL, "there is no option -%c", optopt);
			/* An option of inspect in front of it. */
			for (int i = optind; i < argc; i++)
				if (!strcmp(argv[i], commands[0]) && command_meant(argv[i], why))
					return -EINVAL;
			return reason_set(why, EINVAL, "there is no option %s, or it takes no value",
					  argv[optind - 1]);
		}
	}
	if (err)
		return err;

	int words = argc - optind;

	if (words < 1)
		return reason_set(why, EINVAL, "a mount point is wanted");
	if ((words > 2 || !is_mountpoint(argv[argc - 1])) && (err = command_meant(argv[optind], why)))
		return err;
	if (words > 2)
		return reason_set(why, EINVAL, "[SOURCE] MOUNTPOINT are wanted, found %d words", words);
	if (words == 2 && !*o->source &&
	    (err = option_path("SOURCE", argv[optind], o->source, why)))
		return err;
	/* mount(8) needs a word in fstab's first column; "none" says nothing. */
	if (!*o->source || !strcmp(o->source, "none"))
		text_copy(o->source, sizeof(o->source), "fabricfs");
	if ((err = option_path("MOUNTPOINT", argv[argc - 1], o->mountpoint, why)) ||
	    (err = mountpoint_absolute(o->mountpoint, why)))
		return err;
	if (!*o->config && !access(CONFIG_DEFAULT, F_OK))
		text_copy(o->config, sizeof(o->config), CONFIG_DEFAULT);
	if (*o->config && (err = path_absolute(o->config, why)))
		return err;
	if (!*o->state_dir && (err = state_default(o->state_dir, why)))
		return err;
	return path_absolute(o->state_dir, why);
}
