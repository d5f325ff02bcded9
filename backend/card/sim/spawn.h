// SPDX-License-Identifier: Apache-2.0
/* Finding the process of a simulated card by its socket, or starting it. */
#ifndef SIM_SPAWN_H
#define SIM_SPAWN_H

#include <fabricfs/card.h>
#include <sys/types.h>

/*
 * Connect to the process of card host->dev, or to its slot host->slot if that is
 * not -1; if nobody answers, start one first, of a card with so many slots.
 * *sock is a connected SOCK_SEQPACKET socket; *child is the pid if it was
 * started now, else unchanged. Two workers that do this at once get the same
 * process. -errno with the sentence.
 */
int spawn_connect(const struct card_host *host, unsigned slots, int *sock, pid_t *child, struct reason *why);

/* Wait up to ms for a process to end; reaps it if it is our child. *how (may be
 * NULL): how it ended, "" = not known. True when it is gone. */
bool spawn_wait(pid_t pid, int ms, char *how, size_t size);

#endif
