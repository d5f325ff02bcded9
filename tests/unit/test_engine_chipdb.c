// SPDX-License-Identifier: Apache-2.0
/* The reader of chip databases: a damaged one is refused, never followed. */
#include "backend/card/sim/engine/chipdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const uint8_t sim_db_lp384[], sim_db_hx1k[], sim_db_hx8k[], sim_db_up5k[];
extern const uint64_t sim_db_lp384_size, sim_db_hx1k_size, sim_db_hx8k_size, sim_db_up5k_size;

#define HEADER 68 /* bytes before the table of sections */

/* A copy in memory of exactly its size, so that ASan sees a step outside. */
static uint8_t *copy(size_t size)
{
	uint8_t *p = malloc(size ? size : 1);

	assert_non_null(p);
	memcpy(p, sim_db_hx1k, size);
	return p;
}

static void built_in_database_is_sound_and_names_its_nets(void **state)
{
	struct reason why = { 0 };
	struct chipdb db;
	char name[80];

	(void)state;
	assert_int_equal(chipdb_open(&db, sim_db_hx1k, sim_db_hx1k_size, &why), 0);
	assert_string_equal(db.die, "1k");
	assert_int_equal(db.width, 14);
	assert_int_equal(db.height, 18);
	assert_int_equal(db.nets, 27682);
	assert_int_equal(db.count[DB_MUXES], 53808);
	assert_int_equal(db.count[DB_SOURCES], 319904);
	assert_string_equal(chipdb_net_name(&db, 0, name, sizeof(name)),
			    "net 0 (fabout of tile 0,1)");
}

/* The numbers are those that IceStorm's text says or contains. */
static void databases_of_the_other_dies_are_sound(void **state)
{
	static const struct {
		const char *die;
		const uint8_t *bytes;
		const uint64_t *size;
		unsigned width, height, nets, muxes, sources;
	} rows[] = {
		{ "384", sim_db_lp384, &sim_db_lp384_size, 8, 10, 8294, 14872, 86864 },
		{ "8k", sim_db_hx8k, &sim_db_hx8k_size, 34, 34, 135174, 272320, 1652480 },
		{ "5k", sim_db_up5k, &sim_db_up5k_size, 26, 32, 103383, 201460, 1219104 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reason why = { 0 };
		struct chipdb db;

		assert_int_equal(chipdb_open(&db, rows[i].bytes, *rows[i].size, &why), 0);
		assert_string_equal(db.die, rows[i].die);
		assert_int_equal(db.width, rows[i].width);
		assert_int_equal(db.height, rows[i].height);
		assert_int_equal(db.nets, rows[i].nets);
		assert_int_equal(db.count[DB_MUXES], rows[i].muxes);
		assert_int_equal(db.count[DB_SOURCES], rows[i].sources);
	}
}

static unsigned cells_of_kind(const struct chipdb *db, const char *kind, struct chipdb_cell *last)
{
	unsigned count = 0;

	for (unsigned i = 0; i < db->count[DB_CELLS]; i++) {
		struct chipdb_cell cell = chipdb_cell(db, i);

		if (strcmp(cell.kind, kind) != 0)
			continue;
		*last = cell;
		count++;
	}
	return count;
}

/* What IceStorm's text says of each, some of all. */
static void cells_beside_the_fabric_have_their_ends(void **state)
{
	static const struct {
		const char *kind;
		unsigned count, x, y, z;
		const char *name;
		enum chipdb_entry_kind what;
		unsigned at_x, at_y;
		uint32_t value; /* of a net: ~0, its name is looked at */
		const char *net;
	} rows[] = {
		{ "PLL", 1, 12, 31, 0, "PLLOUT_A", ENTRY_PAD, 12, 31, 1, NULL },
		{ "PLL", 1, 12, 31, 0, "DIVR_0", ENTRY_BIT, 10, 31, 0 << 8 | 2, NULL },
		{ "PLL", 1, 12, 31, 0, "RESETB", ENTRY_NET, 16, 31, ~0u, "fabout of tile 16,31" },
		{ "SPRAM", 4, 25, 0, 4, "SPRAM_EN", ENTRY_BIT, 25, 1, 0 << 8 | 7, NULL },
		{ "MAC16", 8, 25, 23, 0, "A_0", ENTRY_NET, 25, 25, ~0u, "lutff_0/in_3 of tile 25,25" },
		{ "MAC16", 8, 25, 23, 0, "O_31", ENTRY_NET, 25, 26, ~0u, "mult/O_31 of tile 25,26" },
		{ "HFOSC", 1, 0, 31, 1, "CLKHF_DIV_0", ENTRY_BIT, 0, 16, 2 << 8 | 7, NULL },
		{ "LFOSC", 1, 25, 31, 1, "CLKLF", ENTRY_NET, 25, 29, ~0u, "glb_netwk_5 of tile 0,1" },
		{ "RGBA_DRV", 1, 0, 30, 0, "RGB2", ENTRY_PAD, 6, 31, 0, NULL },
		{ "I2C", 2, 25, 31, 0, "I2C_ENABLE_0", ENTRY_BIT, 19, 31, 10 << 8 | 3, NULL },
		{ "SPI", 2, 25, 0, 1, "SPI_ENABLE_3", ENTRY_BIT, 24, 0, 12 << 8 | 2, NULL },
		{ "LEDDA_IP", 1, 0, 31, 2, "LEDDCLK", ENTRY_NET, 0, 29, ~0u, "clk of tile 0,29" },
		{ "WARMBOOT", 1, 25, 0, 0, "BOOT", ENTRY_NET, 22, 0, ~0u, "fabout of tile 22,0" },
	};
	struct chipdb_entry entry;
	struct chipdb_cell cell;
	struct chipdb db;

	(void)state;
	assert_int_equal(chipdb_open(&db, sim_db_up5k, sim_db_up5k_size, NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[80];

		assert_int_equal(cells_of_kind(&db, rows[i].kind, &cell), rows[i].count);
		assert_int_equal(cell.x, rows[i].x);
		assert_int_equal(cell.y, rows[i].y);
		assert_int_equal(cell.z, rows[i].z);
		assert_true(chipdb_entry_find(&db, &cell, rows[i].name, rows[i].what, &entry));
		assert_int_equal(entry.x, rows[i].at_x);
		assert_int_equal(entry.y, rows[i].at_y);
		if (rows[i].what != ENTRY_NET) {
			assert_int_equal(entry.value, rows[i].value);
			continue;
		}
		chipdb_net_name(&db, entry.value, name, sizeof(name));
		if (!strstr(name, rows[i].net))
			fail_msg("%s of %s is %s", rows[i].name, rows[i].kind, name);
	}
	assert_false(chipdb_entry_find(&db, &cell, "PLLOUT_A", ENTRY_PAD, &entry));
	/* the upper banks of an UP5K are the lower ones' smaller neighbours */
	assert_int_equal(db.bank_height[0], 336);
	assert_int_equal(db.bank_height[3], 176);
	/* in this package the HX1K's PLL is not connected */
	assert_int_equal(chipdb_open(&db, sim_db_hx1k, sim_db_hx1k_size, NULL), 0);
	assert_int_equal(cells_of_kind(&db, "PLL", &cell), 1);
	assert_true(chipdb_entry_find(&db, &cell, "LOCKED", ENTRY_LOCKED, &entry));
	assert_string_equal(chipdb_string(&db, entry.value), "cb81");
	assert_int_equal(chipdb_open(&db, sim_db_hx8k, sim_db_hx8k_size, NULL), 0);
	assert_int_equal(cells_of_kind(&db, "PLL", &cell), 2);
}

static void database_cut_at_any_length_is_refused(void **state)
{
	(void)state;
	for (size_t size = 0; size < sim_db_hx1k_size; size += 1 + size / 16) {
		uint8_t *p = copy(size);
		struct reason why = { 0 };
		struct chipdb db;

		assert_int_equal(chipdb_open(&db, p, size, &why), -EBADMSG);
		assert_true(strlen(why.text) > 20);
		free(p);
	}
}

static void database_with_a_section_moved_outside_is_refused(void **state)
{
	(void)state;
	for (unsigned s = 0; s < DB_SECTIONS; s++) {
		for (unsigned what = 0; what < 2; what++) {
			uint8_t *p = copy(sim_db_hx1k_size);
			struct reason why = { 0 };
			struct chipdb db;

			memset(p + HEADER + 8 * s + 4 * what, 0xf8, 4);
			assert_int_equal(chipdb_open(&db, p, sim_db_hx1k_size, &why), -EBADMSG);
			free(p);
		}
	}
}

/* Follow everything that the decoder would. */
static unsigned long follow(const struct chipdb *db)
{
	unsigned long sum = 0;
	char name[80];

	for (unsigned i = 0; i < db->count[DB_MUXES]; i++) {
		const uint8_t *m = db->sec[DB_MUXES] + 12 * (size_t)i;
		const uint8_t *k = db->sec[DB_KINDS] + 12 * (size_t)db16(m + 2);

		for (unsigned b = 0; b < 2 * db16(k); b++)
			sum += db->sec[DB_POOL][db32(k + 4) + b];
		for (unsigned c = 0; c < 1u << db16(k); c++) {
			unsigned option = db->sec[DB_POOL][db32(k + 8) + c];

			if (option < CHIPDB_OFF)
				sum += db32(db->sec[DB_SOURCES] +
					    4 * ((size_t)db32(m + 8) + option));
		}
	}
	for (unsigned i = 0; i < db->nets; i++)
		sum += strlen(chipdb_net_name(db, i, name, sizeof(name)));
	for (unsigned i = 0; i < db->count[DB_PINS]; i++)
		sum += strlen(chipdb_string(db, db32(db->sec[DB_PINS] + 8 * (size_t)i)));
	for (unsigned i = 0; i < db->count[DB_CELLS]; i++) {
		struct chipdb_cell cell = chipdb_cell(db, i);

		sum += strlen(cell.kind);
		for (unsigned k = 0; k < cell.entries; k++) {
			struct chipdb_entry e = chipdb_entry(db, &cell, k);

			sum += strlen(e.name);
			if (e.kind == ENTRY_NET)
				sum += strlen(chipdb_net_name(db, e.value, name, sizeof(name)));
			else if (e.kind == ENTRY_LOCKED)
				sum += strlen(chipdb_string(db, e.value));
		}
	}
	return sum;
}

/* Each end of each cell in turn is damaged in each of its numbers. */
static void cell_with_an_end_nowhere_is_refused(void **state)
{
	static const struct {
		unsigned section, record, offset, width;
	} fields[] = {
		{ DB_CELLS, 16, 0, 4 },  { DB_CELLS, 16, 4, 1 },   { DB_CELLS, 16, 5, 1 },
		{ DB_CELLS, 16, 8, 4 },  { DB_CELLS, 16, 12, 4 },  { DB_ENTRIES, 12, 0, 4 },
		{ DB_ENTRIES, 12, 4, 1 }, { DB_ENTRIES, 12, 5, 1 }, { DB_ENTRIES, 12, 6, 1 },
		{ DB_ENTRIES, 12, 8, 4 }, { DB_LATCHES, 4, 0, 1 },  { DB_LATCHES, 4, 1, 1 },
		{ DB_IEREN, 8, 0, 1 },   { DB_IEREN, 8, 2, 1 },    { DB_IEREN, 8, 4, 1 },
		{ DB_IEREN, 8, 5, 1 },
	};
	uint8_t *p = copy(sim_db_hx1k_size);

	(void)state;
	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
		const uint8_t *row = p + HEADER + 8 * fields[f].section;
		uint32_t first = db32(row), count = db32(row + 4);

		assert_true(count > 0);
		for (unsigned i = 0; i < count; i += 1 + count / 5) {
			uint8_t *at = p + first + (size_t)i * fields[f].record + fields[f].offset;
			struct reason why = { 0 };
			struct chipdb db;
			uint8_t old[4];

			memcpy(old, at, fields[f].width);
			memset(at, 0xf8, fields[f].width);
			assert_int_equal(chipdb_open(&db, p, sim_db_hx1k_size, &why), -EBADMSG);
			memcpy(at, old, fields[f].width);
		}
	}
	free(p);
}

static void database_with_any_damage_is_refused_or_safe_to_follow(void **state)
{
	unsigned accepted = 0, refused = 0;
	uint8_t *p = copy(sim_db_hx1k_size);

	(void)state;
	srandom(40);
	for (unsigned round = 0; round < 200; round++) {
		/* half of the damage where it hurts most: header, tables, tiles */
		size_t range = round % 2 ? sim_db_hx1k_size : 4096;
		unsigned flips = 1 + (unsigned)random() % 4;
		size_t where[4];
		uint8_t bit[4];
		struct reason why = { 0 };
		struct chipdb db;

		for (unsigned i = 0; i < flips; i++) {
			where[i] = (size_t)random() % range;
			bit[i] = (uint8_t)(1u << random() % 8);
			p[where[i]] ^= bit[i];
		}
		if (chipdb_open(&db, p, sim_db_hx1k_size, &why) == 0) {
			accepted++;
			if (accepted % 8 == 1)
				assert_true(follow(&db) > 0);
		} else {
			assert_int_equal(why.err, EBADMSG);
			refused++;
		}
		for (unsigned i = 0; i < flips; i++)
			p[where[i]] ^= bit[i];
	}
	assert_memory_equal(p, sim_db_hx1k, sim_db_hx1k_size);
	assert_true(refused > 50);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(built_in_database_is_sound_and_names_its_nets),
		cmocka_unit_test(databases_of_the_other_dies_are_sound),
		cmocka_unit_test(cells_beside_the_fabric_have_their_ends),
		cmocka_unit_test(cell_with_an_end_nowhere_is_refused),
		cmocka_unit_test(database_cut_at_any_length_is_refused),
		cmocka_unit_test(database_with_a_section_moved_outside_is_refused),
		cmocka_unit_test(database_with_any_damage_is_refused_or_safe_to_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
