// SPDX-License-Identifier: Apache-2.0
/* The subcommand `fabricfs inspect`. */
#ifndef FABRICFS_FS_DAEMON_INSPECT_H
#define FABRICFS_FS_DAEMON_INSPECT_H

/*
 * argv[0] is the word before the options ("inspect"), argv[argc] is NULL.
 * Returns the exit status: 0 every file is sound (and fits), 1 not, 2 usage.
 */
int inspect_main(int argc, char **argv);

#endif
