// SPDX-License-Identifier: Apache-2.0
/* The command line of a mount (DESIGN section 5), also as mount(8) and fstab give it. */
#ifndef FS_DAEMON_OPTIONS_H
#define FS_DAEMON_OPTIONS_H

#include <limits.h>
#include <stdbool.h>

#include <fabricfs/error.h>

struct options {
	char source[PATH_MAX];     /* shown as the mount's source; "fabricfs" when none was given */
	char mountpoint[PATH_MAX]; /* absolute, without links */
	char config[PATH_MAX];     /* absolute; "" = none: defaults only */
	char state_dir[PATH_MAX];  /* absolute */
	int sim;                   /* -1 = not said */
	int threads;               /* of the worker's loop, 0 = by the number of cores */
	bool foreground, debug;
	bool allow_other;          /* asked for; as root it is always so */
	unsigned long mount_flags; /* MS_* */
	bool help, version;        /* asked for: nothing else is filled in */
};

/*
 * Parse argv[1..]; relative paths are taken from the working directory, files
 * are looked for as DESIGN says. 0, or -EINVAL and the sentence for a wrong
 * command line, or another -errno where a path cannot be made absolute. Main
 * thread, before others.
 */
int options_parse(int argc, char **argv, struct options *options, struct reason *why);
/* What --help prints. */
const char *options_help(void);

#endif
