// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration logic: it takes the bitstream byte by byte, as the device's
 * SPI slave port does, and writes configuration memory and block RAM.
 *
 * Commands are one byte, opcode in the high nibble, number of payload bytes in
 * the low one; the payload is big endian. Source: Project IceStorm, "Bitstream
 * file format". The CRC is CCITT (0x1021, start 0xffff) over all bytes since
 * its reset; after the two bytes of the check command it must be 0.
 *
 * Stricter than the device in one thing: at wake-up every row of configuration
 * memory must have been written under a CRC that was checked. The device would
 * start with whatever is there; images made by any tool always satisfy this, and
 * no damage to a command can then slip through.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREAMBLE 0x7eaa997eu

enum { OP_SYSTEM, OP_BANK, OP_CRC, OP_ADDRESS = 4, OP_OSCILLATOR, OP_WIDTH, OP_HEIGHT,
       OP_OFFSET, OP_FLAGS };
enum { SYS_CRAM = 1, SYS_BRAM = 3, SYS_CRC_RESET = 5, SYS_WAKE_UP = 6, SYS_REBOOT = 8 };

/* The dies by the size of one configuration bank; both numbers are needed. */
static const struct {
	unsigned width, height;
	const char *die, *name;
} dies[] = {
	{ 182, 80, "384", "iCE40-LP384" },
	{ 332, 144, "1k", "iCE40-HX1K" },
	{ 656, 176, "lm4k", "iCE40-LM4K" },
	{ 692, 176, "u4k", "iCE5LP4K" },
	{ 872, 272, "8k", "iCE40-HX8K" },
	{ 692, 336, "5k", "iCE40-UP5K" },
};

static size_t cram_bytes(const struct chipdb *db, unsigned bank)
{
	return (size_t)db->cram_width * db->bank_height[bank] / 8;
}

static size_t bram_bytes(const struct chipdb *db, unsigned bank)
{
	return (size_t)db->bram_width[bank] * db->bram_height[bank] / 8;
}

static size_t covered_words(const struct chipdb *db)
{
	return (db->cram_height + 31) / 32;
}

int config_init(struct config *c, const struct chipdb *db, struct reason *why)
{
	memset(c, 0, sizeof(*c));
	c->db = db;
	for (unsigned b = 0; b < 4; b++) {
		c->cram[b] = malloc(cram_bytes(db, b) + 8); /* 8: tiles.c reads whole words */
		c->covered[b] = calloc(covered_words(db), sizeof(uint32_t));
		if (bram_bytes(db, b) != 0)
			c->bram[b] = malloc(bram_bytes(db, b));
		if (!c->cram[b] || !c->covered[b] || (bram_bytes(db, b) != 0 && !c->bram[b]))
			return reason_set(why, ENOMEM, "no memory for the configuration");
	}
	config_reset(c);
	return 0;
}

void config_fini(struct config *c)
{
	for (unsigned b = 0; b < 4; b++) {
		free(c->cram[b]);
		free(c->bram[b]);
		free(c->covered[b]);
		c->cram[b] = c->bram[b] = NULL;
		c->covered[b] = NULL;
	}
}

static void coverage_reset(struct config *c)
{
	for (unsigned b = 0; b < 4; b++)
		memset(c->covered[b], 0, covered_words(c->db) * sizeof(uint32_t));
}

void config_reset(struct config *c)
{
	for (unsigned b = 0; b < 4; b++) {
		memset(c->cram[b], 0, cram_bytes(c->db, b) + 8);
		if (c->bram[b])
			memset(c->bram[b], 0, bram_bytes(c->db, b));
	}
	coverage_reset(c);
	c->state = CONFIG_SEARCH;
	c->bytes = 0;
	c->preamble = 0;
	c->bank = c->width = c->height = c->offset = 0;
	c->crc = 0xffff;
	c->crc_running = c->crc_good = false;
	c->comment_len = 0;
	c->comment[0] = '\0';
	memset(&c->failed, 0, sizeof(c->failed));
}

int config_fail(struct config *c, const struct reason *why)
{
	c->state = CONFIG_FAILED;
	c->failed = *why;
	return -why->err;
}

/* One byte of the CRC, by nibbles: a table of 16 stays in the cache. */
static uint16_t crc_byte(uint16_t crc, uint8_t byte)
{
	static const uint16_t table[16] = {
		0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
		0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
	};

	crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ byte >> 4]);
	return (uint16_t)(crc << 4 ^ table[crc >> 12 ^ (byte & 15)]);
}

/* The comment section: FF 00, NUL-terminated lines, 00 FF. */
static void comment_byte(struct config *c, uint8_t byte)
{
	if (byte == 0xff || c->comment_len + 1 >= sizeof(c->comment))
		return;
	if (byte == 0) {
		if (c->comment_len == 0 || c->comment[c->comment_len - 1] == '\n')
			return;
		byte = '\n';
	}
	c->comment[c->comment_len++] = (char)byte;
	c->comment[c->comment_len] = '\0';
}

static int search(struct config *c, uint8_t byte, struct reason *why)
{
	c->preamble = c->preamble << 8 | byte;
	if (c->bytes >= 4 && c->preamble == PREAMBLE) {
		/* its first three bytes went into the comment */
		c->comment_len -= c->comment_len < 3 ? c->comment_len : 3;
		c->comment[c->comment_len] = '\0';
		c->state = CONFIG_COMMAND;
		return 0;
	}
	if (c->bytes >= CONFIG_SEARCH_MAX)
		return reason_set(why, EBADMSG, "no preamble 7e aa 99 7e in the first %d bytes",
				  CONFIG_SEARCH_MAX);
	comment_byte(c, byte);
	return 0;
}

static int wrong_size(const struct config *c, struct reason *why)
{
	for (size_t i = 0; i < sizeof(dies) / sizeof(dies[0]); i++) {
		const char *own = "another part";

		if (dies[i].width != c->width || dies[i].height != c->offset + c->height ||
		    !strcmp(dies[i].die, c->db->die))
			continue;
		for (size_t k = 0; k < sizeof(dies) / sizeof(dies[0]); k++)
			if (!strcmp(dies[k].die, c->db->die))
				own = dies[k].name;
		return reason_set(why, EMEDIUMTYPE, "image is for the %s die (%s), card has %s (%s)",
				  dies[i].die, dies[i].name, c->db->die, own);
	}
	return reason_set(why, EBADMSG,
			  "configuration data for %u x %u bits from row %u, the bank is %u x %u",
			  c->width, c->height, c->offset, c->db->cram_width,
			  c->db->bank_height[c->bank]);
}

static int data_begin(struct config *c, bool cram, struct reason *why)
{
	const struct chipdb *db = c->db;
	unsigned width, height;

	if (c->bank > 3)
		return reason_set(why, EBADMSG, "data for bank %u, there are 0 to 3", c->bank);
	width = cram ? db->cram_width : db->bram_width[c->bank];
	height = cram ? db->bank_height[c->bank] : db->bram_height[c->bank];
	if (c->width != width || c->height == 0 || c->offset > height ||
	    c->height > height - c->offset) {
		if (cram)
			return wrong_size(c, why);
		return reason_set(why, EBADMSG,
				  "block RAM data for %u x %u bits from row %u, bank %u is %u x %u",
				  c->width, c->height, c->offset, c->bank, width, height);
	}
	if ((size_t)c->width * c->height % 8 != 0)
		return reason_set(why, EBADMSG, "data of %u x %u bits is not whole bytes",
				  c->width, c->height);
	c->data_is_cram = cram;
	c->target = cram ? c->cram[c->bank] : c->bram[c->bank];
	c->data_bit = (size_t)c->offset * width;
	c->data_left = (size_t)c->width * c->height / 8;
	c->crc_good = false;
	if (cram)
		for (unsigned row = c->offset; row < c->offset + c->height; row++)
			c->covered[c->bank][row / 32] |= 1u << row % 32;
	c->state = CONFIG_DATA;
	return 0;
}

/* As many data bytes as there are; returns how many it took. */
static size_t data_feed(struct config *c, const uint8_t *p, size_t n)
{
	unsigned shift = c->data_bit % 8;
	uint8_t *to = c->target + c->data_bit / 8;

	if (n > c->data_left)
		n = c->data_left;
	for (size_t i = 0; i < n; i++)
		c->crc = crc_byte(c->crc, p[i]);
	if (shift == 0) {
		memcpy(to, p, n);
	} else {
		for (size_t i = 0; i < n; i++) {
			to[i] = (uint8_t)((to[i] & ~(0xff >> shift)) | p[i] >> shift);
			to[i + 1] = (uint8_t)((to[i + 1] & 0xff >> shift) | p[i] << (8 - shift));
		}
	}
	c->data_bit += 8 * n;
	c->data_left -= n;
	if (c->data_left == 0) {
		c->state = CONFIG_DATA_END;
		c->zeros = 0;
	}
	return n;
}

static int wake_up(struct config *c, struct reason *why)
{
	if (!c->crc_good)
		return reason_set(why, EBADMSG, "wake-up without a CRC check of the data before it");
	for (unsigned b = 0; b < 4; b++)
		for (unsigned row = 0; row < c->db->bank_height[b]; row++)
			if (!(c->covered[b][row / 32] >> row % 32 & 1))
				return reason_set(why, EBADMSG,
						  "wake-up before row %u of bank %u was written",
						  row, b);
	c->state = CONFIG_AWAKE;
	return 0;
}

static int system_command(struct config *c, struct reason *why)
{
	switch (c->value) {
	case SYS_CRAM:
		return data_begin(c, true, why);
	case SYS_BRAM:
		return data_begin(c, false, why);
	case SYS_CRC_RESET:
		c->crc = 0xffff;
		c->crc_running = true;
		c->crc_good = false;
		coverage_reset(c);
		return 0;
	case SYS_WAKE_UP:
		return wake_up(c, why);
	case SYS_REBOOT:
		return reason_set(why, EOPNOTSUPP,
				  "the image asks the device to reboot from its flash (multi-boot); "
				  "extract one image from it");
	}
	return reason_set(why, EBADMSG, "unknown command 01 %02x", c->value);
}

static int command_run(struct config *c, struct reason *why)
{
	c->state = CONFIG_COMMAND;
	switch (c->opcode) {
	case OP_SYSTEM:
		return system_command(c, why);
	case OP_BANK:
		c->bank = c->value;
		return 0;
	case OP_CRC:
		if (!c->crc_running)
			return reason_set(why, EBADMSG, "CRC check without a CRC reset before it");
		if (c->crc != 0)
			return reason_set(why, EBADMSG, "CRC mismatch: the image is damaged");
		c->crc_good = true;
		return 0;
	case OP_WIDTH:
		c->width = c->value + 1;
		return 0;
	case OP_HEIGHT:
		c->height = c->value;
		return 0;
	case OP_OFFSET:
		c->offset = c->value;
		return 0;
	}
	return 0; /* boot address, oscillator, flags: no matter to the fabric */
}

static int command_begin(struct config *c, uint8_t byte, struct reason *why)
{
	static const uint8_t payload[10] = {
		[OP_SYSTEM] = 1, [OP_BANK] = 1, [OP_CRC] = 2, [OP_ADDRESS] = 4,
		[OP_OSCILLATOR] = 1, [OP_WIDTH] = 2, [OP_HEIGHT] = 2, [OP_OFFSET] = 2,
		[OP_FLAGS] = 2,
	};

	c->opcode = byte >> 4;
	c->need = byte & 15;
	c->value = 0;
	if (c->opcode >= sizeof(payload) || payload[c->opcode] == 0 ||
	    c->need != payload[c->opcode])
		return reason_set(why, EBADMSG, "unknown command %02x", byte);
	c->state = CONFIG_PAYLOAD;
	return 0;
}

static int feed_byte(struct config *c, uint8_t byte, struct reason *why)
{
	c->crc = crc_byte(c->crc, byte);
	switch (c->state) {
	case CONFIG_COMMAND:
		return command_begin(c, byte, why);
	case CONFIG_PAYLOAD:
		c->value = c->value << 8 | byte;
		return --c->need == 0 ? command_run(c, why) : 0;
	case CONFIG_DATA_END:
		if (byte != 0)
			return reason_set(why, EBADMSG, "data does not end in 00 00");
		if (++c->zeros == 2)
			c->state = CONFIG_COMMAND;
		return 0;
	case CONFIG_SEARCH:
	case CONFIG_DATA:
	case CONFIG_AWAKE:
	case CONFIG_FAILED:
		break;
	}
	return 0;
}

int config_feed(struct config *c, const uint8_t *p, size_t n, size_t *used, struct reason *why)
{
	struct reason local = { 0 };
	size_t i = 0;
	int err = 0;

	if (c->state == CONFIG_FAILED) {
		*used = n;
		return reason_set(why, c->failed.err, "%s", c->failed.text);
	}
	while (i < n && c->state != CONFIG_AWAKE) {
		if (c->state == CONFIG_DATA) {
			size_t took = data_feed(c, p + i, n - i);

			i += took;
			c->bytes += took;
			continue;
		}
		c->bytes++;
		err = c->state == CONFIG_SEARCH ? search(c, p[i], &local) :
						  feed_byte(c, p[i], &local);
		i++;
		if (err != 0) {
			reason_wrap(&local, "configuration stopped at byte %llu",
				    (unsigned long long)c->bytes);
			reason_set(why, local.err, "%s", local.text);
			i = n;
			config_fail(c, &local);
			break;
		}
	}
	*used = i;
	return err;
}
