// SPDX-License-Identifier: Apache-2.0
/*
 * What the decoder refuses. Configuration bits are set one switch at a time in
 * the memory of a sound image, so each refusal is known to have its cause.
 */
#include "backend/card/sim/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const uint8_t sim_db_hx1k[];
extern const uint64_t sim_db_hx1k_size;

static struct chipdb db;
static struct config config; /* holds the image "regs" */
static uint32_t *place;      /* tile, row, column -> bit of configuration memory + 1 */

#define NOWHERE 0u

static unsigned bank_bits(void)
{
	return db.cram_width * db.cram_height;
}

/* Number every bit of configuration memory, and read the numbers through the
 * tiles, one binary digit at a time. */
static int learn_places(void)
{
	struct tile *tiles = calloc(db.count[DB_TILES], sizeof(*tiles));
	struct config digits;

	place = calloc((size_t)db.count[DB_TILES] * 16 * 54, sizeof(*place));
	if (!tiles || !place || config_init(&digits, &db, NULL) != 0)
		return -1;
	for (unsigned digit = 0; digit < 20; digit++) {
		config_reset(&digits);
		for (unsigned i = 0; i < 4 * bank_bits(); i++)
			if ((i + 1) >> digit & 1)
				digits.cram[i / bank_bits()][i % bank_bits() / 8] |=
					(uint8_t)(0x80 >> i % bank_bits() % 8);
		tiles_extract(&digits, tiles);
		for (unsigned t = 0; t < db.count[DB_TILES]; t++)
			for (unsigned b = 0; b < 16 * 54; b++)
				place[t * 16 * 54 + b] |=
					(uint32_t)tile_bit(&tiles[t], b / 54, b % 54) << digit;
	}
	config_fini(&digits);
	free(tiles);
	return 0;
}

static int setup(void **state)
{
	static uint8_t image[1 << 16];
	FILE *f = fopen("contrib/examples/regs/regs.bin", "re");
	size_t n, used;

	(void)state;
	if (!f)
		fail_msg("run the tests in the top folder");
	n = fread(image, 1, sizeof(image), f);
	fclose(f);
	if (chipdb_open(&db, sim_db_hx1k, sim_db_hx1k_size, NULL) != 0 ||
	    config_init(&config, &db, NULL) != 0 ||
	    config_feed(&config, image, n, &used, NULL) != 0 || config.state != CONFIG_AWAKE)
		return -1;
	return learn_places();
}

static int teardown(void **state)
{
	(void)state;
	config_fini(&config);
	free(place);
	return 0;
}

static void flip(unsigned tile, unsigned row, unsigned col)
{
	uint32_t bit = place[(tile * 16 + row) * 54 + col];

	assert_int_not_equal(bit, NOWHERE);
	bit--;
	config.cram[bit / bank_bits()][bit % bank_bits() / 8] ^=
		(uint8_t)(0x80 >> bit % bank_bits() % 8);
}

/* Set the off switch m to this code, or back. */
static void flip_code(const uint8_t *m, unsigned code)
{
	const uint8_t *kind = db.sec[DB_KINDS] + 12 * (size_t)db16(m + 2);
	const uint8_t *at = db.sec[DB_POOL] + db32(kind + 4);

	for (unsigned b = 0; b < db16(kind); b++)
		if (code >> b & 1)
			flip(db16(m), at[2 * b], at[2 * b + 1]);
}

static unsigned code_of(const struct netlist *n, const uint8_t *m)
{
	const uint8_t *kind = db.sec[DB_KINDS] + 12 * (size_t)db16(m + 2);
	const uint8_t *at = db.sec[DB_POOL] + db32(kind + 4);
	unsigned code = 0;

	for (unsigned b = 0; b < db16(kind); b++)
		code |= (unsigned)tile_bit(&n->tiles[db16(m)], at[2 * b], at[2 * b + 1]) << b;
	return code;
}

/* 0 or the error of decoding what is in `config` now. */
static int decode(struct reason *why)
{
	struct program *p = NULL;
	struct netlist n;
	int err = netlist_init(&n, &config, false, why);

	if (err == 0)
		err = program_build(&n, &p, why);
	netlist_fini(&n);
	program_free(p);
	return err;
}

static void every_tile_bit_has_a_place_of_its_own(void **state)
{
	uint8_t *taken = calloc(4 * bank_bits() + 1, 1);
	unsigned used = 0;

	(void)state;
	assert_non_null(taken);
	for (unsigned t = 0; t < db.count[DB_TILES]; t++)
		for (unsigned b = 0; b < 16 * 54; b++) {
			uint32_t bit = place[t * 16 * 54 + b];

			if (b % 54 >= chipdb_columns(db.sec[DB_TILES][t])) {
				assert_int_equal(bit, NOWHERE);
				continue;
			}
			assert_in_range(bit, 1, 4 * bank_bits());
			assert_int_equal(taken[bit]++, 0);
			used++;
		}
	/* 160 logic, 32 RAM and 56 IO tiles */
	assert_int_equal(used, 16 * (160 * 54 + 32 * 42 + 56 * 18));
	free(taken);
}

static void second_driver_of_a_net_is_refused_naming_the_net(void **state)
{
	struct reason why = { 0 };
	struct netlist n;
	unsigned tried = 0;

	(void)state;
	assert_int_equal(decode(&why), 0);
	assert_int_equal(netlist_init(&n, &config, false, &why), 0);
	for (unsigned i = 0; i < db.count[DB_MUXES] && tried < 100; i++) {
		const uint8_t *m = db.sec[DB_MUXES] + 12 * (size_t)i;
		const uint8_t *kind = db.sec[DB_KINDS] + 12 * (size_t)db16(m + 2);
		int32_t driver = n.driver[db32(m + 4)];
		unsigned code;
		char name[80];

		if (driver < 0 || code_of(&n, m) != 0)
			continue;
		for (code = 1; code < 1u << db16(kind); code++) {
			unsigned option = db.sec[DB_POOL][db32(kind + 8) + code];

			if (option < CHIPDB_OFF &&
			    db32(db.sec[DB_SOURCES] + 4 * ((size_t)db32(m + 8) + option)) !=
				    (uint32_t)driver)
				break;
		}
		if (code == 1u << db16(kind))
			continue;
		flip_code(m, code);
		memset(&why, 0, sizeof(why));
		assert_int_equal(decode(&why), -EIO);
		/* the same bits may belong to another switch too; either sentence */
		if (strstr(why.text, "contention")) {
			chipdb_net_name(&db, db32(m + 4), name, sizeof(name));
			tried += strstr(why.text, name) != NULL;
		}
		flip_code(m, code);
	}
	assert_true(tried >= 20);
	assert_int_equal(decode(&why), 0);
	netlist_fini(&n);
}

static void code_that_selects_nothing_is_refused_naming_tile_and_net(void **state)
{
	struct reason why = { 0 };
	struct netlist n;
	unsigned tried = 0;

	(void)state;
	assert_int_equal(netlist_init(&n, &config, false, &why), 0);
	for (unsigned i = 0; i < db.count[DB_MUXES] && tried < 50; i += 97) {
		const uint8_t *m = db.sec[DB_MUXES] + 12 * (size_t)i;
		const uint8_t *kind = db.sec[DB_KINDS] + 12 * (size_t)db16(m + 2);
		unsigned code = 1;

		while (code < 1u << db16(kind) &&
		       db.sec[DB_POOL][db32(kind + 8) + code] != CHIPDB_ILLEGAL)
			code++;
		if (code == 1u << db16(kind) || code_of(&n, m) != 0)
			continue;
		flip_code(m, code);
		memset(&why, 0, sizeof(why));
		assert_int_equal(decode(&why), -EIO);
		assert_non_null(strstr(why.text, "which selects nothing"));
		flip_code(m, code);
		tried++;
	}
	assert_true(tried >= 20);
	netlist_fini(&n);
}

static void refused_with(unsigned x, unsigned y, unsigned row, unsigned col, const char *what,
			 const char *where)
{
	struct reason why = { 0 };

	flip(chipdb_tile(&db, x, y), row, col);
	assert_int_equal(decode(&why), -EOPNOTSUPP);
	assert_non_null(strstr(why.text, what));
	assert_non_null(strstr(why.text, where));
	flip(chipdb_tile(&db, x, y), row, col);
	assert_int_equal(decode(&why), 0);
}

static void what_is_not_modelled_is_refused_by_name_and_tile(void **state)
{
	struct netlist n;
	unsigned ram = 0;

	(void)state;
	/* the clock pin of the board, 21, is pad 1 of tile 0,8 */
	refused_with(0, 8, 8, 2, "LVDS", "tile 0,8");
	refused_with(0, 8, 11, 3, "iCEGate", "tile 0,8");
	/* the one block RAM that the image uses */
	assert_int_equal(netlist_init(&n, &config, false, NULL), 0);
	for (ram = 0; ram < n.n_ram; ram++) {
		struct ram_cell cell;

		char where[32];

		if (ram_get(&n, ram, &cell, NULL) != 0)
			continue; /* those that it does not use are switched off */
		snprintf(where, sizeof(where), "tile %u,%u", cell.x, cell.y);
		refused_with(cell.x, cell.y + 1, 5, 7, "cascades", where);
		refused_with(cell.x, cell.y, 1, 7, "switched off", where);
		break;
	}
	assert_true(ram < n.n_ram);
	netlist_fini(&n);
}

static struct chipdb_cell pll_cell(void)
{
	for (unsigned i = 0; i < db.count[DB_CELLS]; i++) {
		struct chipdb_cell cell = chipdb_cell(&db, i);

		if (!strcmp(cell.kind, "PLL"))
			return cell;
	}
	fail_msg("the HX1K has a PLL");
	return (struct chipdb_cell){ 0 };
}

/* Set these bits of the PLL, or back: "NAME_i" for a number of several, else "NAME". */
static void pll_flip(const char *name, unsigned value, bool single)
{
	struct chipdb_cell cell = pll_cell();

	for (unsigned i = 0; value >> i; i++) {
		struct chipdb_entry e;
		char one[32];

		snprintf(one, sizeof(one), single ? "%s" : "%s_%u", name, i);
		if (!(value >> i & 1))
			continue;
		assert_true(chipdb_entry_find(&db, &cell, one, ENTRY_BIT, &e));
		flip(chipdb_tile(&db, e.x, e.y), e.value >> 8, e.value & 255);
	}
}

/* What is flipped is the difference to a PLL of type CORE, 67/32, that is accepted. */
static void setting_of_a_pll_that_is_not_modelled_is_refused_by_name(void **state)
{
	static const struct {
		const char *name;
		unsigned differ;
		bool single;
		const char *sentence; /* NULL: accepted */
	} rows[] = {
		{ "PLLTYPE", 3 ^ 1, false, "with PLLTYPE 1," },
		{ "PLLTYPE", 3 ^ 5, false, "with PLLTYPE 5," },
		{ "PLLTYPE", 3 ^ 2, false, "with a reference from a pad that the image drives," },
		{ "PLLTYPE", 3 ^ 4, false, "with a reference from a pad that the image drives," },
		{ "PLLTYPE", 3 ^ 6, false, "with a reference from a pad that the image drives," },
		{ "PLLTYPE", 3 ^ 7, false, NULL },
		{ "FEEDBACK_PATH", 1 ^ 0, false, "with FEEDBACK_PATH DELAY," },
		{ "FEEDBACK_PATH", 1 ^ 2, false, "with FEEDBACK_PATH PHASE_AND_DELAY," },
		{ "FEEDBACK_PATH", 1 ^ 6, false, "with FEEDBACK_PATH EXTERNAL," },
		{ "FEEDBACK_PATH", 1 ^ 5, false, "with an unknown FEEDBACK_PATH," },
		{ "PLLOUT_SELECT_A", 1, false, NULL },
		{ "PLLOUT_SELECT_A", 2, false, "with PLLOUT_SELECT SHIFTREG_90deg," },
		{ "PLLOUT_SELECT_A", 3, false, "with PLLOUT_SELECT SHIFTREG_0deg," },
		{ "PLLOUT_SELECT_B", 2, false, NULL }, /* a CORE has no output B */
		{ "DIVQ", 5 ^ 0, false, "with DIVQ 0 (1 to 6)," },
		{ "DIVQ", 5 ^ 7, false, "with DIVQ 7 (1 to 6)," },
		{ "TEST_MODE", 1, true, "with TEST_MODE," },
		{ "ENABLE_ICEGATE_PORTA", 1, true, "with ENABLE_ICEGATE," },
		{ "ENABLE_ICEGATE_PORTB", 1, true, "with ENABLE_ICEGATE," },
	};
	struct reason why = { 0 };

	(void)state;
	pll_flip("PLLTYPE", 3, false);
	pll_flip("FEEDBACK_PATH", 1, false);
	pll_flip("DIVF", 66, false);
	pll_flip("DIVQ", 5, false);
	assert_int_equal(decode(&why), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pll_flip(rows[i].name, rows[i].differ, rows[i].single);
		memset(&why, 0, sizeof(why));
		assert_int_equal(decode(&why), rows[i].sentence ? -EOPNOTSUPP : 0);
		if (rows[i].sentence && (!strstr(why.text, rows[i].sentence) ||
					 !strstr(why.text, "the PLL of tile 6,0 ")))
			fail_msg("%s", why.text);
		pll_flip(rows[i].name, rows[i].differ, rows[i].single);
	}
	/* types PAD: the pad of output A, 6,0/1, is the reference; PIN_TYPE_4 drives it here */
	flip(chipdb_tile(&db, 6, 0), 14, 16);
	for (unsigned type = 2; type <= 6; type += 2) {
		pll_flip("PLLTYPE", 3 ^ type, false);
		assert_int_equal(decode(&why), 0);
		pll_flip("PLLTYPE", 3 ^ type, false);
	}
	flip(chipdb_tile(&db, 6, 0), 14, 16);
	pll_flip("PLLTYPE", 3, false);
	pll_flip("FEEDBACK_PATH", 1, false);
	pll_flip("DIVF", 66, false);
	pll_flip("DIVQ", 5, false);
	assert_int_equal(decode(&why), 0);
}

static void warm_boot_is_refused(void **state)
{
	unsigned tile = chipdb_tile(&db, 12, 0);
	int32_t fabout = chipdb_port(&db, tile, PORT_FABOUT);
	unsigned tried = 0;

	(void)state;
	assert_true(fabout >= 0);
	for (unsigned i = 0; i < db.count[DB_MUXES]; i++) {
		const uint8_t *m = db.sec[DB_MUXES] + 12 * (size_t)i;
		const uint8_t *kind = db.sec[DB_KINDS] + 12 * (size_t)db16(m + 2);
		struct reason why = { 0 };
		unsigned code = 1;

		if (db32(m + 4) != (uint32_t)fabout)
			continue;
		while (db.sec[DB_POOL][db32(kind + 8) + code] >= CHIPDB_OFF)
			code++;
		flip_code(m, code);
		assert_int_equal(decode(&why), -EOPNOTSUPP);
		assert_non_null(strstr(why.text, "warm boot"));
		flip_code(m, code);
		tried++;
	}
	assert_true(tried > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tile_bit_has_a_place_of_its_own),
		cmocka_unit_test(second_driver_of_a_net_is_refused_naming_the_net),
		cmocka_unit_test(code_that_selects_nothing_is_refused_naming_tile_and_net),
		cmocka_unit_test(what_is_not_modelled_is_refused_by_name_and_tile),
		cmocka_unit_test(setting_of_a_pll_that_is_not_modelled_is_refused_by_name),
		cmocka_unit_test(warm_boot_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
