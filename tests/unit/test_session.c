// SPDX-License-Identifier: Apache-2.0
/* What one mount remembers across the deaths of its workers (fs/daemon/session.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/daemon/container.h"
#include "fs/daemon/session.h"
#include "fs/daemon/session_fd.h"

static int memfd = -1;

static int session_new(void **state)
{
	struct reason why = { 0 };

	(void)state;
	memfd = session_create();
	return memfd < 0 || session_attach(memfd, &why) ? -1 : 0;
}

static int session_end(void **state)
{
	(void)state;
	close(memfd);
	return 0;
}

static void reattach(void)
{
	struct reason why = { 0 };

	assert_int_equal(session_attach(memfd, &why), 0);
}

/* --- the journal ------------------------------------------------------------------ */

static void request_not_done_is_not_found(void **state)
{
	int err;
	uint64_t value;

	(void)state;
	assert_false(journal_find(42, &err, &value));
	/* The empty journal is full of zeros. */
	assert_false(journal_find(0, &err, &value));
}

static void request_done_is_found_by_the_successor_with_its_answer(void **state)
{
	int err = 0;
	uint64_t value = 0;

	(void)state;
	journal_done(42, ENOSPC, 4096);
	journal_done(44, 0, UINT64_C(0xfedcba9876543210));
	reattach();
	assert_true(journal_find(42, &err, &value));
	assert_int_equal(err, ENOSPC);
	assert_int_equal(value, 4096);
	assert_true(journal_find(44 | FUSE_RESENT_BIT, &err, &value));
	assert_int_equal(err, 0);
	assert_true(value == UINT64_C(0xfedcba9876543210));
	assert_false(journal_find(46, &err, &value));
	assert_true(journal_find(42, NULL, NULL));
}

static void later_answer_to_one_request_counts(void **state)
{
	int err;
	uint64_t value;

	(void)state;
	journal_done(42, EIO, 1);
	journal_done(42, 0, 2);
	assert_true(journal_find(42, &err, &value));
	assert_int_equal(err, 0);
	assert_int_equal(value, 2);
}

static void entry_lives_through_four_thousand_later_ones_and_then_goes(void **state)
{
	int err;
	uint64_t value;

	(void)state;
	journal_done(2, EIO, 7);
	/* Unique ids far apart and near: none may push it out early. */
	for (uint64_t i = 1; i < 4096; i++)
		journal_done(2 + i * 8192, 0, 0);
	assert_true(journal_find(2, &err, &value));
	assert_int_equal(value, 7);
	journal_done(3, 0, 0);
	assert_false(journal_find(2, &err, &value));
	assert_true(journal_find(3, &err, &value));
}

/* Where the bytes of `unique` are in the shared memory, as a kill might leave them. */
static uint64_t *find_word(uint64_t unique, size_t *words)
{
	off_t size = lseek(memfd, 0, SEEK_END);
	uint64_t *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	*words = (size_t)size / sizeof(*p);
	for (size_t i = 0; i < *words; i++)
		if (p[i] == unique)
			return &p[i];
	fail_msg("the entry is not in the memory");
	return NULL;
}

static void torn_entry_is_not_believed(void **state)
{
	const uint64_t unique = UINT64_C(0x1122334455667788);
	size_t words;
	int err;
	uint64_t value;

	(void)state;
	journal_done(unique, 0, 99);
	uint64_t *entry = find_word(unique, &words);

	/* The words behind unique: value, ticket, err and check. */
	for (int i = 1; i <= 3; i++) {
		uint64_t was = entry[i];

		entry[i] = was ^ 0x100;
		assert_false(journal_find(unique, &err, &value));
		entry[i] = was;
		assert_true(journal_find(unique, &err, &value));
	}
	entry[0] = 0; /* killed before the last store */
	assert_false(journal_find(unique, &err, &value));
}

static void *journal_writer(void *arg)
{
	uint64_t base = *(uint64_t *)arg;

	for (uint64_t i = 0; i < 20000; i++)
		journal_done(base + i, (int)(i % 100), (base + i) * 3);
	return NULL;
}

static void threads_that_lap_the_ring_leave_only_whole_entries(void **state)
{
	pthread_t threads[4];
	uint64_t bases[4] = { 1000000, 2000000, 3000000, 4000000 };
	unsigned found = 0;

	(void)state;
	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, journal_writer, &bases[t]), 0);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	for (int t = 0; t < 4; t++)
		for (uint64_t i = 19000; i < 20000; i++) {
			int err;
			uint64_t value;

			if (!journal_find(bases[t] + i, &err, &value))
				continue;
			found++;
			assert_int_equal(err, (int)(i % 100));
			assert_true(value == (bases[t] + i) * 3);
		}
	assert_true(found > 500);
}

/* --- handles ------------------------------------------------------------------------ */

static int count_one(struct saved_handle *h, void *arg)
{
	(void)h;
	++*(unsigned *)arg;
	return 0;
}

static int stop_at_once(struct saved_handle *h, void *arg)
{
	(void)h;
	++*(unsigned *)arg;
	return -7;
}

static unsigned handles(void)
{
	unsigned n = 0;

	saved_each(count_one, &n);
	return n;
}

static void handle_is_there_for_the_successor_once_it_is_published(void **state)
{
	uint64_t fh, unpublished;
	struct saved_handle *h = saved_new(SAVED_UPLOAD, &fh);

	(void)state;
	assert_non_null(h);
	assert_null(saved_find(fh));
	h->ino = 77;
	atomic_store(&h->upload.size, 1234);
	memcpy(h->upload.source, "dev3", 5);
	saved_publish(h, fh);
	assert_non_null(saved_new(SAVED_READER, &unpublished));

	reattach();
	struct saved_handle *again = saved_find(fh);

	assert_non_null(again);
	assert_int_equal(again->kind, SAVED_UPLOAD);
	assert_int_equal(again->ino, 77);
	assert_int_equal(again->upload.size, 1234);
	assert_string_equal(again->upload.source, "dev3");
	assert_null(saved_find(unpublished));
	assert_int_equal(handles(), 1);
}

static void dropped_handle_is_gone_and_its_number_stays_unknown(void **state)
{
	uint64_t fh, next;
	struct saved_handle *h = saved_new(SAVED_IO, &fh);

	(void)state;
	saved_publish(h, fh);
	saved_drop(h);
	assert_null(saved_find(fh));
	assert_int_equal(handles(), 0);

	struct saved_handle *reused = saved_new(SAVED_IO, &next);

	assert_ptr_equal(reused, h);
	assert_true(next != fh);
	saved_publish(reused, next);
	assert_null(saved_find(fh));
	assert_ptr_equal(saved_find(next), reused);
}

static void reused_place_begins_empty(void **state)
{
	uint64_t fh;
	struct saved_handle *h = saved_new(SAVED_UPLOAD, &fh);

	(void)state;
	atomic_store(&h->upload.bits, UPLOAD_POISONED);
	saved_publish(h, fh);
	saved_drop(h);
	h = saved_new(SAVED_UPLOAD, &fh);
	assert_int_equal(atomic_load(&h->upload.bits), 0);
	assert_int_equal(h->ino, 0);
}

static void full_table_says_so_and_works_on_after_one_went(void **state)
{
	struct saved_handle *h, *some = NULL;
	uint64_t fh, n = 0;

	(void)state;
	while ((h = saved_new(SAVED_FOLLOW, &fh))) {
		saved_publish(h, fh);
		if (++n == 1000)
			some = h;
	}
	assert_int_equal(n, 8191);
	assert_int_equal(handles(), 8191);
	saved_drop(some);
	assert_ptr_equal(saved_new(SAVED_FOLLOW, &fh), some);
	saved_publish(some, fh);
	assert_null(saved_new(SAVED_FOLLOW, &fh));
}

static void walk_stops_when_asked(void **state)
{
	uint64_t fh;
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct saved_handle *h = saved_new(SAVED_WATCH, &fh);

		saved_publish(h, fh);
	}
	assert_int_equal(saved_each(stop_at_once, &n), -7);
	assert_int_equal(n, 1);
}

static void wrong_numbers_find_nothing(void **state)
{
	(void)state;
	assert_null(saved_find(0));
	assert_null(saved_find(1));
	assert_null(saved_find(UINT64_MAX));
	assert_null(saved_find(8191));
}

static void numbers_are_never_given_twice_nor_are_they_handles(void **state)
{
	uint64_t last = 0, fh;

	(void)state;
	for (int i = 0; i < 100; i++) {
		uint64_t n = session_number();
		struct saved_handle *h = saved_new(SAVED_WATCH, &fh);

		assert_non_null(h);
		saved_publish(h, fh);
		assert_true(n > last);
		assert_true(fh != n);
		assert_null(saved_find(n));
		last = n;
		if (i == 50)
			reattach();
	}
}

/* --- the rest ------------------------------------------------------------------------ */

static void worker_killed_at_any_moment_leaves_a_session_that_can_be_used(void **state)
{
	(void)state;
	for (int round = 0; round < 30; round++) {
		int sync[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync), 0);
		pid_t pid = fork();

		if (!pid) {
			uint64_t fh;
			struct reason why;

			if (session_attach(memfd, &why) || write(sync[1], "x", 1) != 1)
				_exit(1);
			for (uint64_t i = 1;; i++) {
				struct saved_handle *h = saved_new(SAVED_READER, &fh);

				if (h) {
					h->reader.size = fh ^ UINT64_C(0x5555);
					h->ino = fh;
					saved_publish(h, fh);
				}
				journal_done(i, (int)(i & 63), i * 5);
				if (h)
					saved_drop(h);
			}
		}
		char c;

		assert_int_equal(read(sync[0], &c, 1), 1);
		usleep((useconds_t)(round * 37)); /* another moment of its work each time */
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(sync[0]);
		close(sync[1]);

		reattach();
		for (uint64_t i = 1; i < 5000; i++) {
			int err;
			uint64_t value;

			if (journal_find(i, &err, &value)) {
				assert_int_equal(err, (int)(i & 63));
				assert_true(value == i * 5);
			}
			if (i > 64 && i % 97)
				i += 31;
		}
		uint64_t fh;
		struct saved_handle *h = saved_new(SAVED_READER, &fh);

		assert_non_null(h);
		saved_drop(h);
		/* At most the one that it had just published. */
		assert_true(handles() <= 1 + (unsigned)round);
	}
}

static void init_is_kept_with_its_answer_unknown_until_told(void **state)
{
	uint8_t request[104], got[SESSION_INIT_MAX], large[SESSION_INIT_MAX + 1] = { 0 };

	(void)state;
	assert_int_equal(session_init_load(got, sizeof(got)), 0);
	memset(request, 0xa5, sizeof(request));
	session_init_save(request, sizeof(request));
	assert_false(session_init_was_answered());
	session_init_answered();
	reattach();
	assert_int_equal(session_init_load(got, sizeof(got)), sizeof(request));
	assert_memory_equal(got, request, sizeof(request));
	assert_true(session_init_was_answered());
	assert_int_equal(session_init_load(got, 10), 0);
	session_init_save(large, sizeof(large)); /* does not fit: not saved in part */
	assert_int_equal(session_init_load(got, sizeof(got)), sizeof(request));
}

static void file_of_another_size_or_version_is_refused_with_a_sentence(void **state)
{
	struct reason why = { 0 };
	int other = memfd_create("other", MFD_CLOEXEC);
	uint32_t version = 9999;

	(void)state;
	assert_int_equal(ftruncate(other, 100), 0);
	assert_int_equal(session_attach(other, &why), -EPROTO);
	assert_non_null(strstr(why.text, "100 bytes"));
	close(other);

	other = session_create();
	assert_true(other >= 0);
	assert_int_equal(pwrite(other, &version, sizeof(version), 8), sizeof(version));
	assert_int_equal(session_attach(other, &why), -EPROTO);
	assert_non_null(strstr(why.text, "9999"));
	close(other);
}

static void each_mount_has_its_own_id_which_its_workers_share(void **state)
{
	uint64_t id = session_id();

	(void)state;
	reattach();
	assert_true(session_id() == id);
	close(memfd);
	assert_int_equal(session_new(NULL), 0);
	assert_true(session_id() != id);
}

static void resent_requests_are_counted_by_opcode_across_workers(void **state)
{
	(void)state;
	session_count_resent(FUSE_FLUSH);
	session_count_resent(FUSE_FLUSH);
	session_count_resent(FUSE_READ);
	session_count_resent(UINT32_MAX); /* hostile or future: no crash */
	reattach();
	assert_int_equal(session_resent(FUSE_FLUSH), 2);
	assert_int_equal(session_resent(FUSE_READ), 1);
	assert_int_equal(session_resent(FUSE_WRITE), 0);
	assert_int_equal(session_resent(UINT32_MAX), 0);
}

static void *request_of_thread(void *arg)
{
	struct request r = { .unique = 9 };

	request_set(&r);
	*(uint64_t *)arg = request_current()->unique;
	return NULL;
}

static void current_request_belongs_to_its_thread(void **state)
{
	struct request r = { .unique = 5, .resent = true, .opcode = FUSE_WRITE };
	uint64_t other = 0;
	pthread_t t;

	(void)state;
	request_set(&r);
	assert_int_equal(pthread_create(&t, NULL, request_of_thread, &other), 0);
	pthread_join(t, NULL);
	assert_int_equal(other, 9);
	assert_int_equal(request_current()->unique, 5);
	assert_true(request_current()->resent);
	request_set(NULL);
	assert_int_equal(request_current()->unique, 0);
}

static void notifications_have_the_kernels_form(void **state)
{
	int pair[2];
	struct {
		struct fuse_out_header out;
		union {
			struct fuse_notify_poll_wakeup_out poll;
			struct fuse_notify_inval_inode_out inode;
		};
	} m;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	session_set_fd(pair[0]);
	session_notify_poll(77);
	assert_int_equal(recv(pair[1], &m, sizeof(m), 0), 24);
	assert_int_equal(m.out.len, 24);
	assert_int_equal(m.out.unique, 0);
	assert_int_equal(m.out.error, FUSE_NOTIFY_POLL);
	assert_int_equal(m.poll.kh, 77);
	session_notify_inode(12);
	assert_int_equal(recv(pair[1], &m, sizeof(m), 0), 40);
	assert_int_equal(m.out.len, 40);
	assert_int_equal(m.out.error, FUSE_NOTIFY_INVAL_INODE);
	assert_int_equal(m.inode.ino, 12);
	assert_true(m.inode.off < 0); /* attributes only: pages would have to be locked */
	session_set_fd(-1);
	session_notify_poll(1); /* goes nowhere */
	assert_int_equal(recv(pair[1], &m, sizeof(m), MSG_DONTWAIT), -1);
	close(pair[0]);
	close(pair[1]);
}

/* --- who ------------------------------------------------------------------------------ */

static void own_process_is_known_by_name_and_start(void **state)
{
	struct who who;
	char comm[32] = "";
	FILE *f = fopen("/proc/self/comm", "re");

	(void)state;
	assert_non_null(f);
	assert_non_null(fgets(comm, sizeof(comm), f));
	fclose(f);
	comm[strcspn(comm, "\n")] = '\0';
	who_is(&who, 0, 0, getpid());
	assert_string_equal(who.user, "root");
	assert_string_equal(who.command, comm);
	assert_true(who.start_ticks > 0);
	assert_int_equal(who.pid, getpid());
	/* Our own namespaces are the host's, as far as we can tell. */
	assert_null(strstr(who.container, "ns:"));
}

static void process_that_is_gone_leaves_only_what_the_kernel_said(void **state)
{
	struct who who;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	who_is(&who, 54321, 99, pid);
	assert_int_equal(who.uid, 54321);
	assert_int_equal(who.gid, 99);
	assert_string_equal(who.user, "");
	assert_string_equal(who.command, "");
	assert_int_equal(who.start_ticks, 0);
	who_is(&who, 0, 0, 0); /* a pid that our namespace cannot show */
	assert_string_equal(who.command, "");
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void containers_are_told_by_any_line_of_the_cgroup(void **state)
{
	static const struct {
		const char *text, *container;
	} cases[] = {
		{ "0::/\n", "" },
		{ "", "" },
		{ "no colons at all\n", "" },
		{ "0::/user.slice/user-1000.slice/session-2.scope\n", "" },
		{ "0::/system.slice/docker-" ID ".scope\n", "docker:0123456789ab" },
		{ "12:pids:/docker/" ID "\n0::/\n", "docker:0123456789ab" },
		{ "3:cpu:/\n1:name=systemd:/docker/" ID "/init.scope\n0::/\n", "docker:0123456789ab" },
		{ "0::/machine.slice/libpod-" ID ".scope/container\n", "podman:0123456789ab" },
		{ "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_3.slice/"
		  "cri-containerd-" ID ".scope\n", "kubernetes:0123456789ab" },
		{ "0::/kubepods/besteffort/pod1234/" ID "\n", "kubernetes:0123456789ab" },
		{ "0::/kubepods.slice/crio-" ID ".scope\n", "kubernetes:0123456789ab" },
		{ "0::/lxc.payload.web1\n", "lxc:web1" },
		{ "0::/lxc/web2\n", "lxc:web2" },
		{ "0::/machine.slice/machine-deb\\x2d12.scope/payload\n", "machine:deb\\x2d12" },
		{ "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n", "job:4711" },
		{ "5:devices:/slurm/uid_1000/job_12\n0::/\n", "job:12" },
		/* Names that only look like it. */
		{ "0::/system.slice/docker-proxy.scope\n", "" },
		{ "0::/system.slice/docker.service\n", "" },
		{ "0::/lxcfs/x\n", "" },
		{ "0::/job_x\n", "" },
		{ "0::/system.slice/docker-.scope\n", "" },
	};
	char out[96];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		container_of_cgroup(cases[i].text, out, sizeof(out));
		if (strcmp(out, cases[i].container))
			fail_msg("%s gives '%s', wanted '%s'", cases[i].text, out, cases[i].container);
	}
}

static void hostile_cgroup_names_are_cut_and_hold_no_control_bytes(void **state)
{
	char text[4096], out[96];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "0::/lxc/", 8);
	text[sizeof(text) - 1] = '\0';
	container_of_cgroup(text, out, sizeof(out));
	assert_int_equal(strlen(out), 84);
	container_of_cgroup("0::/lxc/we\x1b[31mb\n", out, sizeof(out));
	assert_string_equal(out, "");
	container_of_cgroup("0::/lxc/we b uid=0\n", out, sizeof(out));
	assert_string_equal(out, "");
}

#define with_session(f) cmocka_unit_test_setup_teardown(f, session_new, session_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_session(request_not_done_is_not_found),
		with_session(request_done_is_found_by_the_successor_with_its_answer),
		with_session(later_answer_to_one_request_counts),
		with_session(entry_lives_through_four_thousand_later_ones_and_then_goes),
		with_session(torn_entry_is_not_believed),
		with_session(threads_that_lap_the_ring_leave_only_whole_entries),
		with_session(handle_is_there_for_the_successor_once_it_is_published),
		with_session(dropped_handle_is_gone_and_its_number_stays_unknown),
		with_session(reused_place_begins_empty),
		with_session(full_table_says_so_and_works_on_after_one_went),
		with_session(walk_stops_when_asked),
		with_session(wrong_numbers_find_nothing),
		with_session(numbers_are_never_given_twice_nor_are_they_handles),
		with_session(worker_killed_at_any_moment_leaves_a_session_that_can_be_used),
		with_session(init_is_kept_with_its_answer_unknown_until_told),
		with_session(file_of_another_size_or_version_is_refused_with_a_sentence),
		with_session(each_mount_has_its_own_id_which_its_workers_share),
		with_session(resent_requests_are_counted_by_opcode_across_workers),
		with_session(current_request_belongs_to_its_thread),
		with_session(notifications_have_the_kernels_form),
		with_session(own_process_is_known_by_name_and_start),
		with_session(process_that_is_gone_leaves_only_what_the_kernel_said),
		cmocka_unit_test(containers_are_told_by_any_line_of_the_cgroup),
		cmocka_unit_test(hostile_cgroup_names_are_cut_and_hold_no_control_bytes),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
