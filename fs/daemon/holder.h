// SPDX-License-Identifier: Apache-2.0
/*
 * The holder: the process that owns the mount and starts workers (DESIGN 6).
 *
 * It has no threads, reads no request and allocates nothing after its start, so
 * that whatever happens to a worker does not happen to it.
 */
#ifndef FS_DAEMON_HOLDER_H
#define FS_DAEMON_HOLDER_H

#include "fs/daemon/options.h"

/* What main has opened already; all close-on-exec, the holder's from then on. */
struct holder_files {
	int exe_fd;    /* this program, O_PATH: workers are started from it even if the file is replaced */
	int lock_fd;   /* of the state folder */
	int config_fd; /* the configuration's bytes, sealed; -1: defaults */
	int report_fd; /* pipe to the process that the user started; -1: in the foreground */
};

/* First byte of what goes through report_fd; HOLDER_FAILED is followed by the sentence. */
enum holder_report { HOLDER_READY = 'r', HOLDER_FAILED = 'f' };

/* Mount and hold until the end. Returns the exit status. */
int holder_run(const struct options *options, const struct holder_files *files);

#endif
