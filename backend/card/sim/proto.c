// SPDX-License-Identifier: Apache-2.0
/* Messages between worker and simulated card (proto.h): their shape on the socket. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto.h"

#include <fabricfs/buf.h>
#include <fabricfs/card.h>

/* Largest data of a message in each direction, and whether a descriptor belongs to it. */
static const struct {
	const char *name;
	bool to_card, from_card; /* as a request or event; as a reply or event */
	bool event, fd;
	size_t data, reply_data;
} kinds[PROTO_TYPES] = {
	[PROTO_HELLO] = { "hello", .to_card = true, .from_card = true, .data = PROTO_HELLO_DATA },
	[PROTO_STATUS] = { "status", .to_card = true, .from_card = true, .reply_data = 64 + 256 },
	[PROTO_ACCEPT] = { "accept", .to_card = true, .from_card = true, .fd = true },
	[PROTO_PROGRAM] = { "program", .to_card = true, .from_card = true, .fd = true },
	[PROTO_CONFIRM] = { "confirm", .to_card = true, .from_card = true, .fd = true, .data = 64,
			    .reply_data = 128 },
	[PROTO_VERIFY] = { "verify", .to_card = true, .from_card = true, .fd = true },
	[PROTO_CLEAR] = { "clear", .to_card = true, .from_card = true },
	[PROTO_RESET] = { "reset", .to_card = true, .from_card = true },
	[PROTO_TELEMETRY] = { "telemetry", .to_card = true, .from_card = true,
			      .reply_data = 8 * PROTO_STATS * (1 + SIM_SLOTS_MAX) },
	[PROTO_IO] = { "io", .to_card = true, .from_card = true, .data = PROTO_DATA,
		       .reply_data = PROTO_DATA },
	[PROTO_CANCEL] = { "cancel", .to_card = true },
	[PROTO_QUIT] = { "quit", .to_card = true },
	[PROTO_FAULTS] = { "faults", .to_card = true, .from_card = true, .data = CARD_ATTRS_BYTES },
	[PROTO_UPSET] = { "upset", .to_card = true, .from_card = true },
	[PROTO_NEWS] = { "news", .from_card = true, .event = true },
	[PROTO_PROGRESS] = { "progress", .from_card = true, .event = true },
};

int proto_decode(const uint8_t *packet, size_t n, bool to_card, bool has_fd, struct proto_msg *msg,
		 struct reason *why)
{
	if (n < PROTO_HEADER || n > PROTO_MAX)
		return reason_set(why, EPROTO, "a message of %zu bytes came, one has %d to %d", n,
				  PROTO_HEADER, PROTO_MAX);

	unsigned version = (unsigned)proto_get(packet, 2);
	unsigned type = (unsigned)proto_get(packet + 2, 2);
	uint32_t err = (uint32_t)proto_get(packet + 16, 4);
	uint32_t len = (uint32_t)proto_get(packet + 20, 4);
	bool reply = type & PROTO_REPLY;

	type &= ~(unsigned)PROTO_REPLY;
	if (version != PROTO_VERSION)
		return reason_set(why, EPROTO, "the other side speaks version %u, this one %d",
				  version, PROTO_VERSION);
	if (type == 0 || type >= PROTO_TYPES ||
	    !(to_card ? kinds[type].to_card && !reply
		      : kinds[type].from_card && reply != kinds[type].event))
		return reason_set(why, EPROTO, "message type %u%s does not exist in this direction",
				  type, reply ? " (reply)" : "");
	if (len != n - PROTO_HEADER)
		return reason_set(why, EPROTO, "a %s message says %u bytes of data and has %zu",
				  kinds[type].name, len, n - PROTO_HEADER);
	if (err && (!reply || err > 4095))
		return reason_set(why, EPROTO, "a %s message with errno %u", kinds[type].name, err);

	size_t most = err ? REASON_MAX : reply ? kinds[type].reply_data : kinds[type].data;

	if (len > most)
		return reason_set(why, EPROTO, "a %s message with %u bytes of data, %zu are allowed",
				  kinds[type].name, len, most);
	if (has_fd != (to_card && kinds[type].fd))
		return reason_set(why, EPROTO, "a %s message %s a descriptor", kinds[type].name,
				  has_fd ? "with" : "without");

	*msg = (struct proto_msg){
		.type = type,
		.reply = reply,
		.seq = (uint32_t)proto_get(packet + 4, 4),
		.id = proto_get(packet + 8, 8),
		.err = (int)err,
		.data = packet + PROTO_HEADER,
		.len = len,
	};
	for (unsigned i = 0; i < 4; i++)
		msg->arg[i] = proto_get(packet + 24 + 8 * i, 8);
	return 0;
}

void proto_header(const struct proto_msg *msg, uint8_t header[PROTO_HEADER])
{
	proto_put(header, 2, PROTO_VERSION);
	proto_put(header + 2, 2, msg->type | (msg->reply ? PROTO_REPLY : 0));
	proto_put(header + 4, 4, msg->seq);
	proto_put(header + 8, 8, msg->id);
	proto_put(header + 16, 4, (uint64_t)msg->err);
	proto_put(header + 20, 4, msg->len);
	for (unsigned i = 0; i < 4; i++)
		proto_put(header + 24 + 8 * i, 8, msg->arg[i]);
}

int proto_send(int sock, const struct proto_msg *msg, int fd)
{
	uint8_t header[PROTO_HEADER];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov[2] = {
		{ header, sizeof(header) },
		{ (void *)(uintptr_t)msg->data, msg->len },
	};
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = msg->len ? 2 : 1 };

	proto_header(msg, header);
	if (fd >= 0) {
		mh.msg_control = control.room;
		mh.msg_controllen = sizeof(control.room);

		struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);

		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	}
	for (;;) {
		ssize_t n = sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			return 0;
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	}
}

int proto_receive(int sock, uint8_t *packet, bool to_card, struct proto_msg *msg, int *fd,
		  struct reason *why)
{
	/* Room for a few descriptors, so that none is left over unseen by a sender that gives many. */
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { packet, PROTO_MAX };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
			     .msg_controllen = sizeof(control.room) };
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int got;

			memcpy(&got, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
			if (*fd < 0)
				*fd = got;
			else
				close(got);
		}
	}
	if (n == 0) {
		cleanup_fd(fd);
		*fd = -1;
		return 0;
	}

	int err = (mh.msg_flags & MSG_TRUNC)
			  ? reason_set(why, EPROTO, "a message of more than %d bytes came", PROTO_MAX)
			  : proto_decode(packet, (size_t)n, to_card, *fd >= 0, msg, why);

	if (err) {
		cleanup_fd(fd);
		*fd = -1;
		return err;
	}
	return 1;
}
