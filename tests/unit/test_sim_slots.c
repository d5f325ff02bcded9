// SPDX-License-Identifier: Apache-2.0
/* A simulated card with slots behind its backend: one process, a handle and a thread for each slot. */
#include "sim_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "backend/card/sim/proto.h"

#define SLOTS 4

/* A card, and its slots as rigs of their own: what they share is the folder. */
struct carrier_rig {
	struct rig *card;
	struct rig slots[SLOTS];
};

static int setup_board(void **state, const char *board)
{
	struct carrier_rig *c = calloc(1, sizeof(*c));
	struct rig *card = rig_new(0, false);

	assert_non_null(c);
	/* It was opened as a card without slots. */
	sim_backend.close(card->card, true);
	card->config.slots = SLOTS;
	card->values[card->config.values_len++] = (struct card_value){ .key = "board", .text = board };
	rig_open(card);
	c->card = card;
	for (int i = 0; i < SLOTS; i++) {
		struct rig *slot = &c->slots[i];

		*slot = *card;
		slot->host.slot = i;
		slot->last_id = 1000u * (unsigned)(i + 1);
		slot->card = NULL;
		if (sim_backend.slot_open(&slot->config, &slot->host, &slot->card, &slot->why))
			fail_msg("slot %d: %s", i, slot->why.text);
	}
	*state = c;
	return 0;
}

static int setup(void **state)
{
	return setup_board(state, "stream");
}

static int go_boards(void **state)
{
	return setup_board(state, "go-board");
}

static int teardown(void **state)
{
	struct carrier_rig *c = *state;

	for (int i = 0; i < SLOTS; i++)
		if (c->slots[i].card)
			sim_backend.close(c->slots[i].card, true);
	/* Its folder has to be empty then: no socket of any slot is left. */
	rig_free(c->card);
	free(c);
	return 0;
}

static void one_process_serves_the_card_and_all_slots(void **state)
{
	struct carrier_rig *c = *state;
	int64_t pid = sim_pid(c->card->card);
	unsigned known = 0;

	assert_true(pid > 1);
	for (int i = 0; i < SLOTS; i++) {
		int64_t slot = sim_pid(c->slots[i].card);

		/* Who connects before the process listens again is not told its pid by the kernel. */
		assert_true(slot == pid || !slot);
		known += slot == pid;
		assert_int_equal(rig_status(&c->slots[i]).condition, CARD_UNCONFIGURED);
	}
	assert_true(known > 0);
}

static void each_slot_has_its_own_design_and_counters(void **state)
{
	static const char *const images[SLOTS] = { "upper", "regs", "upper", "blink" };
	struct carrier_rig *c = *state;
	uint16_t value = 0;
	char got[4] = "";

	for (int i = 0; i < SLOTS; i++)
		rig_program(&c->slots[i], images[i]);
	assert_int_equal(rig_tx(&c->slots[0], "one"), 3);
	rig_rx(&c->slots[0], got, 3);
	assert_string_equal(got, "ONE");
	assert_int_equal(rig_reg(&c->slots[1], false, 0, &value), 2);
	assert_int_equal(value, 0xfab1);
	assert_int_equal(sim_backend.clear(c->slots[2].card, 2, &c->slots[2].why), 0);
	assert_int_equal(rig_status(&c->slots[2]).condition, CARD_UNCONFIGURED);
	assert_int_equal(sim_backend.endpoints(c->slots[2].card, 2), 0);
	assert_true(sim_backend.endpoints(c->slots[0].card, 0) & CARD_ENDPOINT_BIT(CARD_TX));
	assert_true(rig_sensor(c->card, "slot0_bytes_in", CARD_MEASURED) == 3);
	assert_true(rig_sensor(c->card, "slot2_bytes_in", CARD_MEASURED) == 0);
	assert_true(rig_sensor(c->card, "bytes_in", CARD_MEASURED) == 3);
	assert_true(rig_sensor(c->card, "slot1_luts", CARD_DECODED) > 0);
	assert_true(rig_sensor(c->card, "model_slot3_power_watts", CARD_MODEL) > 0);
	assert_true(rig_sensor(c->card, "model_power_watts", CARD_MODEL) >
		    rig_sensor(c->card, "model_slot3_power_watts", CARD_MODEL));
}

static void the_card_itself_refuses_what_is_for_a_slot(void **state)
{
	struct carrier_rig *c = *state;
	struct rig *card = c->card;
	int fd = example_open("upper");
	struct card_run run = rig_run(card, fd, 1);

	assert_int_equal(sim_backend.accept(card->card, &run, &card->why), 0);
	assert_int_equal(sim_backend.program(card->card, &run, &card->why), -EOPNOTSUPP);
	assert_int_equal(sim_backend.confirm(card->card, &run, &card->why), -EOPNOTSUPP);
	assert_int_equal(sim_backend.clear(card->card, 0, &card->why), -EOPNOTSUPP);
	assert_int_equal(sim_backend.reset(card->card, 0, &card->why), -EOPNOTSUPP);
	assert_non_null(strstr(card->why.text, "for one of them"));
	close(fd);
	/* An image for another part is one for no slot of it. */
	fd = example_open("contrib/examples/upper-lp384/upper-lp384.bin");
	run = rig_run(card, fd, 2);
	assert_int_not_equal(sim_backend.accept(card->card, &run, &card->why), 0);
	close(fd);
	assert_int_equal(rig_tx(card, "x"), -EOPNOTSUPP);
}

/* In the package of this board no PLL is connected, in the part's usual one it is. */
static void the_card_judges_an_image_as_its_slots_do(void **state)
{
	/* The example with its PLL switched on: PLLTYPE, FEEDBACK_PATH, DIVQ, and the CRC. */
	static const struct {
		off_t at;
		uint8_t byte;
	} edits[] = { { 1482, 0x20 }, { 2104, 0x02 }, { 3349, 0x81 }, { 3432, 0x82 },
		      { 32215, 0x3e }, { 32216, 0x80 } };
	struct carrier_rig *c = *state;
	struct rig *asked[] = { c->card, &c->slots[0] };
	int example = example_open("upper"), fd = memfd_create("image", MFD_CLOEXEC);
	uint8_t bytes[40000];
	ssize_t n = read(example, bytes, sizeof(bytes));

	assert_true(n > 0);
	assert_int_equal(write(fd, bytes, (size_t)n), n);
	for (int with = 0; with < 2; with++) {
		for (size_t i = 0; with && i < sizeof(edits) / sizeof(edits[0]); i++)
			assert_int_equal(pwrite(fd, &edits[i].byte, 1, edits[i].at), 1);
		for (size_t i = 0; i < 2; i++) {
			struct card_run run = rig_run(asked[i], fd, 1 + i);
			int err = sim_backend.accept(asked[i]->card, &run, &asked[i]->why);

			assert_int_equal(err, with ? -EOPNOTSUPP : 0);
			if (with)
				assert_non_null(strstr(asked[i]->why.text, "PLL of tile 6,0, which is not "
						       "connected in package vq100"));
		}
	}
	close(example);
	close(fd);
}

static void a_slot_that_is_closed_takes_nothing_along(void **state)
{
	struct carrier_rig *c = *state;
	struct rig *slot = &c->slots[1];

	rig_program(&c->slots[0], "upper");
	rig_program(slot, "upper");
	sim_backend.close(slot->card, true);
	slot->card = NULL;
	assert_int_equal(rig_tx(&c->slots[0], "x"), 1);
	/* And is what it was when it is opened again. */
	assert_int_equal(sim_backend.slot_open(&slot->config, &slot->host, &slot->card, &slot->why), 0);
	assert_int_equal(rig_status(slot).condition, CARD_CONFIGURED);
	assert_int_equal(rig_tx(slot, "x"), 1);
}

static void *pump_until_lost(void *arg)
{
	struct rig *rig = arg;
	int64_t deadline = clock_mono_ns() + WAIT_NS;

	while (!(rig->news & CARD_NEWS_LOST) && clock_mono_ns() < deadline)
		rig_pump(rig, 1000);
	return NULL;
}

static void all_who_find_the_process_dead_at_once_find_the_same_new_one(void **state)
{
	struct carrier_rig *c = *state;

	/* Not more: what ends so soon after its start three times is given up. */
	for (int round = 0; round < 2; round++) {
		struct rig *rigs[SLOTS + 1] = { c->card };
		pthread_t threads[SLOTS + 1];
		int64_t before = sim_pid(c->card->card), now = 0;

		for (int i = 0; i < SLOTS; i++) {
			rigs[1 + i] = &c->slots[i];
			rig_program(&c->slots[i], "upper");
		}
		assert_true(before > 1);
		assert_int_equal(kill((pid_t)before, SIGKILL), 0);
		for (int i = 0; i <= SLOTS; i++) {
			rigs[i]->news = 0;
			assert_int_equal(pthread_create(&threads[i], NULL, pump_until_lost, rigs[i]), 0);
		}
		for (int i = 0; i <= SLOTS; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		for (int i = 0; i <= SLOTS; i++) {
			int64_t pid = sim_pid(rigs[i]->card);

			assert_true(rigs[i]->news & CARD_NEWS_LOST);
			assert_true(!pid || !now || pid == now);
			now = pid ? pid : now;
			if (i)
				assert_int_equal(rig_status(rigs[i]).condition, CARD_UNCONFIGURED);
		}
		assert_true(now > 1 && now != before);
		/* Its pid is known to whoever started it, and asked for anew by the others. */
		if (!sim_pid(c->card->card)) {
			sim_backend.close(c->card->card, false);
			rig_open(c->card);
		}
		assert_int_equal(sim_pid(c->card->card), now);
	}
}

static void a_fault_of_the_card_meets_the_next_configuration_of_any_slot(void **state)
{
	struct carrier_rig *c = *state;
	int fd = example_open("upper");

	assert_int_equal(sim_backend.attr_set(&c->card->config, &c->card->host, c->card->card, 1, "done-stuck",
					      "1", &c->card->why), 0);
	assert_int_equal(rig_program_fd(&c->slots[3], fd), -EIO);
	assert_int_equal(sim_backend.attr_set(&c->card->config, &c->card->host, c->card->card, 2, "done-stuck",
					      NULL, &c->card->why), 0);
	assert_int_equal(rig_program_fd(&c->slots[3], fd), 0);
	/* A number of a slot's own counts before the card's. */
	assert_int_equal(sim_backend.attr_set(&c->card->config, &c->card->host, c->card->card, 3, "bit-errors",
					      "500", &c->card->why), 0);
	assert_int_equal(sim_backend.attr_set(&c->slots[0].config, &c->slots[0].host, c->slots[0].card, 4,
					      "bit-errors", "1000000000000", &c->slots[0].why), 0);
	assert_int_equal(rig_program_fd(&c->slots[0], fd), 0);
	assert_int_not_equal(rig_program_fd(&c->slots[1], fd), 0);
	close(fd);
}

int main(int argc, char **argv)
{
	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(one_process_serves_the_card_and_all_slots),
		CLAIM(each_slot_has_its_own_design_and_counters),
		CLAIM(the_card_itself_refuses_what_is_for_a_slot),
		cmocka_unit_test_setup_teardown(the_card_judges_an_image_as_its_slots_do, go_boards,
						teardown),
		CLAIM(a_slot_that_is_closed_takes_nothing_along),
		CLAIM(all_who_find_the_process_dead_at_once_find_the_same_new_one),
		CLAIM(a_fault_of_the_card_meets_the_next_configuration_of_any_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
