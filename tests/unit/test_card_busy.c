// SPDX-License-Identifier: Apache-2.0
/* Who is at a card: named to those who are refused, and waited for when he is about to go. */
#include "tests/unit/card_fixture.h"

#include "fs/card/busy.h"

static bool named(const char *words)
{
	struct reason busy;

	return card_busy(card, -1, &busy) && strstr(busy.text, words);
}

static int open_another(bool check)
{
	struct who who = { .uid = 1001, .pid = 8, .command = "dd" };
	struct reason why = { 0 };
	struct upload *u;
	int err = upload_open(&card->self, check, O_WRONLY | O_TRUNC,
			      node_make(NODE_CARD, 0, -1, check ? FILE_CHECK : FILE_IMAGE), &who, NULL, &u, &why);

	if (!err)
		upload_finish(u);
	return err;
}

static void who_uploads_is_named_once_another_was_refused_and_until_he_goes(void **arg)
{
	struct upload *u = upload_begin(NULL, false);
	int64_t before;

	(void)arg;
	upload_fill(u, 0);
	assert_false(named(""));
	before = card_busy_ns(card, -1);
	assert_int_equal(open_another(false), -EBUSY);
	assert_true(named("cp (pid 7, user al) is uploading an image to it"));
	assert_true(card_busy_ns(card, -1) > before);
	before = card_busy_ns(card, -1);
	assert_int_equal(open_another(false), -EBUSY);
	assert_int_equal(card_busy_ns(card, -1), before);
	upload_finish(u);
	assert_false(named(""));
	assert_true(card_busy_ns(card, -1) > before);
	assert_int_equal(open_another(false), 0);
}

static void who_checks_keeps_nobody_from_programming(void **arg)
{
	struct upload *u = upload_begin(NULL, true);

	(void)arg;
	upload_fill(u, 0);
	assert_int_equal(open_another(false), 0);
	assert_int_equal(open_another(true), -EBUSY);
	assert_true(named("is having an image checked"));
	upload_finish(u);
	assert_false(named(""));
}

static void who_programs_and_who_commands_are_named(void **arg)
{
	struct barrier run = BARRIER, word = BARRIER;
	struct who who = { .uid = 5, .pid = 9, .command = "bash" };
	struct reason why = { 0 };
	struct upload *u = upload_begin(NULL, false);

	(void)arg;
	upload_fill(u, 0);
	fake_set(&fake.hold, true);
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &run);
	fake_wait(&fake.holding, true);
	assert_int_equal(command_may_open(&card->self, &why), -EBUSY);
	assert_true(named("cp (pid 7, user al) is programming it"));
	fake_set(&fake.hold, false);
	assert_int_equal(barrier_wait(&run), 0);
	upload_finish(u);
	assert_false(named(""));

	fake_set(&fake.hold, true);
	assert_int_equal(command_post(&card->self, "reload", 6, &who, next_run++, barrier_done, &word, &why), 0);
	fake_wait(&fake.holding, true);
	assert_int_equal(open_another(false), -EBUSY);
	assert_true(named("carrying out a command of bash (pid 9, uid 5)"));
	assert_int_equal(command("reset"), EBUSY);
	fake_set(&fake.hold, false);
	assert_int_equal(barrier_wait(&word), 0);
	settle(); /* the answer comes before the end of the job */
	assert_false(named(""));
}

/* --- waiting --------------------------------------------------------------------------- */

struct waiter {
	struct slot_wait wait;
	int called;
	bool last;
};

static void waiter_again(struct slot_wait *wait, bool last)
{
	struct waiter *w = (struct waiter *)wait;

	w->called++;
	w->last = last;
}

static void a_writer_who_is_about_to_go_is_waited_for(void **arg)
{
	struct waiter w = { .wait.again = waiter_again }, v = w;
	struct upload *u = upload_begin(NULL, false);
	struct reason why = { 0 };
	bool fresh;

	(void)arg;
	assert_int_equal(upload_write(u, image[0], 3000, 0, &fresh, &why), 3000);
	/* He has not closed: there is nothing to wait for. */
	assert_false(slot_wait(&card->self, &w.wait));
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), EBADMSG);
	assert_true(slot_wait(&card->self, &w.wait));
	assert_true(slot_wait(&card->self, &v.wait));
	cards_tick();
	assert_int_equal(w.called + v.called, 0);
	upload_finish(u);
	cards_tick();
	assert_int_equal(w.called, 1);
	assert_int_equal(v.called, 1);
	assert_false(w.last || v.last);
}

static void nobody_waits_for_ever(void **arg)
{
	struct waiter w = { .wait.again = waiter_again }, v = w;
	struct upload *u = upload_begin(NULL, false);
	struct reason why = { 0 };
	bool fresh;

	(void)arg;
	assert_int_equal(upload_write(u, image[0], 3000, 0, &fresh, &why), 3000);
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), EBADMSG);
	assert_true(slot_wait(&card->self, &w.wait));
	assert_true(slot_waits_end(card, w.wait.deadline_ns - 1, false) == 1);
	assert_int_equal(w.called, 0);
	assert_true(slot_waits_end(card, w.wait.deadline_ns, false) < 0);
	assert_true(w.called == 1 && w.last);
	/* Nor does the end of fabricfs leave anybody without an answer. */
	assert_true(slot_wait(&card->self, &v.wait));
	card_down();
	assert_true(v.called == 1 && v.last);
	card_up(true);
	upload_put(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(who_uploads_is_named_once_another_was_refused_and_until_he_goes),
		CLAIM(who_checks_keeps_nobody_from_programming),
		CLAIM(who_programs_and_who_commands_are_named),
		CLAIM(a_writer_who_is_about_to_go_is_waited_for),
		CLAIM(nobody_waits_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
