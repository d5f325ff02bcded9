// SPDX-License-Identifier: Apache-2.0
/* Power and temperature of a simulated card. */
#include "backend/card/sim/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND 1000000000

static int microwatts(const char *part, uint64_t toggles, uint64_t ram_accesses)
{
	struct model m = { 0 };

	model_step(&m, part, SECOND, 0, 0);
	model_step(&m, part, 2ll * SECOND, toggles, ram_accesses);
	return (int)(m.power_w * 1e6 + 0.5);
}

/* 1.2 V at the static currents of Lattice's data sheets, in microamperes. */
static void part_at_rest_draws_its_static_current(void **state)
{
	(void)state;
	assert_int_equal(microwatts("iCE40-HX1K", 0, 0), 355);  /* 296 */
	assert_int_equal(microwatts("iCE40-HX8K", 0, 0), 1368); /* 1140 */
	assert_int_equal(microwatts("ice40-lp384", 0, 0), 25);  /* 21 */
	assert_int_equal(microwatts("iCE40-LP1K", 0, 0), 120);  /* 100 */
	assert_int_equal(microwatts("iCE40-LP8K", 0, 0), 300);  /* 250 */
	assert_int_equal(microwatts("iCE40-UP5K", 0, 0), 90);   /* 75 */
}

static void every_change_and_access_costs_its_energy(void **state)
{
	(void)state;
	assert_int_equal(microwatts("iCE40-HX1K", 1000000000, 0), 355 + 3000);
	assert_int_equal(microwatts("iCE40-HX1K", 0, 100000000), 355 + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(part_at_rest_draws_its_static_current),
		cmocka_unit_test(every_change_and_access_costs_its_energy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
