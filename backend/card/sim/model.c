// SPDX-License-Identifier: Apache-2.0
/* Power and temperature (model.h). */
#include "model.h"

#include <stddef.h>
#include <strings.h>

#define CORE_V      1.2
#define TOGGLE_J    3e-12
#define RAM_J       10e-12
#define K_PER_W     40.0
#define AMBIENT     25.0
#define TAU_S       15.0
/* Two questions in quick succession see the same interval, not the noise of a short one. */
#define INTERVAL_NS 100000000

/* Typical static current of the core in amperes, nothing switching, 25 degrees C. Sources:
 * Lattice, iCE40 LP/HX Family Data Sheet (FPGA-DS-02029) and iCE40 UltraPlus Family Data Sheet
 * (FPGA-DS-02008), static supply current. */
static const struct {
	const char *part;
	double a;
} static_current[] = {
	{ "iCE40-HX1K", 296e-6 }, { "iCE40-HX8K", 1140e-6 }, { "iCE40-LP384", 21e-6 },
	{ "iCE40-LP1K", 100e-6 }, { "iCE40-LP8K", 250e-6 },  { "iCE40-UP5K", 75e-6 },
};

static double static_w(const char *part)
{
	for (size_t i = 0; i < sizeof(static_current) / sizeof(static_current[0]); i++)
		if (strcasecmp(static_current[i].part, part) == 0)
			return CORE_V * static_current[i].a;
	return CORE_V * static_current[0].a;
}

void model_surround(struct model *m, double degc)
{
	double extra = degc > 0 ? degc - AMBIENT : 0;

	if (m->last_ns)
		m->temp_degc += extra - m->extra_degc;
	else
		m->temp_degc = AMBIENT + extra;
	m->extra_degc = extra;
}

void model_heat(struct model *m, int64_t now_ns, double power_w)
{
	double dt = (double)(now_ns - m->last_ns) * 1e-9;

	if (!m->last_ns) {
		m->temp_degc = AMBIENT + m->extra_degc;
	} else if (now_ns - m->last_ns < INTERVAL_NS) {
		return;
	} else {
		/* One implicit step of dT/dt = (P * Rth - (T - Ta)) / tau: stable for any dt. */
		m->temp_degc = (m->temp_degc + dt / TAU_S * (AMBIENT + m->extra_degc + power_w * K_PER_W)) /
			       (1 + dt / TAU_S);
	}
	m->power_w = power_w;
	m->last_ns = now_ns;
}

void model_step(struct model *m, const char *part, int64_t now_ns, uint64_t toggles,
		uint64_t ram_accesses)
{
	double power_w = static_w(part), dt = (double)(now_ns - m->last_ns) * 1e-9;

	if (m->last_ns && now_ns - m->last_ns < INTERVAL_NS)
		return;
	if (m->last_ns)
		power_w += ((double)(toggles - m->last_toggles) * TOGGLE_J +
			    (double)(ram_accesses - m->last_ram) * RAM_J) / dt;
	model_heat(m, now_ns, power_w);
	m->last_toggles = toggles;
	m->last_ram = ram_accesses;
}

void thermal_note(struct thermal *t, double temp_degc)
{
	if (temp_degc >= MODEL_TRIP_DEGC && !atomic_exchange(&t->over, true))
		atomic_fetch_add(&t->trips, 1);
	else if (temp_degc < MODEL_COOL_DEGC)
		atomic_store(&t->over, false);
}
