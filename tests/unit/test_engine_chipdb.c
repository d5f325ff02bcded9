// SPDX-License-Identifier: Apache-2.0
/* The reader of chip databases: a damaged one is refused, never followed. */
#include "backend/card/sim/engine/chipdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const uint8_t sim_db_lp384[], sim_db_hx1k[], sim_db_hx8k[];
extern const uint64_t sim_db_lp384_size, sim_db_hx1k_size, sim_db_hx8k_size;

#define HEADER 60 /* bytes before the table of sections */

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
	return sum;
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
		cmocka_unit_test(database_cut_at_any_length_is_refused),
		cmocka_unit_test(database_with_a_section_moved_outside_is_refused),
		cmocka_unit_test(database_with_any_damage_is_refused_or_safe_to_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
