// SPDX-License-Identifier: Apache-2.0
/*
 * Power and temperature of a simulated card: a model, not a measurement.
 *
 * Power is a static part and an energy for each change of an output in the
 * fabric and each block RAM access; temperature follows it with one time
 * constant. The coefficients are orders of magnitude for an HX1K:
 *	static    1.2 V x 1.14 mA (iCE40 LP/HX data sheet, static supply current)
 *	toggle    3 pJ, RAM access 10 pJ (order of pJ for 40 nm with its wiring)
 *	thermal   40 K/W to 25 degrees C around, time constant 15 s
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdint.h>

struct model {
	int64_t last_ns; /* monotonic; 0 = not begun */
	uint64_t last_toggles, last_ram;
	double power_w, temp_degc;
	double extra_degc; /* the surroundings are so much warmer than a room */
};

/* The surroundings have this temperature from now on, 0 = that of a room; what is in them follows
 * at once. */
void model_surround(struct model *m, double degc);
/* The state at `now`, given what was counted so far. */
void model_step(struct model *m, int64_t now_ns, uint64_t toggles, uint64_t ram_accesses);
/* The same of what draws power_w, whoever has counted that. */
void model_heat(struct model *m, int64_t now_ns, double power_w);

#endif
