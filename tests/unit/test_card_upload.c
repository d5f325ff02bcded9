// SPDX-License-Identifier: Apache-2.0
/* Uploads: who may write, what is read again, and what a request gets that comes again. */
#include "tests/unit/card_fixture.h"

static void another_writer_is_refused_while_one_has_bytes(void **arg)
{
	struct who who = { .uid = 1000 };
	struct reason why = { 0 };
	struct upload *a, *b;
	uint64_t ino = node_make(NODE_CARD, 0, -1, FILE_IMAGE);
	bool fresh;

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &a, &why), 0);
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &b, &why), 0);
	assert_int_equal(upload_write(a, image[0], 100, 0, &fresh, &why), 100);
	assert_int_equal(upload_write(b, image[0], 100, 0, &fresh, &why), -EBUSY);
	upload_drop(b);
	upload_put(b);
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &b, &why),
			 -EBUSY);
	assert_int_equal(upload_stop(&card->self, false, &(struct who){ .uid = 4 }, "no"), -EPERM);
	assert_int_equal(upload_stop(&card->self, false, &who, "the test ends it"), 0);
	assert_int_equal(upload_write(a, image[0], 100, 100, &fresh, &why), -ECANCELED);
	upload_drop(a);
	upload_put(a);
	assert_int_equal(copy(0), 0);
}

static void a_judged_upload_is_taken_up_from_its_spool_or_its_blob(void **arg)
{
	struct who who = { .uid = 0 };
	struct reason why = { 0 };
	struct upload *u;
	struct barrier b = BARRIER;
	uint64_t ino = node_make(NODE_CARD, 0, -1, FILE_IMAGE), fh;
	bool fresh;

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &u, &why), 0);
	assert_int_equal(upload_write(u, image[0], 3000, 0, &fresh, &why), 3000);
	fh = u->fh;
	upload_put(u);
	/* the worker dies here: its handles and spool stay */
	card_down();
	card_up(false);
	settle();
	u = upload_find(&card->self, fh);
	assert_non_null(u);
	assert_int_equal(upload_write(u, image[0] + 3000, image_len[0] - 3000, 3000, &fresh, &why),
			 (int)image_len[0] - 3000);
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &b);
	assert_int_equal(barrier_wait(&b), 0);
	upload_drop(u);
	upload_put(u);
	assert_int_equal(state_now(), STATE_CONFIGURED);
}

static void the_memory_of_a_dropped_upload_is_not_given_away_while_somebody_looks_at_it(void **arg)
{
	struct who who = { .uid = 1000 };
	struct reason why = { 0 };
	struct upload *a, *b;
	uint64_t ino = node_make(NODE_CARD, 0, -1, FILE_IMAGE);

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &a, &why), 0);
	upload_drop(a); /* closed, and a is a job's reference that is left */
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &b, &why), 0);
	assert_ptr_not_equal(a->saved, b->saved);
	assert_null(saved_find(a->fh));
	upload_put(a);
	upload_drop(b);
	upload_put(b);
}

static void a_copy_by_reference_is_checked_with_the_bytes_it_refers_to(void **arg)
{
	const struct card_view *v;
	struct reason why = { 0 };
	struct upload *u;
	bool fresh;

	(void)arg;
	assert_int_equal(copy(0), 0);
	for (int temp = 0; temp < 2; temp++) {
		u = upload_begin(temp ? ".x" : NULL, !temp);
		v = card_view_get(card);
		assert_int_equal(upload_reference(u, v->self.loaded.sha256, v->self.loaded.size,
						  &v->self.loaded_facts, "dev1", &fresh, &why), 0);
		card_view_put(v);
		fake.accept_size = 0;
		assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
		assert_int_equal(fake.accept_size, image_len[0]);
		upload_finish(u);
	}
}

static void a_rename_that_failed_can_be_tried_again(void **arg)
{
	char sha[SHA256_HEX];
	struct upload *u;

	(void)arg;
	u = upload_begin(".x", false);
	upload_fill(u, 0);
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
	fake.fail_at = "program";
	assert_int_equal(judge(u, JUDGE_RENAME, next_run++), EIO);
	fake.fail_at = NULL;
	assert_int_equal(judge(u, JUDGE_RENAME, next_run++), 0);
	upload_finish(u);
	assert_true(loaded_now(sha));
	assert_string_equal(sha, fake.has);
}

static void an_emptied_temporary_is_no_image(void **arg)
{
	struct reason why = { 0 };
	struct upload *u;

	(void)arg;
	u = upload_begin(".x", false);
	upload_fill(u, 0);
	assert_int_equal(upload_truncate(u, 0, &why), 0);
	assert_int_equal(judge(u, JUDGE_RENAME, next_run++), EBADMSG);
	upload_finish(u);
}

static void the_answer_is_noted_before_the_bytes_are_thrown_away(void **arg)
{
	struct upload *u;
	uint64_t value;
	int err = 0;

	(void)arg;
	u = upload_begin(NULL, false);
	upload_fill(u, 0);
	fake.fail_at = "confirm";
	assert_int_equal(judge(u, JUDGE_FLUSH, session_id() + 4242), EIO);
	/* upload_judge() itself has noted it: done() here does not */
	assert_true(journal_find(4242, &err, &value));
	assert_int_equal(err, EIO);
	upload_finish(u);
}

static void nobody_waits_for_a_card_that_is_being_programmed(void **arg)
{
	struct barrier b = BARRIER;
	struct reason why = { 0 };
	struct upload *u;
	char byte;
	bool fresh;

	(void)arg;
	u = upload_begin(NULL, false);
	upload_fill(u, 0);
	fake.hold = true;
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &b);
	fake_wait(&fake.holding, true);
	/* all of these would hang here */
	assert_int_equal(upload_write(u, "x", 1, 0, &fresh, &why), -EINPROGRESS);
	assert_int_equal(upload_read(u, &byte, 1, 0), -EINPROGRESS);
	assert_int_equal(upload_truncate(u, 0, &why), -EBUSY);
	upload_drop(u);
	fake_set(&fake.hold, false);
	assert_int_equal(barrier_wait(&b), 0);
	assert_int_equal(state_now(), STATE_CONFIGURED);
	upload_put(u);
	assert_int_equal(copy(1), 0);
}

static void an_append_that_comes_again_goes_to_the_same_place(void **arg)
{
	struct who who = { .uid = 1000 };
	struct reason why = { 0 };
	struct upload *u;
	bool fresh;

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_APPEND,
				     node_make(NODE_CARD, 0, -1, FILE_IMAGE), &who, NULL, &u, &why), 0);
	request_set(&(struct request){ .unique = 70 });
	assert_int_equal(upload_write(u, image[0], 1000, 0, &fresh, &why), 1000);
	request_set(&(struct request){ .unique = 72 });
	assert_int_equal(upload_write(u, image[0] + 1000, 1000, 1000, &fresh, &why), 1000);
	request_set(&(struct request){ .unique = 72, .resent = true });
	assert_int_equal(upload_write(u, image[0] + 1000, 1000, 1000, &fresh, &why), 1000);
	request_set(&(struct request){ .unique = 74 });
	assert_int_equal(upload_size(u), 2000);
	assert_int_equal(upload_write(u, image[0] + 2000, image_len[0] - 2000, 2000, &fresh, &why),
			 (int)image_len[0] - 2000);
	request_set(NULL);
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
	upload_finish(u);
}

static void a_refused_write_that_comes_again_gets_the_same_errno(void **arg)
{
	static const char junk[5000];
	struct reason why = { 0 };
	char error[REASON_MAX];
	struct upload *u;
	bool fresh;
	uint64_t fh;

	(void)arg;
	u = upload_begin(NULL, false);
	fh = u->fh;
	assert_int_equal(upload_write(u, junk, sizeof(junk), 0, &fresh, &why), -ENOEXEC);
	assert_true(fresh);
	upload_put(u);
	/* the worker dies before it has noted anything of it */
	card_down();
	card_up(false);
	settle();
	u = upload_find(&card->self, fh);
	assert_non_null(u);
	request_set(&(struct request){ .unique = 70, .resent = true });
	assert_int_equal(upload_write(u, junk, sizeof(junk), 0, &fresh, &why), -ENOEXEC);
	request_set(NULL);
	assert_true(fresh);
	assert_int_equal(judge(u, JUDGE_REFUSAL, 0), ENOEXEC);
	error_now(error);
	assert_non_null(strstr(error, "refused"));
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0); /* told once */
	upload_finish(u);
}

static void an_open_that_comes_again_finds_what_it_made(void **arg)
{
	struct upload *u, *again;

	(void)arg;
	request_set(&(struct request){ .unique = 70 });
	u = upload_begin(".x", false);
	assert_null(upload_made_before(&card->self));
	request_set(&(struct request){ .unique = 70, .resent = true });
	again = upload_made_before(&card->self);
	assert_ptr_equal(again, u);
	upload_put(again);
	request_set(&(struct request){ .unique = 72, .resent = true });
	assert_null(upload_made_before(&card->self));
	request_set(NULL);
	upload_finish(u);
}

static void bytes_with_two_closes_are_programmed_once_whichever_comes_again_first(void **arg)
{
	struct barrier first = BARRIER;
	struct saved_handle *saved, then;
	struct upload *u = upload_begin(NULL, false);
	uint64_t fh = u->fh;
	const char *program;

	(void)arg;
	upload_fill(u, 0);
	saved = u->saved;
	fake_set(&fake.hold, true);
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &first);
	fake_wait(&fake.holding, true);
	then = *saved;
	fake_set(&fake.hold, false);
	assert_int_equal(barrier_wait(&first), 0);
	upload_put(u);
	card_down();
	/* The worker died when the card had it, and the store knew, but not yet the session. */
	*saved = then;
	card_up(false);
	settle();
	u = upload_find(&card->self, fh);
	assert_non_null(u);
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
	upload_finish(u);
	program = strstr(fake.calls, "program");
	assert_non_null(program);
	assert_null(strstr(program + 1, "program"));
	/* And the same bytes on another open are another run. */
	assert_int_equal(copy(0), 0);
	assert_non_null(strstr(program + 1, "program"));
}

static unsigned records_of(const char *event)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	unsigned n = 0;

	history_now(&b);
	for (const char *p = b.data; (p = strstr(p, event)); p++)
		n++;
	return n;
}

static void a_refused_check_that_comes_again_is_told_once(void **arg)
{
	struct request again = { .unique = 77, .resent = true };
	struct upload *u = upload_begin(NULL, true), *temp = upload_begin(".x.tmp", false);
	uint64_t run = session_id() + again.unique;
	struct reason why = { 0 };
	bool fresh;

	(void)arg;
	assert_int_equal(upload_write(u, image[0], 3000, 0, &fresh, &why), 3000);
	assert_int_equal(upload_write(temp, image[0], 3000, 0, &fresh, &why), 3000);
	assert_int_equal(judge(u, JUDGE_FLUSH, run), EBADMSG);
	assert_int_equal(judge(temp, JUDGE_FLUSH, run + 1), EBADMSG);
	assert_int_equal(records_of("\"checked\""), 1);
	assert_int_equal(records_of("\"image-refused\""), 1);
	/* The worker died after the record and before anything else. */
	upload_bits_change(u, 0, UPLOAD_JUDGED);
	upload_bits_change(temp, 0, UPLOAD_JUDGED);
	request_set(&again);
	assert_int_equal(judge(u, JUDGE_FLUSH, run), EBADMSG);
	assert_int_equal(judge(temp, JUDGE_FLUSH, run + 1), EBADMSG);
	request_set(NULL);
	assert_int_equal(records_of("\"checked\""), 1);
	assert_int_equal(records_of("\"image-refused\""), 1);
	/* Another close is another one. */
	upload_bits_change(u, 0, UPLOAD_JUDGED);
	assert_int_equal(judge(u, JUDGE_FLUSH, run + 2), EBADMSG);
	assert_int_equal(records_of("\"checked\""), 2);
	upload_finish(u);
	upload_finish(temp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(another_writer_is_refused_while_one_has_bytes),
		CLAIM(a_judged_upload_is_taken_up_from_its_spool_or_its_blob),
		CLAIM(the_memory_of_a_dropped_upload_is_not_given_away_while_somebody_looks_at_it),
		CLAIM(a_copy_by_reference_is_checked_with_the_bytes_it_refers_to),
		CLAIM(a_rename_that_failed_can_be_tried_again),
		CLAIM(an_emptied_temporary_is_no_image),
		CLAIM(the_answer_is_noted_before_the_bytes_are_thrown_away),
		CLAIM(nobody_waits_for_a_card_that_is_being_programmed),
		CLAIM(an_append_that_comes_again_goes_to_the_same_place),
		CLAIM(a_refused_write_that_comes_again_gets_the_same_errno),
		CLAIM(an_open_that_comes_again_finds_what_it_made),
		CLAIM(bytes_with_two_closes_are_programmed_once_whichever_comes_again_first),
		CLAIM(a_refused_check_that_comes_again_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
