// SPDX-License-Identifier: Apache-2.0
/*
 * Messages on the socket between worker and simulated card, in both directions.
 * The first byte says which, and whether a descriptor came along; the rest is a
 * packet. What is accepted can be written again, to the same bytes.
 */
#include "backend/card/sim/proto.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t header[PROTO_HEADER];
	struct reason why = { 0 };
	struct proto_msg msg;
	uint8_t *packet;
	int err;

	if (!size)
		return 0;
	packet = malloc(size); /* one more than the packet: no malloc(0) */
	fuzz_claim(packet);
	memcpy(packet, data + 1, size - 1);
	err = proto_decode(packet, size - 1, data[0] & 1, data[0] & 2, &msg, &why);
	fuzz_claim(err == 0 || (err == -EPROTO && why.text[0]));
	if (!err) {
		fuzz_claim(msg.type > 0 && msg.type < PROTO_TYPES);
		fuzz_claim(msg.len == size - 1 - PROTO_HEADER && msg.data == packet + PROTO_HEADER);
		fuzz_claim(msg.err >= 0 && msg.err <= 4095 && (msg.reply || !msg.err));
		/* What the receivers have room for. */
		fuzz_claim(msg.reply || msg.type != PROTO_HELLO || msg.len <= PROTO_HELLO_DATA);
		fuzz_claim(!msg.err || msg.len <= 1024);
		fuzz_claim(msg.type == PROTO_IO || msg.len <= 1024);
		proto_header(&msg, header);
		fuzz_claim(memcmp(header, packet, PROTO_HEADER) == 0);
	}
	free(packet);
	return 0;
}
