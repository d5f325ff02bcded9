// SPDX-License-Identifier: Apache-2.0
/*
 * What is asked of a device that has its configuration logic and no fabric: whether it
 * would take an image, whether it has one, what it has counted.
 *
 * It keeps no configuration memory, so that an image of 100 MB costs it none. Asked whether
 * it still has an image, it gives the image to another logic of the same part, over no link
 * that could do anything to it, and compares what the two tell of it, as devices compare their
 * readback CRC with the one that was noted when they were configured.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#include <fabricfs/buf.h>

#define CHUNK 65536

static void logic_cleanup(struct logic **l)
{
	logic_free(*l);
}
#define CLEANUP_LOGIC __attribute__((cleanup(logic_cleanup)))

/* What another device of this part makes of the image: -errno is what it reports. The caller
 * frees *out, whatever is returned. */
static int try_image(const struct process *p, uint64_t size, int fd, struct logic **out, struct reason *why)
{
	uint8_t bytes[CHUNK];
	uint64_t done = 0;
	int err = logic_new(logic_part(p->logic), out, why);

	while (!err && done < size) {
		size_t want = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
		ssize_t got = pread(fd, bytes, want, (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return reason_set(why, got < 0 ? errno : EIO, "reading the image at byte %llu of %llu",
					  (unsigned long long)done, (unsigned long long)size);
		err = logic_write(*out, bytes, (size_t)got, why);
		done += (uint64_t)got;
	}
	if (!err)
		logic_end(*out);
	return err;
}

int port_accept(const struct process *p, const struct proto_msg *msg, int fd, struct reason *why)
{
	struct logic *other CLEANUP_LOGIC = NULL;
	int err = service_image(p, msg, fd, why);
	char status[200];

	if (!err)
		err = try_image(p, msg->arg[0], fd, &other, why);
	if (err || logic_done(other))
		return err;
	logic_status(other, status, sizeof(status));
	return reason_set(why, EBADMSG, "%s would not start with it: %s", logic_part(p->logic), status);
}

static int read_back(const struct process *p, const struct proto_msg *msg, int fd, bool compare,
		     struct reason *why)
{
	struct logic *other CLEANUP_LOGIC = NULL;
	char status[200];
	int err = service_image(p, msg, fd, why);

	if (err)
		return err;
	logic_status(p->logic, status, sizeof(status));
	if (p->link.held && logic_done(p->logic))
		return reason_set(why, EIO, "DONE is low: something holds it there");
	if (!link_awake(&p->link))
		return reason_set(why, EIO, "DONE is low: %s; the configuration logic took %llu of %llu bytes",
				  status, (unsigned long long)logic_bytes(p->logic),
				  (unsigned long long)msg->arg[0]);
	if (!compare)
		return 0;
	err = try_image(p, msg->arg[0], fd, &other, why);
	if (!err && !logic_same(p->logic, other))
		err = reason_set(why, EBADMSG, "the readback CRC of the card is not that of the image: %s", status);
	return err;
}

/* The name that the image goes by from now on; anything else is none. */
static void name_take(struct process *p, const struct proto_msg *msg)
{
	const size_t digits = sizeof(p->sha256) - 1;

	p->sha256[0] = '\0';
	if (msg->len != digits)
		return;
	memcpy(p->sha256, msg->data, digits);
	p->sha256[digits] = '\0';
	if (strspn(p->sha256, "0123456789abcdef") != digits)
		p->sha256[0] = '\0';
}

int port_confirm(struct process *p, const struct proto_msg *msg, int fd, struct reason *why)
{
	bool proven = logic_proven(p->logic);
	int err = read_back(p, msg, fd, !proven, why);

	if (err) {
		p->condition = CARD_FAILED;
		text_copy(p->detail, sizeof(p->detail), "DONE is high, but it is not the image");
		return err;
	}
	name_take(p, msg);

	const char *how = logic_confirms(p->logic);

	process_send(p, &(struct proto_msg){ .type = PROTO_CONFIRM, .reply = true, .seq = msg->seq,
					     .data = (const uint8_t *)how, .len = strlen(how) });
	return 0;
}

int port_verify(const struct process *p, const struct proto_msg *msg, int fd, struct reason *why)
{
	return read_back(p, msg, fd, true, why);
}

int port_faults(struct process *p, const struct proto_msg *msg, struct reason *why)
{
	struct faults f;
	int err = faults_parse(&f, (const char *)msg->data, msg->len, why);

	if (!err)
		link_faults(&p->link, &f);
	return err;
}

void port_telemetry(struct process *p, const struct proto_msg *msg)
{
	const uint64_t stats[PROTO_LOGIC_STATS] = {
		[STAT_CONFIG_BYTES] = logic_bytes(p->logic),
		[STAT_CONFIG_FRAMES] = logic_frames(p->logic),
		[STAT_CONFIG_CHECKS] = logic_checks(p->logic),
	};

	service_reply_stats(p, msg->seq, stats, PROTO_LOGIC_STATS);
}
