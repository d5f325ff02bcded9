// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration logic of Intel Cyclone IV E, Cyclone 10 LP, Cyclone V and Stratix V, as far
 * as anything is known of it in public: how a configuration begins.
 *
 * The device compares that beginning, by which the two generations tell each other's images
 * apart; nSTATUS goes low if it is another one. Of what follows nothing is known that could be
 * simulated: where the part is, where the length, and over which bytes a frame's CRC goes.
 * So it is taken as it comes, an image cut short and one for another size of the same family
 * included, and CONF_DONE rises when no more bytes come. That what came is what was sent
 * is known by a sum over it, which is not the device's own.
 *
 * Source: images of Quartus for 10CL006, 10CL010, EP4CE6, 5CEA2 and a Stratix V.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "logic_kind.h"

#include <fabricfs/crc.h>

struct cyclone {
	struct logic logic;
	uint8_t rest[4], rest_len; /* bytes that do not make a word yet */
	uint64_t at;
	bool low, ended;
	uint32_t crc;
};

/* How it begins: so many bytes of ff, and these. */
struct front {
	unsigned ones, len;
	uint8_t then[8];
};

static const struct front front_4 = { 32, 8, { 0x6a, 0xf7, 0xf7, 0xf7, 0xf7, 0xf7, 0xf7, 0xf3 } };
static const struct front front_5 = { 128, 4, { 0x6a, 0x6a, 0x6a, 0x6a } };

static struct cyclone *cyclone_of(struct logic *l)
{
	return (struct cyclone *)l;
}

static const struct cyclone *cyclone_of_const(const struct logic *l)
{
	return (const struct cyclone *)l;
}

static const struct front *front_of(const struct logic *l)
{
	const char *family = l->row->family;

	return strncmp(family, "Cyclone V", 9) && strncmp(family, "Stratix V", 9) ? &front_4 : &front_5;
}

static unsigned front_bytes(const struct logic *l)
{
	return front_of(l)->ones + front_of(l)->len;
}

/* What the byte at this place of the beginning has to be. */
static uint8_t front_byte(const struct logic *l, uint64_t at)
{
	const struct front *f = front_of(l);

	return at < f->ones ? 0xff : f->then[(at - f->ones) % sizeof(f->then)];
}

static void sum_up(struct cyclone *c, const uint8_t *b, size_t n)
{
	while (n && c->rest_len) {
		c->rest[c->rest_len++] = *b++;
		n--;
		if (c->rest_len == sizeof(c->rest)) {
			c->crc = crc37_update(c->crc, c->rest, 1, false, 0);
			c->rest_len = 0;
		}
	}
	c->crc = crc37_update(c->crc, b, n / 4, false, 0);
	b += n / 4 * 4;
	for (n %= 4; n; n--)
		c->rest[c->rest_len++] = *b++;
}

static int cyclone_write(struct logic *l, const uint8_t *b, size_t n, struct reason *why)
{
	struct cyclone *c = cyclone_of(l);
	unsigned front = front_bytes(l);

	for (size_t i = 0; i < n && c->at + i < front; i++) {
		if (b[i] == front_byte(l, c->at + i))
			continue;
		c->low = true;
		return reason_set(why, EMEDIUMTYPE, "the image does not begin as one for %s, %s: byte %llu is "
				  "%02x, not %02x; nSTATUS is low", l->row->family, l->part,
				  (unsigned long long)(c->at + i), b[i], front_byte(l, c->at + i));
	}
	c->at += n;
	sum_up(c, b, n);
	return 0;
}

static void cyclone_end(struct logic *l)
{
	struct cyclone *c = cyclone_of(l);

	if (c->ended)
		return;
	logic_sum(l, c->crc);
	for (unsigned i = 0; i < c->rest_len; i++)
		logic_sum(l, c->rest[i]);
	logic_sum(l, (uint32_t)c->at);
	c->ended = true;
}

static bool cyclone_done(const struct logic *l)
{
	return cyclone_of_const(l)->ended && cyclone_of_const(l)->at > front_bytes(l);
}

static bool cyclone_proven(const struct logic *l)
{
	(void)l;
	return false;
}

static void cyclone_status(const struct logic *l, char *text, size_t size)
{
	const struct cyclone *c = cyclone_of_const(l);

	snprintf(text, size, "%s, %llu bytes",
		 c->low		   ? "nSTATUS is low"
		 : cyclone_done(l) ? "CONF_DONE is high"
				   : "CONF_DONE is low",
		 (unsigned long long)c->at);
}

static const char *cyclone_confirms(const struct logic *l)
{
	(void)l;
	return "CONF_DONE, and the bytes that came (this logic checks no CRC)";
}

static const char *const families[] = { "Cyclone IV E", "Cyclone 10 LP", "Cyclone V", "Cyclone V SoC",
					"Stratix V GS", NULL };

const struct logic_kind logic_cyclone = {
	.families = families,
	.formats = "rbf",
	.tried_first = true,
	.bytes = sizeof(struct cyclone),
	.write = cyclone_write,
	.end = cyclone_end,
	.done = cyclone_done,
	.proven = cyclone_proven,
	.status = cyclone_status,
	.confirms = cyclone_confirms,
};
