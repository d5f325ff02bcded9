// SPDX-License-Identifier: Apache-2.0
/* The transfer thread: what comes as asked, what ends, and in which order. */
#include "tests/unit/transfer_fixture.h"

/* --- what comes as asked ---------------------------------------------------------- */

static void a_whole_image_comes(void **state)
{
	(void)state;
	ask(serves, 0, 0, NULL);
	assert_int_equal(asker.status, 200);
	assert_string_equal(asker.header, "last");
	got_is(0, SIZE);
}

static void a_range_comes(void **state)
{
	(void)state;
	ask(serves, 1000, 5000, "\"v1\"");
	assert_int_equal(asker.status, 206);
	got_is(1000, 5000);
}

static void a_range_ends_with_the_image(void **state)
{
	(void)state;
	ask(serves, SIZE - 10, 5000, NULL);
	got_is(SIZE - 10, 10);
}

static bool ignores_range(const struct server_request *request)
{
	struct server_request plain = *request;

	plain.ranged = false;
	server_serve(&plain, image, SIZE, "");
	return true;
}

static void an_ignored_range_is_cut_out_of_the_whole(void **state)
{
	(void)state;
	ask(ignores_range, 70000, 5000, NULL);
	assert_int_equal(atomic_load(&server.requests), 1);
	got_is(70000, 5000);
}

static bool is_empty(const struct server_request *request)
{
	server_serve(request, image, 0, "");
	return true;
}

static void a_range_of_an_empty_image_is_empty(void **state)
{
	(void)state;
	ask(is_empty, 0, 65536, NULL);
	assert_int_equal(asker.err, 0);
	assert_int_equal(asker.got.len, 0);
	assert_int_equal(asker.begins, 1);
	asker_free(&asker);
}

static void requests_in_a_row_share_a_connection(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);

	(void)state;
	server_start(&server, serves, NULL);
	for (int i = 0; i < 5; i++) {
		struct transfer_request request = asker_request(&asker, peer, server.url);

		asker_ask(&asker, &request);
		got_is(0, SIZE);
	}
	assert_int_equal(atomic_load(&server.connections), 1);
	server_stop(&server);
	transfer_peer_put(peer);
}

static void no_more_connections_than_allowed(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct asker many[20];
	struct reason why = { 0 };

	(void)state;
	server_start(&server, serves, NULL);
	for (int i = 0; i < 20; i++) {
		struct transfer_request request = asker_request(&many[i], peer, server.url);

		assert_int_equal(transfer_start(&request, NULL, &why), 0);
	}
	for (int i = 0; i < 20; i++) {
		asker_wait(&many[i]);
		asker = many[i];
		got_is(0, SIZE);
	}
	assert_true(atomic_load(&server.connections) <= CONNECTIONS);
	server_stop(&server);
	transfer_peer_put(peer);
}

/* --- when nobody is there ------------------------------------------------------------- */

static void a_port_that_nobody_has_is_unreachable(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;
	uint64_t requests, retries, received;

	(void)state;
	server_start(&server, serves, NULL);
	server_stop(&server);
	request = asker_request(&asker, peer, server.url);
	request.once = true; /* nothing was sent: a connection may be tried again */
	asker_ask(&asker, &request);
	assert_int_equal(asker.status, 0);
	transfer_peer_cost(peer, &requests, &retries, &received);
	assert_true(retries >= 1);
	assert_int_equal(requests, retries + 1);
	failed_with(EHOSTUNREACH, 0);
	transfer_peer_put(peer);
}

static void a_name_that_is_none_is_unreachable(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;

	(void)state;
	request = asker_request(&asker, peer, "http://no-such-host.invalid/");
	asker_ask(&asker, &request);
	assert_int_equal(asker.err, EHOSTUNREACH);
	asker_free(&asker);
	transfer_peer_put(peer);
}

static bool hangs(const struct server_request *request)
{
	server_stall(request);
	return false;
}

static void cancelling_ends_it(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct asker many[CONNECTIONS + 2];
	struct transfer *t[CONNECTIONS + 2];
	struct reason why = { 0 };

	(void)state;
	server_start(&server, hangs, NULL);
	for (int i = 0; i < CONNECTIONS + 2; i++) {
		struct transfer_request request = asker_request(&many[i], peer, server.url);

		assert_int_equal(transfer_start(&request, &t[i], &why), 0);
	}
	/* Those that run and those that wait. */
	for (int i = CONNECTIONS + 1; i >= 0; i--)
		transfer_cancel(t[i]);
	for (int i = 0; i < CONNECTIONS + 2; i++) {
		asker_wait(&many[i]);
		assert_int_equal(many[i].err, ECANCELED);
		asker_free(&many[i]);
	}
	server_stop(&server);
	transfer_peer_put(peer);
}

/* Comes for as long as somebody takes it. */
static bool has_no_end(const struct server_request *request)
{
	static const char some[64 * 1024] = "";
	ssize_t sent;

	server_say(request, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	do
		sent = send(request->fd, some, sizeof(some), MSG_NOSIGNAL);
	while (sent > 0);
	return false;
}

#define SLOWLY_UNDER_WAY 65536 /* bytes: the listing is being taken */
static atomic_size_t slowly_taken;
static sem_t slowly_under_way;

static int take_slowly(struct transfer *t, void *core, const void *bytes, size_t n, struct reason *why)
{
	(void)t;
	(void)core;
	(void)bytes;
	(void)why;

	size_t had = atomic_fetch_add(&slowly_taken, n);

	if (had < SLOWLY_UNDER_WAY && had + n >= SLOWLY_UNDER_WAY)
		sem_post(&slowly_under_way);
	usleep(300); /* no event is waited for: what writing down a page's images costs */
	return 0;
}

static void a_listing_that_is_slow_to_take_holds_up_nobody(void **state)
{
	struct transfer_peer *slow = peer_make(NULL, NULL, NULL), *quick = peer_make(NULL, NULL, NULL);
	struct transfer_request request;
	struct server endless;
	struct asker lister;
	struct transfer *t;
	struct reason why = { 0 };
	size_t before;

	(void)state;
	server_start(&endless, has_no_end, NULL);
	server_start(&server, serves, NULL);
	atomic_store(&slowly_taken, 0);
	assert_int_equal(sem_init(&slowly_under_way, 0, 0), 0);
	request = asker_request(&lister, slow, endless.url);
	request.data = take_slowly;
	request.body_max = UINT64_C(1) << 40;
	assert_int_equal(transfer_start(&request, &t, &why), 0);
	while (sem_wait(&slowly_under_way))
		assert_int_equal(errno, EINTR);
	before = atomic_load(&slowly_taken);
	request = asker_request(&asker, quick, server.url);
	asker_ask(&asker, &request);
	before = atomic_load(&slowly_taken) - before;
	transfer_cancel(t);
	asker_wait(&lister);
	assert_int_equal(lister.err, ECANCELED);
	asker_free(&lister);
	sem_destroy(&slowly_under_way);
	got_is(0, SIZE);
	server_stop(&server);
	server_stop(&endless);
	transfer_peer_put(slow);
	transfer_peer_put(quick);
	print_message("%zu bytes meanwhile\n", before);
	/* Of libcurl's 25 MiB at a time for each of the other's steps. */
	assert_true(before < 16 << 20);
}

static atomic_bool room_there;
static sem_t room_refused, stall_over;

static bool has_room(void *core)
{
	(void)core;
	if (!atomic_load(&room_there))
		sem_post(&room_refused);
	return atomic_load(&room_there);
}

static void refused_wait(sem_t *sem)
{
	while (sem_wait(sem))
		assert_int_equal(errno, EINTR);
}

static void over_post(void *arg)
{
	sem_post(arg);
}

static void who_has_no_room_is_given_nothing_until_there_is_some(void **state)
{
	struct transfer_peer *full = peer_make(NULL, NULL, NULL), *quick = peer_make(NULL, NULL, NULL);
	struct transfer_request request;
	struct asker lister, cancelled;
	struct transfer *t;
	struct reason why = { 0 };

	(void)state;
	server_start(&server, serves, NULL);
	atomic_store(&room_there, false);
	assert_int_equal(sem_init(&room_refused, 0, 0), 0);
	assert_int_equal(sem_init(&stall_over, 0, 0), 0);
	request = asker_request(&cancelled, full, server.url);
	request.body_max = 1 << 20;
	request.room = has_room;
	assert_int_equal(transfer_start(&request, &t, &why), 0);
	refused_wait(&room_refused);
	transfer_cancel(t);
	asker_wait(&cancelled);
	assert_int_equal(cancelled.err, ECANCELED);
	assert_int_equal(cancelled.got.len, 0);
	asker_free(&cancelled);

	request = asker_request(&lister, full, server.url);
	request.body_max = 1 << 20;
	request.room = has_room;
	assert_int_equal(transfer_start(&request, &t, &why), 0);
	refused_wait(&room_refused);
	/* Another one goes on, and the time after which it would be a stall goes by. */
	request = asker_request(&asker, quick, server.url);
	asker_ask(&asker, &request);
	got_is(0, SIZE);
	assert_int_equal(transfer_later(2500, over_post, &stall_over, &why), 0);
	refused_wait(&stall_over);
	/* Asked again, in vain. */
	transfer_resume();
	refused_wait(&room_refused);
	assert_int_equal(lister.got.len, 0);
	atomic_store(&room_there, true);
	transfer_resume();
	asker_wait(&lister);
	assert_int_equal(lister.err, 0);
	assert_int_equal(lister.begins, 1);
	assert_int_equal(lister.got.len, SIZE);
	assert_memory_equal(lister.got.data, image, SIZE);
	asker_free(&lister);
	assert_int_equal(atomic_load(&server.requests), 3);
	server_stop(&server);
	sem_destroy(&room_refused);
	sem_destroy(&stall_over);
	transfer_peer_put(full);
	transfer_peer_put(quick);
}

static bool says_too_long_a_header(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 200 OK\r\nX-Long: %0200000d\r\n\r\n", 1);
	return false;
}

static void too_long_a_header_is_the_servers_fault(void **state)
{
	(void)state;
	ask(says_too_long_a_header, 0, 0, NULL);
	failed_with(EBADMSG, 1);
}

static void stopping_ends_what_runs(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;
	struct transfer *t;
	struct reason why = { 0 };

	(void)state;
	server_start(&server, hangs, NULL);
	request = asker_request(&asker, peer, server.url);
	assert_int_equal(transfer_start(&request, &t, &why), 0);
	transfer_thread_stop();
	asker_wait(&asker);
	assert_int_equal(asker.err, ECANCELED);
	assert_int_equal(transfer_start(&request, &t, &why), -ECANCELED);
	asker_free(&asker);
	assert_int_equal(transfer_thread_start(&why), 0);
	server_stop(&server);
	transfer_peer_put(peer);
}

static void post(void *arg)
{
	struct asker *a = arg;

	pthread_mutex_lock(&a->lock);
	a->done = true;
	pthread_cond_signal(&a->ended);
	pthread_mutex_unlock(&a->lock);
}

static void later_calls_come_in_their_order(void **state)
{
	struct asker first, second;
	struct reason why = { 0 };

	(void)state;
	(void)asker_request(&first, NULL, "");
	(void)asker_request(&second, NULL, "");
	assert_int_equal(transfer_later(50, post, &second, &why), 0);
	assert_int_equal(transfer_later(0, post, &first, &why), 0);
	asker_wait(&first);
	asker_wait(&second);
	asker_free(&first);
	asker_free(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_image_comes),
		cmocka_unit_test(a_range_comes),
		cmocka_unit_test(a_range_ends_with_the_image),
		cmocka_unit_test(an_ignored_range_is_cut_out_of_the_whole),
		cmocka_unit_test(a_range_of_an_empty_image_is_empty),
		cmocka_unit_test(requests_in_a_row_share_a_connection),
		cmocka_unit_test(no_more_connections_than_allowed),
		cmocka_unit_test(a_port_that_nobody_has_is_unreachable),
		cmocka_unit_test(a_name_that_is_none_is_unreachable),
		cmocka_unit_test(cancelling_ends_it),
		cmocka_unit_test(a_listing_that_is_slow_to_take_holds_up_nobody),
		cmocka_unit_test(who_has_no_room_is_given_nothing_until_there_is_some),
		cmocka_unit_test(too_long_a_header_is_the_servers_fault),
		cmocka_unit_test(stopping_ends_what_runs),
		cmocka_unit_test(later_calls_come_in_their_order),
	};

	return cmocka_run_group_tests(tests, all_start, all_stop);
}
