// SPDX-License-Identifier: Apache-2.0
/* Faults as text, and on a card through the backend's table. */
#include "sim_fixture.h"

#include "backend/card/sim/faults.h"
#include "backend/card/sim/link.h"

#include <errno.h>

static int unlimited(void **state)
{
	*state = rig_new(0, false);
	return 0;
}

static int done(void **state)
{
	rig_free(*state);
	return 0;
}

static int set(struct rig *rig, const char *name, const char *value)
{
	return sim_backend.attr_set(&rig->config, &rig->host, rig->card, ++rig->last_id, name, value,
				    &rig->why);
}

/* "name=value;..." of what is set. */
static const char *listed(struct rig *rig)
{
	static char text[CARD_ATTRS_BYTES + 1];
	struct card_attrs attrs;
	bool name = true;

	assert_int_equal(sim_backend.attr_list(&rig->config, &rig->host, &attrs, &rig->why), 0);
	for (size_t i = 0; i < attrs.len; i++) {
		text[i] = attrs.text[i];
		if (!text[i]) {
			text[i] = name ? '=' : ';';
			name = !name;
		}
	}
	text[attrs.len] = '\0';
	return text;
}

/* --- as text ---------------------------------------------------------------------- */

static void every_fault_is_listed_as_it_was_set(void **state)
{
	static const char *const given[][2] = {
		{ "link-lies", "1" }, { "done-stuck", "1" }, { "unplug", "1" }, { "bit-errors", "1000000000000" },
		{ "slow", "1000000000" }, { "over-temperature", "150" },
		{ "stuck-pin", "112=0 113=1 114=0 115=1 116=0 117=1 118=0 1234567=1" },
		{ "stuck-sensor", "model_temp_celsius=149.999999 model_power_watts=0.000001" },
	};
	const size_t n = sizeof(given) / sizeof(given[0]);
	struct faults f = { 0 }, again, none = { 0 };
	struct card_attrs list, second;
	struct reason why = { 0 };
	const char *at = list.text;

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(faults_set(&f, given[i][0], given[i][1], &why), 0);
	faults_list(&f, &list);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(at, given[i][0]);
		at += strlen(at) + 1;
		assert_string_equal(at, given[i][1]);
		at += strlen(at) + 1;
	}
	assert_ptr_equal(at, list.text + list.len);
	assert_int_equal(faults_parse(&again, list.text, list.len, &why), 0);
	faults_list(&again, &second);
	assert_int_equal(second.len, list.len);
	assert_memory_equal(second.text, list.text, list.len);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(faults_set(&f, given[i][0], NULL, &why), 0);
	faults_list(&f, &list);
	assert_int_equal(list.len, 0);
	assert_int_equal(f.bit_errors + f.slow_hz + f.ambient_c + f.pins_len, none.pins_len);
	assert_memory_equal(f.sensors, none.sensors, sizeof(f.sensors));
}

static void what_is_no_fault_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[][2] = {
		{ "gremlins", "1" }, { "", "1" }, { "upset", "random" }, { "done-stuck", "yes" },
		{ "done-stuck", "" }, { "bit-errors", "1" }, { "bit-errors", "" }, { "bit-errors", "5x" },
		{ "bit-errors", "-5" }, { "bit-errors", " 5" }, { "bit-errors", "99999999999999999999999" },
		{ "slow", "999" }, { "over-temperature", "20" }, { "stuck-pin", "21" }, { "stuck-pin", "=1" },
		{ "stuck-pin", "21=2" }, { "stuck-pin", "21=11" }, { "stuck-pin", "12345678=1" },
		{ "stuck-pin", "1=0 2=0 3=0 4=0 5=0 6=0 7=0 8=0 9=0" }, { "stuck-pin", "1 2=0" },
		{ "stuck-pin", "1=0 2=1 1=1" },
		{ "stuck-sensor", "luts=1" }, { "stuck-sensor", "model_temp_celsius" },
		{ "stuck-sensor", "model_temp_celsius=" }, { "stuck-sensor", "model_temp_celsius=." },
		{ "stuck-sensor", "model_temp_celsius=1." }, { "stuck-sensor", "model_temp_celsius=.5" },
		{ "stuck-sensor", "model_temp_celsius=150.000001" }, { "stuck-sensor", "model_temp_celsius=-1" },
		{ "stuck-sensor", "model_temp_celsius=1.0000001" }, { "stuck-sensor", "model_power_watts=1e3" },
		{ "stuck-sensor", "model_temp_celsius=1 model_temp_celsius=1" },
		{ "stuck-sensor", "model_power_watts=99999999999999999999999999" },
	};
	struct card_attrs list;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct faults f = { 0 };
		struct reason why = { 0 };

		if (faults_set(&f, bad[i][0], bad[i][1], &why) != -EINVAL)
			fail_msg("%s %s was taken", bad[i][0], bad[i][1]);
		assert_int_not_equal(strlen(why.text), 0);
		faults_list(&f, &list);
		assert_int_equal(list.len, 0);
	}
}

static void a_set_that_is_cut_anywhere_is_refused(void **state)
{
	static const char text[] = "bit-errors\0" "77\0" "slow\0" "5000";
	struct reason why = { 0 };
	struct faults f;

	(void)state;
	for (size_t n = 1; n < sizeof(text); n++) {
		/* After the first pair it is whole. */
		if (n == 14)
			continue;
		/* A copy of exactly so many bytes: what is beyond them is not looked at. */
		char *cut = malloc(n);

		memcpy(cut, text, n);
		assert_int_equal(faults_parse(&f, cut, n, &why), -EINVAL);
		free(cut);
	}
	assert_int_equal(faults_parse(&f, text, sizeof(text), &why), 0);
	assert_int_equal(f.bit_errors, 77);
	assert_int_equal(f.slow_hz, 5000);
}

static void an_upset_is_a_place_or_random(void **state)
{
	static const char *const bad[] = { "", "1", "1:2", "1:2:", "1:2:3:4", "-1:2:3", "1::3", "1:2:70000",
					   "1:2:3 ", "Random", "a:b:c" };
	struct reason why = { 0 };
	struct upset u;

	(void)state;
	assert_int_equal(upset_parse(&u, "random", &why), 0);
	assert_true(u.random);
	assert_int_equal(upset_parse(&u, "3:14:159", &why), 0);
	assert_false(u.random);
	assert_int_equal(u.bank * 1000000 + u.row * 1000 + u.column, 3014159);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (upset_parse(&u, bad[i], &why) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

/* --- on a card ----------------------------------------------------------------------- */

static void bits_on_the_link_flip_as_often_as_it_says(void **state)
{
	struct rig *rig = *state;
	int fd = example_open("upper");
	unsigned failed = 0;

	/* Two errors in a hundred images' worth of bits: nearly always none. */
	assert_int_equal(set(rig, "bit-errors", "13000000"), 0);
	for (unsigned i = 0; i < 10; i++)
		failed += rig_program_fd(rig, fd) != 0;
	assert_true(failed < 5);
	/* 25 an image: always. */
	assert_int_equal(set(rig, "bit-errors", "10000"), 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(rig_program_fd(rig, fd), -EIO);
		assert_int_equal(rig_status(rig).condition, CARD_FAILED);
	}
	assert_int_equal(set(rig, "bit-errors", NULL), 0);
	assert_int_equal(rig_program_fd(rig, fd), 0);
	close(fd);
}

static void a_link_that_is_slow_takes_longer_and_no_configuration_makes_it_faster(void **state)
{
	struct link l = { .hz = 25000000 };

	(void)state;
	assert_int_equal(link_hz(&l), 25000000);
	l.slow_hz = 1000;
	assert_int_equal(link_hz(&l), 1000);
	assert_true(link_time(&l, 125) >= 1000000000);
	assert_int_equal(link_passed(&l, 1000000000 + LINK_CLEAR_NS), 125);
	l.slow_hz = 50000000;
	assert_int_equal(link_hz(&l), 25000000);
	l.hz = 0;
	assert_int_equal(link_hz(&l), 50000000);
}

static void done_stays_low_from_the_next_configuration_on(void **state)
{
	struct rig *rig = *state;
	char got[3] = "";
	int fd = example_open("upper");

	rig_program(rig, "upper");
	assert_int_equal(set(rig, "done-stuck", "true"), 0);
	assert_int_equal(rig_tx(rig, "ok"), 2);
	rig_rx(rig, got, 2);
	assert_string_equal(got, "OK");
	assert_int_equal(rig_program_fd(rig, fd), -EIO);
	assert_non_null(strstr(rig->why.text, "DONE stayed low"));
	assert_int_equal(sim_backend.endpoints(rig->card, 0), 0);
	/* Nothing runs that could be reset. */
	assert_int_equal(sim_backend.reset(rig->card, 0, &rig->why), -ENODATA);
	/* Healing the line starts nothing by itself. */
	assert_int_equal(set(rig, "done-stuck", "0"), 0);
	assert_string_equal(listed(rig), "");
	assert_int_equal(rig_status(rig).condition, CARD_FAILED);
	assert_int_equal(rig_program_fd(rig, fd), 0);
	close(fd);
}

static void an_upset_happens_once_for_a_request(void **state)
{
	struct rig *rig = *state;
	int fd = example_open("upper");
	struct card_run run = rig_run(rig, fd, 1000);

	assert_int_equal(set(rig, "upset", "0:1:2"), -ENODATA);
	rig_program(rig, "upper");
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sim_backend.attr_set(&rig->config, &rig->host, rig->card, 555, "upset",
						      "0:100:100", &rig->why), 0);
	assert_int_equal(sim_backend.verify(rig->card, &run, &rig->why), -EBADMSG);
	assert_int_equal(set(rig, "upset", "0:100:100"), 0);
	assert_int_equal(sim_backend.verify(rig->card, &run, &rig->why), 0);
	/* Wherever it is drawn, it is one bit of the memory that is read back. */
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(set(rig, "upset", "random"), 0);
		assert_int_equal(sim_backend.verify(rig->card, &run, &rig->why), -EBADMSG);
		rig_program(rig, "upper");
	}
	assert_int_equal(set(rig, "upset", "0:60000:60000"), -EINVAL);
	assert_int_equal(set(rig, "upset", NULL), -ENODATA);
	close(fd);
}

static void a_card_without_power_is_gone_and_comes_back_empty(void **state)
{
	struct rig *rig = *state;

	rig_program(rig, "upper");
	assert_int_equal(set(rig, "unplug", "1"), 0);
	while (!(rig->news & CARD_NEWS_GONE))
		assert_true(rig_pump(rig, 10000));
	/* As the core does: close, try again, set attributes without a card. */
	sim_backend.close(rig->card, false);
	rig->card = NULL;
	assert_int_equal(sim_backend.open(&rig->config, &rig->host, &rig->card, &rig->facts, &rig->why),
			 -ENODEV);
	assert_non_null(strstr(rig->why.text, "unplugged"));
	assert_int_equal(set(rig, "over-temperature", "90"), 0);
	assert_int_equal(set(rig, "upset", "random"), -ENODEV);
	assert_string_equal(listed(rig), "unplug=1;over-temperature=90;");
	assert_int_equal(set(rig, "unplug", NULL), 0);
	rig_open(rig);
	assert_int_equal(rig_status(rig).condition, CARD_UNCONFIGURED);
	assert_true(rig_sensor(rig, "model_temp_celsius", CARD_MODEL) > 89);
	rig_program(rig, "upper");
	assert_int_equal(rig_tx(rig, "x"), 1);
}

static void a_worker_that_takes_over_finds_the_faults_and_a_new_start_does_not(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(set(rig, "slow", "2000000"), 0);
	sim_backend.close(rig->card, false);
	rig_open(rig);
	assert_string_equal(listed(rig), "slow=2000000;");
	sim_backend.close(rig->card, false);
	rig->host.fresh = true;
	rig_open(rig);
	rig->host.fresh = false;
	assert_string_equal(listed(rig), "");
}

static void a_pin_that_is_stuck_is_stuck_for_both_sides(void **state)
{
	struct rig *rig = *state;
	uint16_t value = 0;
	char got[3] = "";

	rig_program(rig, "regs");
	assert_int_equal(set(rig, "stuck-pin", "67=0"), 0);
	assert_int_equal(rig_reg(rig, false, 0, &value), -ETIMEDOUT);
	assert_int_equal(set(rig, "stuck-pin", "145=1"), -EINVAL);
	assert_string_equal(listed(rig), "stuck-pin=67=0;");
	rig_program(rig, "upper");
	assert_int_equal(set(rig, "stuck-pin", "113=1"), 0); /* bit 1 of what goes in */
	assert_int_equal(rig_tx(rig, "a"), 1);
	rig_rx(rig, got, 1);
	assert_string_equal(got, "C");
	/* Without its clock it says that it is ready, and takes nothing. */
	assert_int_equal(set(rig, "stuck-pin", "21=1"), 0);
	assert_int_equal(rig_tx(rig, "lost"), 4);
	assert_int_equal(io_do(rig, io_make(rig, CARD_RX, false, got, 2)), 0);
	assert_int_equal(set(rig, "stuck-pin", NULL), 0);
	assert_int_equal(rig_tx(rig, "a"), 1);
	rig_rx(rig, got, 1);
	assert_string_equal(got, "A");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault_is_listed_as_it_was_set),
		cmocka_unit_test(what_is_no_fault_is_refused_and_changes_nothing),
		cmocka_unit_test(a_set_that_is_cut_anywhere_is_refused),
		cmocka_unit_test(an_upset_is_a_place_or_random),
#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, done)
		T(bits_on_the_link_flip_as_often_as_it_says, unlimited),
		cmocka_unit_test(a_link_that_is_slow_takes_longer_and_no_configuration_makes_it_faster),
		T(done_stays_low_from_the_next_configuration_on, unlimited),
		T(an_upset_happens_once_for_a_request, unlimited),
		T(a_card_without_power_is_gone_and_comes_back_empty, unlimited),
		T(a_worker_that_takes_over_finds_the_faults_and_a_new_start_does_not, unlimited),
		T(a_pin_that_is_stuck_is_stuck_for_both_sides, unlimited),
#undef T
	};

	if (strcmp(argv[0], SIM_CARD_NAME) == 0)
		return sim_card_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
