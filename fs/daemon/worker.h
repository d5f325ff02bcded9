// SPDX-License-Identifier: Apache-2.0
/* The worker: the process that serves the mount. Started by the holder only. */
#ifndef FS_DAEMON_WORKER_H
#define FS_DAEMON_WORKER_H

/*
 * Options, all by name, all required unless said otherwise:
 *   --fuse-fd N --session-fd N --link-fd N --lock-fd N   inherited descriptors
 *   --config-fd N     the configuration as the holder read it; absent: defaults
 *   --state-dir DIR --mountpoint DIR --sim N
 *   --threads N       0: by the number of cores
 *   --debug --syslog  absent: not so
 *   --crashed         the worker before crashed by itself (suspect.h)
 *   --fresh           the holder is starting; absent: another worker served before
 *
 * Exit 0: unmounted, or told to stop, and everything is finished. Anything else:
 * the holder starts the next one.
 */
int worker_main(int argc, char **argv);

#endif
