// SPDX-License-Identifier: Apache-2.0
/*
 * The process of a simulated card behind its socket: any sequence of messages
 * that proto_decode() lets through, above all reads and writes of io/. A record
 * is 12 bytes: type, descriptor, seq, id, arg0 (two bytes), arg1 (two), arg2 (two),
 * arg3, length of data; then the data. The first byte of an input: what is loaded
 * at the beginning (0: nothing; 1: upper; 2: regs), on an iCEstick with the bit 0x80
 * (1: its own design; 2: blink).
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/card/sim/process.h"

#include <fabricfs/clock.h>

#include "tests/fuzz/fuzz.h"

#define RECORD  12
#define RECORDS 24

static const char *const images[] = { "contrib/examples/upper/upper.bin",
				      "contrib/examples/regs/regs.bin",
				      "contrib/examples/upper-hx8k/upper-hx8k.bin",
				      "contrib/examples/README.md",
				      "contrib/examples/icestick-hello/hello.bin",
				      "contrib/examples/blink/blink.bin" };

static void send_message(struct process *p, struct proto_msg msg, int fd)
{
	uint8_t *packet = malloc(PROTO_HEADER + msg.len);
	struct reason why = { 0 };
	struct proto_msg got;

	fuzz_claim(packet);
	proto_header(&msg, packet);
	if (msg.len)
		memcpy(packet + PROTO_HEADER, msg.data, msg.len);
	if (proto_decode(packet, PROTO_HEADER + msg.len, true, fd >= 0, &got, &why)) {
		if (fd >= 0)
			close(fd);
	} else {
		int err = service_message(p, &got, fd);

		fuzz_claim(err == 0 || err == -EPROTO);
	}
	free(packet);
}

/* Everything that the process says is a message that a worker accepts. */
static void hear(struct process *p, int peer)
{
	static uint8_t packet[PROTO_MAX];

	for (;;) {
		struct reason why = { 0 };
		struct proto_msg msg;
		int fd, got = proto_receive(peer, packet, false, &msg, &fd, &why);

		if (got == -EAGAIN && p->out) {
			/* It was queued for want of room: the loop of the process would send it now. */
			struct packet *out = p->out;

			fuzz_claim(proto_send(p->conn, &out->msg, -1) == 0);
			p->out = out->next;
			if (!p->out)
				p->out_end = &p->out;
			free(out);
			continue;
		}
		if (got == -EAGAIN)
			return;
		if (got != 1)
			fprintf(stderr, "%s\n", why.text);
		fuzz_claim(got == 1);
	}
}

static void turn(struct process *p, int peer)
{
	if (p->fabric && p->board) {
		ops_run(p);
		process_news(p);
	}
	load_step(p);
	hear(p, peer);
}

static void load(struct process *p, int peer, unsigned which)
{
	int fd = open(images[which % 6], O_RDONLY | O_CLOEXEC);

	fuzz_claim(fd >= 0);
	send_message(p, (struct proto_msg){ .type = PROTO_PROGRAM, .seq = 2, .id = 1000 + which,
					    .arg = { (uint64_t)lseek(fd, 0, SEEK_END) } }, fd);
	for (unsigned i = 0; i < 1000 && p->load.fd >= 0; i++)
		turn(p, peer);
}

static void message(struct process *p, const uint8_t *r, size_t n)
{
	struct proto_msg msg = {
		.type = 1 + r[0] % (PROTO_TYPES + 1), .seq = r[2], .id = r[3],
		.arg = { r[4] | (uint64_t)r[5] << 8, r[6] | (uint64_t)r[7] << 8,
			 r[8] | (uint64_t)r[9] << 8, r[10] },
		.data = r + RECORD, .len = n,
	};
	int fd = -1;

	/* Numbers beyond two bytes: the largest, and those just around the size of an int. */
	for (unsigned i = 0; i < 4; i++)
		if (msg.arg[i] >= 0xfff0)
			msg.arg[i] = msg.arg[i] & 8 ? UINT64_MAX - (msg.arg[i] & 7)
						    : (1ull << 31) - 4 + (msg.arg[i] & 7);
	if (r[1] & 1)
		fd = open(images[r[1] >> 1 & 3], O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && r[1] & 8)
		msg.arg[0] = (uint64_t)lseek(fd, 0, SEEK_END);
	/* No waiting for a slow link: what it paces is not the matter here. */
	if (msg.type == PROTO_HELLO)
		msg.arg[0] = 0;
	send_message(p, msg, fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char stream[] = "iCE40-HX1K", icestick[] = "iCE40-HX1K\0icestick\000115200";
	static uint8_t packet[PROTO_MAX];
	struct process p = { .listen_fd = -1, .run_fd = -1, .nudge_fd = -1, .conn = -1, .load.fd = -1,
			     .condition = CARD_UNCONFIGURED, .slice = 256, .instance = 1,
			     .packet = packet, .alone_ns = clock_mono_ns() };
	int pair[2];
	bool kit = size && data[0] & 0x80, slots = size && data[0] & 0x40;

	if (!size)
		return 0;
	p.out_end = &p.out;
	p.thermal = &p.own_thermal;
	fuzz_claim(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	p.conn = pair[0];
	/* A card with slots, as its own thread sees it. */
	if (slots)
		fuzz_claim(carrier_begin(&p, 2) == 0);
	if (data[0] % 4 != 3)
		send_message(&p, (struct proto_msg){ .type = PROTO_HELLO, .seq = 1,
						     .data = (const uint8_t *)(kit ? icestick : stream),
						     .len = kit ? sizeof(icestick) - 1
								: sizeof(stream) - 1 }, -1);
	if (!slots && (data[0] % 4 == 1 || data[0] % 4 == 2))
		load(&p, pair[1], data[0] % 4 - 1u + (kit ? 4 : 0));
	data++;
	size--;
	for (unsigned i = 0; i < RECORDS && size >= RECORD && !p.ending; i++) {
		size_t n = data[11] < size - RECORD ? data[11] : size - RECORD;

		message(&p, data, n);
		turn(&p, pair[1]);
		data += RECORD + n;
		size -= RECORD + n;
	}
	if (p.board)
		ops_fail(&p, ENODEV);
	if (p.load.fd >= 0)
		load_abort(&p, ECANCELED, "the input ended");
	hear(&p, pair[1]);
	if (slots)
		carrier_end(&p);
	close(pair[0]);
	close(pair[1]);
	ledger_fini(&p.ledger);
	board_free(p.board);
	digest_free(p.link.digest);
	fabric_free(p.fabric);
	return 0;
}
