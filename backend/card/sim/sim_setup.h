// SPDX-License-Identifier: Apache-2.0
/* What the configuration says of a simulated card, taken apart and checked. Pure; any thread. */
#ifndef SIM_SETUP_H
#define SIM_SETUP_H

#include "board_table.h"
#include "client.h"
#include "faults.h"
#include "logic.h"

/* What the words part and board mean together. */
struct sim_choice {
	const char *part, *board;
	const struct board_row *row; /* NULL: the board "stream" */
	unsigned endpoints;
	bool is_logic;               /* a device without its fabric, and so without a board: */
	struct logic_facts logic;
};

/* Fills in both (not setup->host). 0, or -EINVAL with the key and what is wrong with it. */
int sim_parse(const struct card_config *config, struct client_setup *setup, struct sim_choice *c,
	      struct reason *why);
/* The faults that are configured, over those that f has. 0 or -EINVAL. */
int sim_parse_faults(const struct card_config *config, struct faults *f, struct reason *why);
/* Is this fault one of a card (slot -1), or of a slot? 0 or -EINVAL. */
int sim_fault_fits(const struct card_config *config, int slot, const char *name, struct reason *why);

#endif
