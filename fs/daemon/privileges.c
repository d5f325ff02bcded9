// SPDX-License-Identifier: Apache-2.0
/*
 * The worker's rights (privileges.h, DESIGN 7).
 *
 * The holder keeps those that fabricfs was started with: it mounts, unmounts and
 * starts the next worker. A worker reads what users and cards send, so it goes on
 * with what is named here: as root that is nearly nothing, and what it owns.
 *
 * Not kept, and what follows: CAP_SYS_ADMIN, so a worker whose holder was killed
 * cannot unmount (the next fabricfs, or umount(8), does); CAP_KILL, as card and
 * helper processes are of the same user; CAP_CHOWN, as owners in the tree are only
 * told to the kernel, which checks them.
 */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/daemon/privileges.h"

#include <fabricfs/rights.h>

/*
 * The audit trail tells containers apart by the namespaces of whoever writes, and
 * /proc/PID/ns of other users' processes is seen only with this one (fs/daemon/who.c;
 * kernel: PTRACE_MODE_READ_FSCREDS). Under hidepid all of /proc/PID is.
 */
#define RIGHTS_AUDIT RIGHT(CAP_SYS_PTRACE)

/* Receive buffers are locked, for a reason (loop.c), and may be more than RLIMIT_MEMLOCK. */
#define RIGHTS_BUFFERS RIGHT(CAP_IPC_LOCK)

/* To root in a state folder of somebody else's, and its files; and in one of its own below a
 * directory that is closed to others (/home/al, 0700). */
#define RIGHTS_FOREIGN_STATE (RIGHT(CAP_DAC_OVERRIDE) | RIGHT(CAP_FOWNER))

int privileges_drop(const struct config *config, const char *state_dir, struct reason *why)
{
	struct rights all = { .keep = RIGHTS_AUDIT | RIGHTS_BUFFERS };
	struct stat st;
	int err;

	if ((!stat(state_dir, &st) && st.st_uid != geteuid()) || !rights_suffice(all.keep, state_dir))
		all.keep |= RIGHTS_FOREIGN_STATE;
	for (size_t i = 0; i < config->cards_len; i++) {
		const struct config_card *card = &config->cards[i];
		const struct card_backend *backend = card_backend_find(card->backend);
		struct rights own = { 0 };

		if (!backend || !backend->rights)
			continue;
		backend->rights(&card->card, &own);
		all.keep |= own.keep;
		all.lend |= own.lend;
	}
	err = rights_drop(all.keep, all.lend, why);
	if (err)
		return err;
#if !defined(__SANITIZE_ADDRESS__)
	/* No core file and no debugger of the user's sees the images, and later secrets, that are in
	 * memory here. The leak checker of a test build is such a debugger. */
	if (prctl(PR_SET_DUMPABLE, 0))
		return reason_set(why, errno, "prctl: %s", strerror(errno));
#endif
	return 0;
}
