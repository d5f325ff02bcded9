// SPDX-License-Identifier: Apache-2.0
/* What images are compared with, by what a backend told and what is loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fs/card/target.h"

#include <fabricfs/buf.h>

#define FULL	IMAGE_TAKES_FULL
#define PARTIAL IMAGE_TAKES_PARTIAL

static struct slot_view slots[2];

/* A card that told its facts, with the ids of what is loaded. */
static struct card_view view_of(unsigned n, const char *shell, unsigned can, unsigned takes,
				enum state state, const char *loaded)
{
	struct card_view v = { .told = true, .slots_len = n, .slots = n ? slots : NULL };

	text_copy(v.facts.shell, sizeof(v.facts.shell), shell);
	v.facts.can = can;
	v.facts.takes = takes;
	v.self.state = state;
	text_copy(v.self.shell, sizeof(v.self.shell), loaded);
	return v;
}

static void full_and_partial_follow_from_what_the_backend_told(void **state)
{
	static const struct {
		unsigned slots, can, told;
		const char *shell;
		unsigned takes;
		bool region;
	} rows[] = {
		/* A whole card. */
		{ 0, 0, 0, "", FULL, false },
		{ 0, CARD_CAN_PARTIAL, 0, "", FULL | PARTIAL, false },
		{ 0, 0, 0, "a_platform", PARTIAL, true },
		{ 0, 0, FULL, "a_platform", FULL, false },
		{ 0, 0, FULL | PARTIAL, "", FULL | PARTIAL, false },
		/* Slots. */
		{ 2, 0, 0, "", 0, true },
		{ 2, 0, 0, "a_platform", PARTIAL, true },
		{ 2, 0, FULL, "", FULL, true },
		{ 2, CARD_CAN_PARTIAL, PARTIAL, "", PARTIAL, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct card_view v = view_of(rows[i].slots, rows[i].shell, rows[i].can, rows[i].told,
					     STATE_CONFIGURED, "");

		/* The card says what is true of its slots. */
		for (int slot = rows[i].slots ? 1 : -1; slot >= -1; slot -= 2) {
			struct image_target t;

			target_fill(&v, slot, &t);
			assert_int_equal(t.takes, rows[i].takes);
			assert_int_equal(t.region, rows[i].region);
			assert_string_equal(t.shell, rows[i].shell);
		}
	}
}

static void what_is_loaded_is_the_static_design_while_it_runs(void **state)
{
	(void)state;
	for (enum state s = 0; s < STATES; s++) {
		struct card_view v = view_of(0, "", CARD_CAN_PARTIAL, 0, s, "8def22be cafe0001");
		struct image_target t;
		/* Of a programming that was begun before the worker died the request comes again. */
		bool runs = s == STATE_CONFIGURED || s == STATE_PROGRAMMING;

		target_fill(&v, -1, &t);
		assert_string_equal(t.shell, runs ? "8def22be cafe0001" : "");
		v.facts.can = 0;
		target_fill(&v, -1, &t);
		assert_string_equal(t.shell, "");
	}
}

static void what_the_backend_told_stands_over_what_is_loaded(void **state)
{
	struct card_view v = view_of(0, "a_platform", 0, 0, STATE_CONFIGURED, "8def22be");
	struct image_target t;

	(void)state;
	target_fill(&v, -1, &t);
	assert_string_equal(t.shell, "a_platform");
}

static void before_the_backend_told_anything_nothing_is_refused(void **state)
{
	struct card_view v = view_of(0, "", CARD_CAN_PARTIAL, 0, STATE_UNKNOWN, "");
	struct image_facts partial = { .part = "xck26", .partial = IMAGE_YES, .shell = "8def22be" };
	struct image_facts full = { .part = "xck26", .partial = IMAGE_NO };
	struct reason why = { 0 };
	struct image_target t;

	(void)state;
	target_fill(&v, -1, &t);
	assert_int_equal(image_suits_target(&partial, &t, NULL, &why), -EMEDIUMTYPE);
	v.told = false;
	target_fill(&v, -1, &t);
	assert_int_equal(image_suits_target(&partial, &t, NULL, NULL), 0);
	assert_int_equal(image_suits_target(&full, &t, NULL, NULL), 0);
	text_copy(v.facts.part, sizeof(v.facts.part), "xc7a35t");
	target_fill(&v, -1, &t);
	assert_int_equal(image_suits_target(&full, &t, NULL, &why), -EMEDIUMTYPE);
}

static void a_static_design_is_named_by_all_that_it_can_be(void **state)
{
	static const struct {
		struct image_facts image;
		const char *names;
	} rows[] = {
		{ { .unique_id = "8def22be", .user_id = "cafe0001", .shell = "not_its_own" }, "8def22be cafe0001" },
		{ { .unique_id = "8def22be", .user_id = "ffffffff" }, "8def22be" },
		{ { .user_id = "00000000" }, "" },
		{ { .partial = IMAGE_YES, .unique_id = "22222222", .shell = "8def22be" }, "8def22be" },
		{ { .partial = IMAGE_YES, .shell = "a_platform", .interface = "00112233" }, "a_platform 00112233" },
		{ { .partial = IMAGE_YES, .shell = "00112233", .interface = "00112233" }, "00112233" },
		{ { .partial = IMAGE_YES, .user_id = "cafe0001" }, "cafe0001" },
	};
	char names[IMAGE_SHELL_MAX], few[12];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		image_static_design(&rows[i].image, names, sizeof(names));
		assert_string_equal(names, rows[i].names);
	}
	image_static_design(&rows[0].image, few, sizeof(few));
	assert_string_equal(few, "8def22be ca");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_and_partial_follow_from_what_the_backend_told),
		cmocka_unit_test(what_is_loaded_is_the_static_design_while_it_runs),
		cmocka_unit_test(what_the_backend_told_stands_over_what_is_loaded),
		cmocka_unit_test(before_the_backend_told_anything_nothing_is_refused),
		cmocka_unit_test(a_static_design_is_named_by_all_that_it_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
