// SPDX-License-Identifier: Apache-2.0
/* The backend `sim`, for the table of backends and for its tests. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <fabricfs/card.h>

extern const struct card_backend sim_backend;

/* The process of an open card. */
int64_t sim_pid(void *card);

#endif
