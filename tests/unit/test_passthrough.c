// SPDX-License-Identifier: Apache-2.0
/* Which images the kernel may read by itself (fs/daemon/passthrough.h, backings.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/daemon/backings.h"
#include "fs/daemon/link.h"
#include "fs/daemon/passthrough.h"
#include "fs/daemon/session.h"

static int memfd = -1, pair[2] = { -1, -1 }, file = -1;
static struct fuse_session *se;

/* As a worker that begins, or takes over. */
static void link_new(void)
{
	struct reason why = { 0 };

	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(session_attach(memfd, &why), 0);
	passthrough_link(pair[0]);
}

static int begin(void **state)
{
	static const struct fuse_lowlevel_ops ops;
	char name[] = "t", *argv[] = { name, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct link_keep keep;

	(void)state;
	request_set(NULL);
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	fuse_opt_free_args(&args);
	memfd = session_create();
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (!se || memfd < 0 || file < 0 || passthrough_attach(se, open("/dev/null", O_RDWR | O_CLOEXEC), true))
		return -1;
	link_new();
	/* Of nothing that is open. */
	return recv(pair[1], &keep, sizeof(keep), 0) != sizeof(keep) || keep.word != LINK_KEEP || keep.len;
}

static int end(void **state)
{
	(void)state;
	passthrough_link(-1);
	close(pair[0]);
	close(pair[1]);
	pair[0] = pair[1] = -1;
	fuse_session_destroy(se);
	close(file);
	return close(memfd);
}

static uint64_t ticket; /* of what was asked last */

/* What the holder was asked: the word, 0 = nothing. */
static uint8_t asked(uint64_t *content)
{
	struct link_backing message = { 0 };
	ssize_t n = recv(pair[1], &message, sizeof(message), MSG_DONTWAIT);

	*content = message.content;
	ticket = message.ticket;
	return n == sizeof(message) ? message.word : 0;
}

static void assert_asked(uint8_t word, uint64_t content)
{
	uint64_t is;

	assert_int_equal(asked(&is), word);
	assert_int_equal(is, content);
}

static void tell_of(uint64_t asked, uint64_t content, int32_t id)
{
	struct link_backing told = { .word = LINK_BACKED, .content = content, .id = id, .ticket = asked };

	passthrough_told(&told, sizeof(told));
}

static void tell(uint64_t content, int32_t id)
{
	tell_of(ticket, content, id);
}

static void number_it(uint64_t content, int32_t id)
{
	passthrough_want(content, file);
	assert_asked(LINK_BACK, content);
	tell(content, id);
}

static uint64_t open_it(uint64_t ino, uint64_t content, int32_t backing)
{
	struct open_image image = { .ino = ino, .content = content, .backing = 4711 };
	uint64_t fh = passthrough_open(&image, true);

	assert_int_not_equal(fh, 0);
	assert_int_equal(image.backing, backing);
	return fh;
}

static void a_number_is_asked_for_once(void **state)
{
	uint64_t first;

	(void)state;
	passthrough_want(1, file);
	passthrough_want(1, file);
	assert_asked(LINK_BACK, 1);
	first = ticket;
	assert_asked(0, 0);
	opens_drop(open_it(10, 1, 0));
	tell_of(first, 1, 5);
	passthrough_want(1, file);
	assert_asked(0, 0);
	opens_drop(open_it(10, 1, 5));
	/* By another name. */
	opens_drop(open_it(11, 1, 5));
	opens_drop(open_it(12, 2, 0));
}

static void all_opens_of_a_node_are_read_in_the_same_way(void **state)
{
	struct open_image early = { .ino = 10, .content = 1 };
	uint64_t first = passthrough_open(&early, false), second;

	(void)state;
	assert_int_equal(early.backing, 0);
	number_it(1, 5);
	second = open_it(10, 1, 0);
	/* Another node is another matter. */
	opens_drop(open_it(11, 1, 5));
	opens_drop(first);
	opens_drop(open_it(10, 1, 0));
	opens_drop(second);
	first = open_it(10, 1, 5);
	second = open_it(10, 1, 5);
	opens_drop(first);
	passthrough_drop(1);
	assert_asked(0, 0);
	opens_drop(open_it(10, 1, 5));
	opens_drop(second);
	passthrough_drop(1);
	assert_asked(LINK_UNBACK, 1);
	opens_drop(open_it(10, 1, 0));
}

/* The holder was slow; meanwhile it was dropped, and asked for again. */
static void the_answer_to_what_was_dropped_since_is_no_number(void **state)
{
	uint64_t first;

	(void)state;
	passthrough_want(1, file);
	assert_asked(LINK_BACK, 1);
	first = ticket;
	passthrough_drop(1);
	assert_asked(LINK_UNBACK, 1);
	tell_of(first, 1, 5);
	opens_drop(open_it(10, 1, 0));
	passthrough_want(1, file);
	assert_asked(LINK_BACK, 1);
	tell_of(first, 1, 5);
	opens_drop(open_it(10, 1, 0));
	tell(1, 6);
	opens_drop(open_it(10, 1, 6));
	tell_of(first, 1, -ENOSPC);
	opens_drop(open_it(10, 1, 6));
}

static void the_bytes_of_another_content_are_given_to_nobody(void **state)
{
	struct open_image other = { .ino = 10, .content = 2 };
	uint64_t fh;

	(void)state;
	number_it(1, 5);
	fh = open_it(10, 1, 5);
	assert_int_equal(passthrough_open(&other, false), 0);
	assert_int_equal(other.content, 1);
	opens_drop(open_it(10, 1, 5));
	opens_drop(fh);
	other.content = 2;
	fh = passthrough_open(&other, false);
	assert_int_equal(opens_content(fh), 2);
	assert_int_equal(other.backing, 0);
	opens_drop(fh);
}

static void the_number_that_was_not_used_for_longest_makes_place(void **state)
{
	uint64_t held;

	(void)state;
	for (int i = 1; i <= LINK_BACKINGS; i++)
		number_it((uint64_t)i, i);
	held = open_it(1001, 1, 1);
	opens_drop(open_it(1002, 2, 2));
	passthrough_want(100, file);
	assert_asked(LINK_UNBACK, 3);
	assert_asked(LINK_BACK, 100);
	tell(100, 100);
	opens_drop(open_it(1100, 100, 100));
	opens_drop(open_it(1003, 3, 0));
	opens_drop(held);
	for (uint64_t i = 0; i < 2 * LINK_BACKINGS; i++) {
		uint64_t content;

		held = open_it(1001, 1, 1);
		passthrough_want(200 + i, file);
		assert_int_equal(asked(&content), LINK_UNBACK);
		assert_int_not_equal(content, 1);
		assert_asked(LINK_BACK, 200 + i);
		tell(200 + i, 200);
		opens_drop(held);
	}
	opens_drop(open_it(1001, 1, 1));
}

static void a_worker_that_takes_over_keeps_what_is_open(void **state)
{
	struct link_keep keep = { 0 };
	uint64_t fh;

	(void)state;
	number_it(1, 5);
	number_it(2, 6);
	number_it(3, 7);
	fh = open_it(10, 1, 5);
	opens_drop(open_it(20, 2, 6));
	open_it(30, 3, 7);
	link_new();
	assert_int_equal(recv(pair[1], &keep, sizeof(keep), 0), sizeof(keep));
	assert_int_equal(keep.word, LINK_KEEP);
	assert_int_equal(keep.len, 2);
	assert_int_equal(keep.content[0] + keep.content[1], 4);
	opens_drop(open_it(10, 1, 5));
	opens_drop(open_it(20, 2, 0));
	opens_drop(fh);
	passthrough_drop(1);
	assert_asked(LINK_UNBACK, 1);
}

static void where_it_cannot_be_it_is_asked_for_no_more(void **state)
{
	(void)state;
	number_it(1, -ENOSPC);
	opens_drop(open_it(10, 1, 0));
	number_it(1, -EPERM);
	opens_drop(open_it(10, 1, 0));
	passthrough_want(2, file);
	assert_asked(0, 0);
	/* Without a holder neither. */
	link_new();
	passthrough_link(-1);
	passthrough_want(2, file);
	opens_drop(open_it(20, 2, 0));
}

static void the_holder_takes_only_messages_that_are_whole(void **state)
{
	struct link_backing one = { .word = LINK_BACK, .content = 9 }, answer;
	struct link_keep keep = { .word = LINK_KEEP, .len = UINT32_MAX };

	(void)state;
	assert_false(backings_message(file, pair[1], "r", 1, -1));
	assert_false(backings_message(file, pair[1], &one, sizeof(one) - 1, file));
	assert_false(backings_message(file, pair[1], &one, 0, file));
	one.word = LINK_FAILED;
	assert_false(backings_message(file, pair[1], &one, sizeof(one), file));
	one.word = LINK_UNBACK;
	assert_true(backings_message(file, pair[1], &one, sizeof(one), -1));
	/* It has none, which is what was wanted. */
	assert_int_equal(recv(pair[0], &answer, sizeof(answer), 0), sizeof(answer));
	assert_int_equal(answer.word, LINK_UNBACK);
	assert_int_equal(answer.content, 9);
	one.content = 0;
	assert_false(backings_message(file, pair[1], &one, sizeof(one), -1));
	assert_true(backings_message(file, pair[1], &keep, sizeof(keep), -1));
	/* No connection: the error comes back, and is kept for nobody. */
	one = (struct link_backing){ .word = LINK_BACK, .content = 9 };
	for (int i = 0; i < 2 * LINK_BACKINGS; i++) {
		assert_true(backings_message(file, pair[1], &one, sizeof(one), file));
		assert_int_equal(recv(pair[0], &answer, sizeof(answer), 0), sizeof(answer));
		assert_int_equal(answer.word, LINK_BACKED);
		assert_int_equal(answer.content, one.content);
		assert_int_equal(answer.id, -ENOTTY);
		one.content++;
	}
}

static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A worker has fewer rights than the holder. */
static void the_holder_numbers_only_what_the_worker_can_read(void **state)
{
	struct link_backing one = { .word = LINK_BACK, .content = 9, .ticket = 7 }, answer;
	int fds[] = { open("/proc/self/exe", O_PATH | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC) };

	(void)state;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		assert_true(fds[i] >= 0);
		assert_true(backings_message(file, pair[1], &one, sizeof(one), fds[i]));
		assert_int_equal(recv(pair[0], &answer, sizeof(answer), 0), sizeof(answer));
		assert_int_equal(answer.word, LINK_BACKED);
		assert_int_equal(answer.ticket, 7);
		assert_int_equal(answer.id, -EACCES);
		close(fds[i]);
	}
}

static void a_message_brings_one_descriptor_or_none(void **state)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	char word = 'x', got;
	struct iovec iov = { &word, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	struct cmsghdr *c = (struct cmsghdr *)control.bytes;
	unsigned before = descriptors();
	int fd;

	(void)state;
	for (unsigned n = 1; n <= 8; n++) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		for (unsigned i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &file, sizeof(file));
		assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
		assert_int_equal(link_receive(pair[1], &got, 1, &fd), 1);
		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		close(fd);
		assert_int_equal(descriptors(), before);
	}
	assert_true(link_send(pair[0], &word, 1, -1));
	assert_int_equal(link_receive(pair[1], &got, 1, &fd), 1);
	assert_int_equal(fd, -1);
	assert_int_equal(link_receive(pair[1], &got, 1, &fd), -1);
	assert_int_equal(errno, EAGAIN);
	assert_false(link_send(-1, &word, 1, -1));
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_number_is_asked_for_once),
		CLAIM(all_opens_of_a_node_are_read_in_the_same_way),
		CLAIM(the_answer_to_what_was_dropped_since_is_no_number),
		CLAIM(the_bytes_of_another_content_are_given_to_nobody),
		CLAIM(the_number_that_was_not_used_for_longest_makes_place),
		CLAIM(a_worker_that_takes_over_keeps_what_is_open),
		CLAIM(where_it_cannot_be_it_is_asked_for_no_more),
		CLAIM(the_holder_takes_only_messages_that_are_whole),
		CLAIM(the_holder_numbers_only_what_the_worker_can_read),
		CLAIM(a_message_brings_one_descriptor_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
