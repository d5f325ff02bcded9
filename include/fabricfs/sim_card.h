// SPDX-License-Identifier: Apache-2.0
/*
 * The entry of a simulated card's process. main() hands over to it when the
 * program was started under the name "fabricfs-card".
 */
#ifndef FABRICFS_SIM_CARD_H
#define FABRICFS_SIM_CARD_H

/* argv[0] of the process, and its name in ps. */
#define SIM_CARD_NAME "fabricfs-card"

/*
 * Serve one simulated card until it is told to quit or nobody wanted it for a
 * minute. Called before any thread exists. argv: the name, the name of the
 * listening socket, and of a card with slots their number; descriptor 3 is that
 * socket, 4 the folder it is in, those from 5 on listen for the slots (all given
 * by the backend that started it). Returns the exit status.
 */
int sim_card_main(int argc, char **argv);

#endif
