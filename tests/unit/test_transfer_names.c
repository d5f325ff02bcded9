// SPDX-License-Identifier: Apache-2.0
/*
 * A name that takes for ever to look up is its repository's trouble and nobody
 * else's. The name server that never answers is this test's own, in a mount
 * namespace of its own: /etc/resolv.conf leads to it there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/repo/transfer_in.h"
#include "tests/unit/http_fixture.h"

static int name_server = -1;
static bool apart; /* in a namespace of its own */

/* Where the questions go: bound, and never read. */
static int name_server_open(char address[INET_ADDRSTRLEN])
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(53) };
	uint32_t pid = (uint32_t)getpid();

	at.sin_addr.s_addr = htonl(0x7f010000u | (pid & 0xffff));
	name_server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_ntop(AF_INET, &at.sin_addr, address, INET_ADDRSTRLEN);
	return name_server < 0 ? -1 : bind(name_server, (struct sockaddr *)&at, sizeof(at));
}

static int all_start(void **state)
{
	char path[] = "/tmp/test-resolv-XXXXXX", address[INET_ADDRSTRLEN], text[64];
	struct reason why = { 0 };
	int fd, n;

	(void)state;
	if (geteuid() == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || name_server_open(address))
			return -1;
		fd = mkstemp(path);
		n = snprintf(text, sizeof(text), "nameserver %s\n", address);
		if (fd < 0 || write(fd, text, (size_t)n) != n || fchmod(fd, 0644) || close(fd) ||
		    mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) || unlink(path))
			return -1;
		apart = true;
	}
	return curl_api_load(&why) < 0 || transfer_thread_start(&why) < 0;
}

static int all_stop(void **state)
{
	(void)state;
	transfer_thread_stop();
	if (name_server >= 0)
		close(name_server);
	return 0;
}

static bool serves(const struct server_request *request)
{
	server_serve(request, "x", 1, "");
	return true;
}

/* More than once, as names are looked up by a thread each, which others must not wait for. */
static void a_name_that_hangs_holds_up_nobody(void **state)
{
	struct transfer_peer_config config = { .name = "web", .connect_timeout_ms = 200, .offline_timeout_ms = 1500 };
	struct transfer_peer *peer, *other;
	struct asker slow, fast;
	struct server server;
	struct reason why = { 0 };
	uint64_t requests, retries, received;
	unsigned answered = 0;
	bool over = false;

	(void)state;
	if (!apart) {
		print_message("needs root: a name server of its own\n");
		skip();
	}
	assert_int_equal(transfer_peer_new(&config, &peer, &why), 0);
	assert_int_equal(transfer_peer_new(&config, &other, &why), 0);
	server_start(&server, serves, NULL);
	struct transfer_request hanging = asker_request(&slow, peer, "http://a-name-that-hangs.example/");

	assert_int_equal(transfer_start(&hanging, NULL, &why), 0);
	while (!over) {
		struct transfer_request request = asker_request(&fast, other, server.url);

		asker_ask(&fast, &request);
		assert_int_equal(fast.err, 0);
		asker_free(&fast);
		answered++;
		pthread_mutex_lock(&slow.lock);
		over = slow.done;
		pthread_mutex_unlock(&slow.lock);
	}
	assert_int_equal(slow.err, EHOSTUNREACH);
	assert_true(answered > 10);
	/* The resolver takes 5 s for one question, and more tries were made in less: it was not waited for. */
	transfer_peer_cost(peer, &requests, &retries, &received);
	assert_true(requests >= 2);
	asker_free(&slow);
	server_stop(&server);
	transfer_peer_put(peer);
	transfer_peer_put(other);
}

static void who_hangs_at_a_name_is_cancelled(void **state)
{
	struct transfer_peer_config config = { .name = "web", .connect_timeout_ms = 60000, .offline_timeout_ms = 60000 };
	struct transfer_peer *peer;
	struct transfer *t;
	struct asker slow;
	struct reason why = { 0 };

	(void)state;
	if (!apart) {
		print_message("needs root: a name server of its own\n");
		skip();
	}
	assert_int_equal(transfer_peer_new(&config, &peer, &why), 0);
	struct transfer_request hanging = asker_request(&slow, peer, "http://another-that-hangs.example/");

	assert_int_equal(transfer_start(&hanging, &t, &why), 0);
	transfer_cancel(t);
	asker_wait(&slow);
	assert_int_equal(slow.err, ECANCELED);
	asker_free(&slow);
	transfer_peer_put(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_hangs_holds_up_nobody),
		cmocka_unit_test(who_hangs_at_a_name_is_cancelled),
	};

	return cmocka_run_group_tests(tests, all_start, all_stop);
}
