// SPDX-License-Identifier: Apache-2.0
/*
 * Programming a simulated card. The run outlives its connection: a worker that
 * died is followed by one that asks for the same run, and finds it in progress
 * or done.
 */
#include <stdio.h>
#include <unistd.h>

#include "process.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>

#define CHUNK 65536
#define CHUNK_FABRIC 8192 /* it takes longer to take a byte, and messages wait for as long */
#define TELL_NS 5000000

void load_wipe(struct process *p)
{
	p->load.last_id = 0;
	p->sha256[0] = '\0';
	p->want_cycles = 0;
	p->want_until = 0;
	ops_fail(p, ESTALE);
	if (p->board) {
		service_cool(p); /* to be configured is to be reset */
		board_off(p->board);
	}
	link_reset(&p->link);
	process_news(p);
}

/* err 0: the link has carried everything. */
static void load_end(struct process *p, int err, const struct reason *why)
{
	struct load *l = &p->load;
	uint32_t seq = l->seq;

	cleanup_fd(&l->fd);
	l->fd = -1;
	l->seq = 0;
	if (link_awake(&p->link) && p->logic) {
		/* What it is called is known once it is confirmed. */
		p->condition = CARD_CONFIGURED;
		text_copy(p->detail, sizeof(p->detail), "DONE is high");
	} else if (link_awake(&p->link)) {
		p->condition = CARD_CONFIGURED;
		digest_hex(p->link.digest, p->sha256);
		text_copy(p->detail, sizeof(p->detail), "DONE is high");
		board_wake(p->board);
		p->slice = PROCESS_SLICE_FIRST;
		p->clock_ns = clock_mono_ns();
		ops_stir(p);
	} else {
		p->condition = CARD_FAILED;
		snprintf(p->detail, sizeof(p->detail), "DONE is low%s%.200s", err ? ": " : "",
			 err && why ? why->text : "");
	}
	if (!err)
		l->last_id = l->id;
	process_news(p);
	if (seq)
		process_reply(p, PROTO_PROGRAM, seq, err, why);
}

void load_abort(struct process *p, int err, const char *because)
{
	struct reason why = { 0 };

	if (p->load.fd < 0)
		return;
	link_reset(&p->link);
	reason_set(&why, err, "%s after %llu of %llu bytes; the card has no design", because,
		   (unsigned long long)p->load.done, (unsigned long long)p->load.size);
	load_end(p, -err, &why);
}

void load_begin(struct process *p, const struct proto_msg *msg, int fd)
{
	struct load *l = &p->load;

	if (l->fd >= 0 && msg->id && msg->id == l->id) {
		/* The same run, taken up again by the next worker. */
		l->seq = msg->seq;
		l->told = 0;
		cleanup_fd(&fd);
		return;
	}
	load_abort(p, ECANCELED, "another run began");
	if (msg->id && msg->id == l->last_id && link_awake(&p->link)) {
		cleanup_fd(&fd);
		process_reply(p, PROTO_PROGRAM, msg->seq, 0, NULL);
		return;
	}
	load_wipe(p);
	p->condition = CARD_FAILED; /* until it is better */
	text_copy(p->detail, sizeof(p->detail), "being programmed");
	l->fd = fd;
	l->seq = msg->seq;
	l->id = msg->id;
	l->size = msg->arg[0];
	l->done = l->told = 0;
	l->start_ns = l->told_ns = clock_mono_ns();
}

static void load_tell(struct process *p)
{
	struct load *l = &p->load;
	int64_t now = clock_mono_ns();

	/* What cannot be sent now is told by the next one; nobody looks more often than so. */
	if (!l->seq || p->out ||
	    (l->done < l->size && (l->done - l->told < l->size / 64 || now - l->told_ns < TELL_NS)))
		return;
	l->told = l->done;
	l->told_ns = now;
	process_send(p, &(struct proto_msg){ .type = PROTO_PROGRESS, .seq = l->seq,
					     .arg = { l->done } });
}

void load_step(struct process *p)
{
	struct load *l = &p->load;
	uint8_t bytes[CHUNK];
	char status[200] = "";
	struct reason why = { 0 };
	int64_t now = clock_mono_ns(), end = now + PROCESS_SLICE_NS;
	size_t chunk = p->logic ? CHUNK : CHUNK_FABRIC;
	uint64_t allowed;

	if (l->fd < 0)
		return;
	allowed = link_passed(&p->link, now - l->start_ns);
	if (allowed > l->size)
		allowed = l->size;
	while (l->done < allowed && now < end) {
		size_t n = allowed - l->done < chunk ? (size_t)(allowed - l->done) : chunk;
		ssize_t got = pread(l->fd, bytes, n, (off_t)l->done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			int err = got < 0 ? errno : EIO;

			reason_set(&why, err, "reading the image at byte %llu of %llu: %s",
				   (unsigned long long)l->done, (unsigned long long)l->size,
				   got < 0 ? "the read failed" : "it ends there");
			load_end(p, -err, &why);
			return;
		}

		int err = link_write(&p->link, bytes, (size_t)got, &why);

		l->done += (uint64_t)got;
		if (err) {
			load_end(p, err, &why);
			return;
		}
		now = clock_mono_ns();
	}
	load_tell(p);
	if (l->done < l->size)
		return;
	link_end(&p->link);
	if (p->logic && !logic_done(p->logic))
		logic_status(p->logic, status, sizeof(status));
	if (!link_done(&p->link))
		load_end(p, reason_set(&why, EIO, "all %llu bytes were sent, and DONE stayed low%s%s",
				       (unsigned long long)l->size, *status ? ": " : "", status), &why);
	else
		load_end(p, 0, NULL);
}

int64_t load_wait_ns(const struct process *p)
{
	const struct load *l = &p->load;
	uint64_t next;

	if (l->fd < 0)
		return -1;
	if (!link_hz(&p->link))
		return 0;
	/* About a millisecond of link at a time: fine progress, few wake-ups. */
	next = l->done + link_hz(&p->link) / 8000 + 1;
	if (next > l->size)
		next = l->size;

	int64_t wait = l->start_ns + link_time(&p->link, next) - clock_mono_ns();

	return wait > 0 ? wait : 0;
}
