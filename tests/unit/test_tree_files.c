// SPDX-License-Identifier: Apache-2.0
/* The tree without a mount: tables, what files say, names, snapshots of opens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "fs/tree/serve.h"

#include <fabricfs/digest.h>

static struct card_view view;

/* A place in a card that is only a view; nothing asked of it here reaches the card. */
static struct place place_of(uint32_t file, int slot)
{
	struct place p = { .kind = NODE_CARD, .dev = 7, .slot = slot, .file = file,
			   .ino = node_make(NODE_CARD, 7, slot, file), .view = &view, .self = &view.self,
			   .card = (struct card *)&view };

	for (unsigned i = 0; i < card_rows_len; i++)
		if (card_rows[i].file == file)
			p.row = &card_rows[i];
	assert_non_null(p.row);
	return p;
}

static const char *says(uint32_t file)
{
	static struct buf b;
	struct place p = place_of(file, -1);

	buf_clear(&b);
	place_format(&p, &b);
	return b.data ? b.data : "";
}

static int fresh_view(void **state)
{
	(void)state;
	memset(&view, 0, sizeof(view));
	view.dev = 7;
	text_copy(view.name, sizeof(view.name), "bench");
	text_copy(view.backend, sizeof(view.backend), "sim");
	return 0;
}

static void rows_have_numbers_and_names_of_their_own(void **state)
{
	const struct {
		const struct row *rows;
		unsigned len;
	} tables[] = { { top_rows, top_rows_len }, { card_rows, card_rows_len } };

	(void)state;
	for (unsigned t = 0; t < 2; t++) {
		for (unsigned i = 0; i < tables[t].len; i++) {
			const struct row *a = &tables[t].rows[i];

			assert_true(a->file < 128); /* attr.c marks what was handed out by it */
			assert_true(S_ISDIR(a->type) || a->format || a->ops || a->name[0] == '.');
			for (unsigned k = 0; k < i; k++) {
				const struct row *b = &tables[t].rows[k];

				assert_true(a->file != b->file);
				assert_true(a->dir != b->dir || strcmp(a->name, b->name));
			}
		}
	}
}

static void what_is_kept_by_the_kernel_names_its_changes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < card_rows_len; i++) {
		const struct row *row = &card_rows[i];

		if (row->format && row->keep != KEEP_FRESH)
			assert_true(row->changes != 0);
		/* A file that is polled must not be read from the page cache. */
		if (row->version)
			assert_int_equal(row->keep, KEEP_RENDER);
	}
}

static void node_numbers_give_back_what_they_are_made_of(void **state)
{
	uint64_t ino = node_make(NODE_CARD, 0xabcdef, 17, FILE_NODES_DIR);

	(void)state;
	assert_int_equal(node_kind(ino), NODE_CARD);
	assert_int_equal(node_card(ino), 0xabcdef);
	assert_int_equal(node_slot(ino), 17);
	assert_int_equal(node_file(ino), FILE_NODES_DIR);
	assert_int_equal(node_slot(node_make(NODE_CARD, 0, -1, 1)), -1);
}

static void unknown_values_are_empty_files(void **state)
{
	const uint32_t files[] = { FILE_VENDOR, FILE_PART, FILE_IDCODE, FILE_SERIAL, FILE_BOARD,
				   FILE_LOCATION, FILE_ERROR };

	(void)state;
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		assert_string_equal(says(files[i]), "");
	for (unsigned i = 0; i < loaded_names_len; i++)
		assert_string_equal(says(FILE_LOADED(i)), "");
}

static void values_are_one_line(void **state)
{
	(void)state;
	view.facts.has_idcode = true;
	view.facts.idcode = 0x362d093;
	text_copy(view.facts.part, sizeof(view.facts.part), "xc7a35t");
	text_copy(view.self.error, sizeof(view.self.error), "two\nlines\tand \xff bytes \xc3\xa4");
	view.self.state = STATE_CONFIGURED;
	assert_string_equal(says(FILE_IDCODE), "0362d093\n");
	assert_string_equal(says(FILE_PART), "xc7a35t\n");
	assert_string_equal(says(FILE_NAME), "bench\n");
	assert_string_equal(says(FILE_BACKEND), "sim\n");
	assert_string_equal(says(FILE_STATE), "configured\n");
	assert_string_equal(says(FILE_ERROR), "two lines and ? bytes \xc3\xa4\n");
}

static void overlong_and_cut_utf8_is_replaced(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	text_clean("\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82", &b);
	assert_string_equal(b.data, "??|???|????|??");
	/* Control characters of two bytes: U+009B begins what ESC [ does. */
	buf_clear(&b);
	text_clean("\xc2\x9b" "31m\xc2\xa0.", &b);
	assert_string_equal(b.data, " 31m\xc2\xa0.");
}

static void loaded_tells_the_image(void **state)
{
	struct loaded *l = &view.self.loaded;

	(void)state;
	memset(l->sha256, 'a', SHA256_HEX - 1);
	text_copy(l->name, sizeof(l->name), "x.bin");
	l->size = 32220;
	l->loaded_at_ns = INT64_C(1764720000123456000);
	assert_string_equal(says(FILE_LOADED_FIRST), "x.bin\n");
	assert_int_equal(strlen(says(FILE_LOADED_FIRST + 1)), 65);
	assert_string_equal(says(FILE_LOADED_FIRST + 2), "32220\n");
	assert_string_equal(says(FILE_LOADED_FIRST + 9), "2025-12-03T00:00:00.123456Z\n");
	assert_string_equal(says(FILE_LOADED_FIRST + 11), "0\n");
	for (unsigned i = 0; i < loaded_names_len; i++) {
		struct place p = place_of(FILE_LOADED(i), -1);

		assert_string_equal(p.row->name, loaded_names[i]);
	}
}

static void size_is_that_of_the_content(void **state)
{
	struct place p = place_of(FILE_ERROR, -1);

	(void)state;
	text_copy(view.self.error, sizeof(view.self.error), "no");
	assert_int_equal(place_size(&p), 3);
	view.self.error[0] = 0;
	assert_int_equal(place_size(&p), 0);
}

static void sensors_show_their_digits(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	sensor_format(&(struct card_sensor){ .value = 1.0 / 3, .decimals = 3 }, &b);
	sensor_format(&(struct card_sensor){ .value = 12e6, .decimals = 0 }, &b);
	sensor_format(&(struct card_sensor){ .value = NAN }, &b);
	sensor_format(&(struct card_sensor){ .value = 1, .decimals = 1000 }, &b);
	assert_string_equal(b.data, "0.333\n12000000\n1.000000000\n");
}

static void names_of_files_are_encoded(void **state)
{
	const char *const pairs[][2] = { { "a/b", "a%2Fb" }, { "50%", "50%25" }, { "x\ny", "x%0Ay" },
					 { ".", "%2E" }, { "..", "%2E%2E" }, { ".rx", ".rx" },
					 { "\xc3\xa4", "\xc3\xa4" } };

	(void)state;
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		name_encode(pairs[i][0], 255, &b);
		assert_string_equal(b.data, pairs[i][1]);
	}

	struct buf cut CLEANUP_BUF = BUF_INIT;

	name_encode("ab/", 4, &cut);
	assert_string_equal(cut.data, "ab"); /* not half an escape */
}

static int name_count(const char *name, uint64_t ino, void *arg)
{
	assert_true(name[0] != '.' && ino);
	++*(unsigned *)arg;
	return 0;
}

static void io_lists_what_is_offered_and_opens_what_could_be(void **state)
{
	struct place io = place_of(FILE_IO_DIR, -1);
	unsigned names = 0;
	uint64_t ino;

	(void)state;
	view.facts.endpoints = CARD_ENDPOINT_BIT(CARD_TX) | CARD_ENDPOINT_BIT(CARD_RX);
	view.self.endpoints = CARD_ENDPOINT_BIT(CARD_TX);
	assert_int_equal(dir_each(&io, name_count, &names), 0);
	assert_int_equal(names, 1);
	assert_non_null(row_find(&io, "tx", &ino));
	assert_non_null(row_find(&io, "rx", &ino)); /* so that open can say ENODEV */
	assert_non_null(row_find(&io, ".rx", &ino));
	assert_null(row_find(&io, "regs", &ino));
	view.facts.endpoints = 0;
	assert_null(row_find(&io, "tx", &ino));
}

static void slots_have_no_facts_of_their_own(void **state)
{
	struct place slot = place_of(FILE_DIR, 3);
	uint64_t ino;

	(void)state;
	assert_non_null(row_find(&slot, "image", &ino));
	assert_int_equal(node_slot(ino), 3);
	assert_non_null(row_find(&slot, "lease", &ino));
	assert_null(row_find(&slot, "vendor", &ino));
	assert_null(row_find(&slot, "telemetry", &ino));
	assert_null(row_find(&slot, ".follow", &ino));
}

static void the_top_is_found_by_name(void **state)
{
	struct place root CLEANUP_PLACE = { 0 };
	char name[300];
	uint64_t ino;

	(void)state;
	assert_int_equal(place_open(&root, NODE_ROOT), 0);
	assert_int_equal(dir_lookup(&root, "status", 0, &ino), 0);
	assert_int_equal(ino, node_make(NODE_TOP, 0, -1, TOP_STATUS));
	assert_int_equal(dir_lookup(&root, ".follow", 0, &ino), 0);
	assert_int_equal(dir_lookup(&root, "dev0", 0, &ino), -ENOENT);
	assert_int_equal(dir_lookup(&root, "dev00", 0, &ino), -ENOENT);
	assert_int_equal(dir_lookup(&root, "", 0, &ino), -ENOENT);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	assert_int_equal(dir_lookup(&root, name, 0, &ino), -ENAMETOOLONG);
}

static void nodes_of_no_card_do_not_exist(void **state)
{
	const uint64_t nodes[] = { 0, 2, node_make(NODE_TOP, 0, -1, 99), node_make(NODE_CARD, 5, -1, FILE_DIR),
				   node_make(NODE_SENSOR, 0, -1, 0), node_make(NODE_LINK, 1, -1, 1),
				   node_make(NODE_TEMP, 1, -1, 1), node_make((enum node_kind)9, 0, -1, 1),
				   UINT64_MAX };

	(void)state;
	for (unsigned i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		struct place p CLEANUP_PLACE = { 0 };

		assert_int_equal(place_open(&p, nodes[i]), -ENOENT);
	}
}

static const char *top_says(uint32_t file, struct buf *b)
{
	struct place p CLEANUP_PLACE = { 0 };

	assert_int_equal(place_open(&p, node_make(NODE_TOP, 0, -1, file)), 0);
	place_format(&p, b);
	assert_int_equal(buf_ok(b), 0);
	assert_true(b->len && b->data[b->len - 1] == '\n');
	return b->data;
}

static void readme_is_one_screen(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	unsigned lines = 0;

	(void)state;
	for (const char *at = top_says(TOP_README, &b), *end; (end = strchr(at, '\n')); at = end + 1) {
		assert_true(end - at <= 80);
		lines++;
	}
	assert_true(lines <= 36);
}

static void status_without_cards_is_its_header(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	assert_string_equal(top_says(TOP_STATUS, &b), "DEV  STATE  PART  IMAGE  LOADED  TEMP  POWER  HOLDER\n");
}

static void status_json_is_json_with_the_keys_of_the_contract(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	json_t *o = json_loads(top_says(TOP_STATUS_JSON, &b), JSON_REJECT_DUPLICATES, NULL);

	(void)state;
	assert_non_null(o);
	assert_int_equal(json_object_size(o), 4);
	assert_true(json_is_string(json_object_get(o, "version")));
	assert_true(json_is_string(json_object_get(o, "time")));
	assert_true(json_is_array(json_object_get(o, "cards")));
	assert_true(json_is_array(json_object_get(o, "repositories")));
	json_decref(o);
}

static void a_reader_in_pieces_sees_one_state(void **state)
{
	struct place p = place_of(FILE_ERROR, -1);
	struct text *first, *second, *third;

	(void)state;
	text_copy(view.self.error, sizeof(view.self.error), "before");
	assert_int_equal(snapshot_open(&p, 4711), 0);
	first = snapshot_read(&p, 4711, 0);
	text_copy(view.self.error, sizeof(view.self.error), "after that");
	second = snapshot_read(&p, 4711, 3);
	assert_ptr_equal(first, second);
	third = snapshot_read(&p, 4711, 0); /* from the beginning: rendered again */
	assert_int_equal(third->len, 11);
	assert_memory_equal(third->bytes, "after that\n", 11);
	assert_memory_equal(first->bytes, "before\n", 7); /* whoever still has it */
	text_put(first);
	text_put(second);
	text_put(third);
	snapshot_close(4711);
}

static void an_open_of_a_dead_worker_is_rendered_anew(void **state)
{
	struct place p = place_of(FILE_NAME, -1);
	struct text *text = snapshot_read(&p, 999, 2);

	(void)state;
	assert_non_null(text);
	assert_memory_equal(text->bytes, "bench\n", 6);
	text_put(text);
	snapshot_close(999);
	snapshot_close(999); /* closing what is not known does nothing */
}

static void a_listing_survives_wild_positions(void **state)
{
	struct place p = place_of(FILE_LOADED_DIR, -1);
	struct text *listing = snapshot_read(&p, 5, 0);
	struct packed entry;
	unsigned names = 0;

	(void)state;
	assert_non_null(listing);
	for (size_t at = 0; packed_at(listing, at, &entry); at = entry.next)
		names++;
	assert_int_equal(names, loaded_names_len + 2); /* and . and .. */
	assert_true(packed_at(listing, 1, &entry));
	assert_string_equal(entry.name, ".."); /* the next whole one */
	assert_false(packed_at(listing, SIZE_MAX, &entry));
	assert_false(packed_at(listing, listing->len, &entry));
	text_put(listing);
	snapshot_close(5);
}

static int attach(void **state)
{
	struct reason why = { 0 };
	int fd = session_create();

	(void)state;
	return fd < 0 ? -1 : session_attach(fd, &why);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh_view)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_have_numbers_and_names_of_their_own),
		TEST(what_is_kept_by_the_kernel_names_its_changes),
		TEST(node_numbers_give_back_what_they_are_made_of),
		TEST(unknown_values_are_empty_files),
		TEST(values_are_one_line),
		TEST(overlong_and_cut_utf8_is_replaced),
		TEST(loaded_tells_the_image),
		TEST(size_is_that_of_the_content),
		TEST(sensors_show_their_digits),
		TEST(names_of_files_are_encoded),
		TEST(io_lists_what_is_offered_and_opens_what_could_be),
		TEST(slots_have_no_facts_of_their_own),
		TEST(the_top_is_found_by_name),
		TEST(nodes_of_no_card_do_not_exist),
		TEST(readme_is_one_screen),
		TEST(status_without_cards_is_its_header),
		TEST(status_json_is_json_with_the_keys_of_the_contract),
		TEST(a_reader_in_pieces_sees_one_state),
		TEST(an_open_of_a_dead_worker_is_rendered_anew),
		TEST(a_listing_survives_wild_positions),
	};

	return cmocka_run_group_tests(tests, attach, NULL);
}
