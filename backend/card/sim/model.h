// SPDX-License-Identifier: Apache-2.0
/*
 * Power and temperature of a simulated card: a model, not a measurement.
 *
 * Power is a static part and an energy for each change of an output in the
 * fabric and each block RAM access; temperature follows it with one time
 * constant. The coefficients:
 *	static    1.2 V x the part's typical static core current (table in model.c)
 * and orders of magnitude, the same for all parts:
 *	toggle    3 pJ, RAM access 10 pJ (order of pJ for 40 nm with its wiring)
 *	thermal   40 K/W to 25 degrees C around, time constant 15 s
 *
 * Above MODEL_TRIP_DEGC the card stops its clock by a circuit of its own, which no
 * sensor and no host has a part in: what is loaded stays, nothing moves until it is
 * cooler and reset. iCE40 data sheets allow a junction of 100 degrees (industrial
 * grade) and no more than 125.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MODEL_TRIP_DEGC 110
#define MODEL_COOL_DEGC 100 /* and so far it has to cool down */

/* Of one card; its slots have it in common, each on a thread of its own. */
struct thermal {
	_Atomic unsigned trips; /* how often it got too hot */
	_Atomic bool over;      /* and it has not cooled down since */
};

struct model {
	int64_t last_ns; /* monotonic; 0 = not begun */
	uint64_t last_toggles, last_ram;
	double power_w, temp_degc;
	double extra_degc; /* the surroundings are so much warmer than a room */
};

/* The surroundings have this temperature from now on, 0 = that of a room; what is in them follows
 * at once. */
void model_surround(struct model *m, double degc);
/* The state of such a part at `now`, given what was counted so far. */
void model_step(struct model *m, const char *part, int64_t now_ns, uint64_t toggles,
		uint64_t ram_accesses);
/* The same of what draws power_w, whoever has counted that. */
void model_heat(struct model *m, int64_t now_ns, double power_w);

/* The card's temperature is this now. */
void thermal_note(struct thermal *t, double temp_degc);

#endif
