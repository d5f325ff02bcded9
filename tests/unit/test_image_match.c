// SPDX-License-Identifier: Apache-2.0
/* Whether an image suits a card, a slot or a part: a table of cases, the sentence in each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fabricfs/image.h>

#define BOTH (IMAGE_TAKES_FULL | IMAGE_TAKES_PARTIAL)

#define VBNV  "xilinx_u250_gen3x16_xdma_4_1"
#define UUID  "f59830f7-e716-5369-9b8e-5a0f8a4e8b9a"
#define OTHER "9926ab6d-6c92-5a68-aabc-a7d84c545738"
#define AFU1  "d8424dc4-a4a3-c413-f89e-433683f9040b"
#define AFU2  "331db30c-9885-41ea-9081-f88b8f655caa"

/* Images */
#define X35T .vendor = "xilinx", .part = "xc7a35t", .has_idcode = true, .idcode = 0x0362d093
#define X50T .vendor = "xilinx", .part = "xc7a50t", .has_idcode = true, .idcode = 0x0362c093
#define K26  .vendor = "xilinx", .part = "xck26", .has_idcode = true, .idcode = 0x04a49093

enum { NOT_COMPARED = 0, COMPARED = 1, REFUSED = 2 };

static const struct row {
	const char *claim;
	struct image_facts image;
	struct image_target to;
	int result;
	const char *says; /* words of the refusal, with | between */
} rows[] = {
	/* --- part ------------------------------------------------------------------ */
	{ "the idcode decides", { X35T }, { .part = "xc7a35t", .has_idcode = true, .idcode = 0x0362d093 },
	  COMPARED, NULL },
	{ "a version of the silicon is no other part", { X35T }, { .has_idcode = true, .idcode = 0x2362d093 },
	  COMPARED, NULL },
	{ "a sister part of the same size is another part", { X50T }, { .part = "xc7a35t" }, REFUSED,
	  "image is for xc7a50t (idcode 0362c093), card has xc7a35t (0362d093)" },
	{ "the idcode stands over a name that lies", { .vendor = "xilinx", .part = "xc7a35t",
	  .has_idcode = true, .idcode = 0x0362c093 }, { .part = "xc7a35t", .has_idcode = true,
	  .idcode = 0x0362d093 }, REFUSED, "0362c093|0362d093" },
	{ "the top digit tells parts of ECP5 apart", { .vendor = "lattice", .part = "lfe5u-12f",
	  .has_idcode = true, .idcode = 0x21111043 }, { .part = "LFE5U-25F" }, REFUSED,
	  "lfe5u-12f|21111043|LFE5U-25F|41111043" },
	{ "a card's part may have package and speed", { X35T }, { .part = "XC7A35TCPG236-1" }, COMPARED, NULL },
	{ "and is told with its idcode all the same", { X50T }, { .part = "xc7a35tcpg236-1" }, REFUSED,
	  "xc7a50t (idcode 0362c093), card has xc7a35tcpg236-1 (0362d093)" },
	{ "also of a part that is in no table", { .vendor = "acme", .part = "a100" },
	  { .part = "A100-PQ44-2" }, COMPARED, NULL },
	{ "a longer name is another part", { .vendor = "acme", .part = "a100" }, { .part = "a1000" }, REFUSED,
	  "a100|a1000" },
	{ "any part of the die will do", { .vendor = "lattice", .part = "iCE40-HX8K",
	  .also_parts = "iCE40-LP8K iCE40-HX4K" }, { .part = "ice40-hx4k" }, COMPARED, NULL },
	{ "several dies go by the outermost", { .vendor = "xilinx", .part = "xcvu37p", .has_idcode = true,
	  .idcode = 0x04b79093, .dies = 3 }, { .has_idcode = true, .idcode = 0x14b79093 }, COMPARED, NULL },
	{ "the size proves no part", { .format = "rbf", .declared_size = 368011 },
	  { .part = "10cl006", .formats = "rbf" }, NOT_COMPARED, NULL },
	{ "a format that is not taken", { .format = "rbf", X35T }, { .part = "xc7a35t", .formats = "xilinx-bit" },
	  REFUSED, "of format rbf for xc7a35t|takes xilinx-bit" },
	{ "what names no part is its vendor's", { .format = "gbs", .vendor = "altera", .family = "DCP",
	  .confidence = IMAGE_LIKELY }, { .part = "xc7a35tcpg236-1" }, REFUSED,
	  "a part of altera, DCP that it does not name, card has xc7a35tcpg236-1 of xilinx" },
	{ "by the idcode of the card too", { .format = "xclbin", .vendor = "xilinx" },
	  { .has_idcode = true, .idcode = 0x41111043 }, REFUSED, "xilinx|lfe5u-25f of lattice" },
	{ "of the vendor's own nothing is known", { .format = "xclbin", .vendor = "xilinx" },
	  { .part = "xc7a35t" }, NOT_COMPARED, NULL },
	{ "a guess is no reason", { .format = "rbf", .vendor = "altera", .confidence = IMAGE_GUESS },
	  { .part = "xc7a35t" }, NOT_COMPARED, NULL },
	{ "nor is one who makes no parts", { .format = "aws-afi", .vendor = "aws", .confidence = IMAGE_EXACT },
	  { .part = "xcvu9p" }, NOT_COMPARED, NULL },
	{ "nor a part that is in no table", { .format = "gbs", .vendor = "altera" }, { .part = "pac_a10" },
	  NOT_COMPARED, NULL },
	{ "nothing known is nothing compared", { .format = "efinix" }, { .name = "dev0" }, NOT_COMPARED, NULL },

	{ "what is for no card says why", { .format = "aocx", X35T, .no_card = "a build for the emulator" },
	  { .part = "xc7a35t" }, REFUSED, "aocx: a build for the emulator" },

	/* --- full and partial --------------------------------------------------------- */
	{ "a full image for a whole card", { K26, .partial = IMAGE_NO },
	  { .name = "dev0", .part = "xck26", .takes = IMAGE_TAKES_FULL }, COMPARED, NULL },
	{ "a partial one for a whole card", { K26, .partial = IMAGE_YES },
	  { .name = "dev0", .part = "xck26", .takes = IMAGE_TAKES_FULL }, REFUSED,
	  "image is a partial one for xck26, dev0 takes full ones; copy the full image" },
	{ "a partial one says for which design", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .name = "dev0", .part = "xck26", .takes = IMAGE_TAKES_FULL }, REFUSED,
	  "for xck26 and the static design 8def22be, dev0 takes full ones" },
	{ "another part is told before that", { K26, .partial = IMAGE_YES },
	  { .name = "dev0", .part = "xc7a35t", .takes = IMAGE_TAKES_FULL }, REFUSED, "xck26|card has xc7a35t" },
	{ "a full one for a slot beside a static design", { K26, .partial = IMAGE_NO },
	  { .name = "dev0/slots/1", .part = "xck26", .takes = IMAGE_TAKES_PARTIAL, .region = true,
	    .shell = "8def22be" }, REFUSED,
	  "image is a full one for xck26, dev0/slots/1 takes partial ones|8def22be; copy a partial image" },
	{ "a full one for a slot that is a whole device", { K26, .partial = IMAGE_NO },
	  { .part = "xck26", .takes = IMAGE_TAKES_FULL, .region = true }, COMPARED, NULL },
	{ "a partial one for a slot that is a whole device", { K26, .partial = IMAGE_YES },
	  { .name = "dev0/slots/1", .part = "xck26", .takes = IMAGE_TAKES_FULL, .region = true }, REFUSED,
	  "dev0/slots/1 takes full ones" },
	{ "what does not say whether it is partial", { K26 },
	  { .part = "xck26", .takes = IMAGE_TAKES_FULL }, COMPARED, NULL },
	{ "a partial one for a part alone", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .part = "xck26", .region = true }, COMPARED, NULL },

	/* --- over what is loaded ---------------------------------------------------------- */
	{ "a partial one over its own static design", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .name = "dev0", .part = "xck26", .takes = BOTH, .shell = "8DEF22BE" }, COMPARED, NULL },
	{ "over another", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .name = "dev0", .part = "xck26", .takes = BOTH, .shell = "11111111" }, REFUSED,
	  "for the static design 8def22be, dev0 runs 11111111; build" },
	{ "over one of which only a name is known", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .part = "xck26", .name = "dev2", .shell = "my_platform", .takes = BOTH }, REFUSED,
	  "for the static design 8def22be, which cannot be compared|dev2 runs, my_platform" },
	{ "or only an id, of one that has a name", { K26, .partial = IMAGE_YES, .shell = "my_platform" },
	  { .part = "xck26", .name = "dev2", .shell = "8def22be", .board = "my_platform", .takes = BOTH }, REFUSED,
	  "my_platform|8def22be" },
	{ "over none", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .name = "dev0", .part = "xck26", .takes = BOTH }, REFUSED,
	  "for xck26 and the static design 8def22be, dev0 has no static design loaded|first copy the full image" },
	{ "one that names none, over a known one", { K26, .partial = IMAGE_YES, .user_id = "ffffffff" },
	  { .name = "dev0", .part = "xck26", .takes = BOTH, .shell = "11111111" }, REFUSED,
	  "does not tell its static design, dev0 runs 11111111" },
	{ "one with the user id of the static design", { K26, .partial = IMAGE_YES, .user_id = "cafe0001" },
	  { .name = "dev0", .part = "xck26", .takes = BOTH, .shell = "11111111 cafe0001" }, COMPARED, NULL },
	{ "one with another user id", { K26, .partial = IMAGE_YES, .user_id = "cafe0002" },
	  { .name = "dev0", .part = "xck26", .takes = BOTH, .shell = "11111111 cafe0001" }, REFUSED,
	  "but for the user id cafe0002, dev0 runs 11111111 cafe0001" },
	{ "a full one always", { K26, .partial = IMAGE_NO, .user_id = "cafe0002" },
	  { .part = "xck26", .takes = BOTH, .shell = "11111111" }, COMPARED, NULL },

	{ "what replaces a static design is not for it", { .format = "xclbin", K26, .shell = VBNV },
	  { .part = "xck26", .takes = BOTH, .shell = "other_platform" }, COMPARED, NULL },
	{ "what a full one is for is the platform's", { .format = "xclbin", K26, .shell = VBNV },
	  { .part = "xck26", .takes = IMAGE_TAKES_FULL, .shell = "other_platform" }, REFUSED, VBNV "|other_platform" },

	/* --- regions ----------------------------------------------------------------------- */
	{ "one that names none, to a region that somebody chose", { K26, .partial = IMAGE_YES },
	  { .part = "xck26", .takes = IMAGE_TAKES_PARTIAL, .region = true, .shell = "11111111" }, COMPARED, NULL },
	{ "one for another static design, to a region", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .name = "dev0/slots/0", .part = "xck26", .takes = IMAGE_TAKES_PARTIAL, .region = true,
	    .shell = "11111111" }, REFUSED, "static design 8def22be, dev0/slots/0 runs 11111111" },
	{ "to a region whose static design is not known", { K26, .partial = IMAGE_YES, .shell = "8def22be" },
	  { .part = "xck26", .takes = BOTH, .region = true }, COMPARED, NULL },

	/* --- interfaces and platforms -------------------------------------------------------- */
	{ "a .gbs for the interface of the shell", { .format = "gbs", .partial = IMAGE_YES, .shell = UUID,
	  .interface = UUID }, { .takes = IMAGE_TAKES_PARTIAL, .region = true,
	  .shell = "F59830F7E71653699B8E5A0F8A4E8B9A" }, COMPARED, NULL },
	{ "for another interface", { .format = "gbs", .partial = IMAGE_YES, .shell = UUID, .interface = UUID },
	  { .name = "dev2", .takes = IMAGE_TAKES_PARTIAL, .region = true, .shell = OTHER }, REFUSED,
	  "static design " UUID ", dev2 runs " OTHER "; build the image for that one" },
	{ "for a whole device", { .format = "gbs", .partial = IMAGE_YES, .shell = UUID, .interface = UUID },
	  { .name = "dev2", .takes = IMAGE_TAKES_FULL }, REFUSED,
	  "image is a partial one for the static design " UUID ", dev2 takes full ones" },
	{ "an .xclbin for the platform", { .format = "xclbin", .shell = VBNV }, { .shell = VBNV " " UUID },
	  COMPARED, NULL },
	{ "whose name is written with other marks", { .format = "xclbin", .shell = VBNV },
	  { .shell = "xilinx:u250:gen3x16:xdma:4.1" }, COMPARED, NULL },
	{ "for another version of the platform", { .format = "xclbin", .shell = VBNV },
	  { .name = "dev1", .shell = "xilinx_u250_gen3x16_xdma_3_1" }, REFUSED,
	  VBNV ", dev1 runs xilinx_u250_gen3x16_xdma_3_1" },
	{ "digits that run on are another version", { .format = "xclbin", .shell = "a_platform_1_12" },
	  { .shell = "a_platform_11_2" }, REFUSED, "a_platform_1_12|a_platform_11_2" },
	{ "for the platform, and another interface", { .format = "xclbin", .shell = VBNV,
	  .interface = "00112233445566778899aabbccddeeff" }, { .shell = VBNV " " UUID }, REFUSED,
	  "00112233445566778899aabbccddeeff" },
	{ "for the platform, when the card tells no interface", { .format = "xclbin", .shell = VBNV,
	  .interface = "00112233445566778899aabbccddeeff" }, { .shell = VBNV }, COMPARED, NULL },
	{ "for no platform that it names", { .format = "xclbin" }, { .shell = VBNV }, NOT_COMPARED, NULL },

	/* --- boards -------------------------------------------------------------------------- */
	{ "the board's name is in the platform's", { .format = "xclbin", .shell = "xilinx_kv260_base_1_0" },
	  { .board = "KV260" }, COMPARED, NULL },
	{ "another board", { .format = "aocx", .shell = "pac_s10" }, { .name = "dev3", .board = "pac_a10" },
	  REFUSED, "image is for the board pac_s10, dev3 is a pac_a10; build" },
	{ "part of a word is another board", { .format = "aocx", .shell = "de10pro" }, { .board = "de10" },
	  REFUSED, "de10pro|de10" },
	{ "a board for people is not compared", { .format = "xclbin", .shell = VBNV },
	  { .board = "Alveo data center card" }, NOT_COMPARED, NULL },
	{ "but may be found", { .format = "xclbin", .shell = "u250" }, { .board = "Alveo U250" }, COMPARED, NULL },
	{ "the shell's name goes before the board's", { .format = "aocx", .shell = "pac_s10" },
	  { .board = "other", .shell = "pac_s10" }, COMPARED, NULL },
	{ "an id is no board", { .format = "gbs", .shell = UUID }, { .board = "pac_a10" }, NOT_COMPARED, NULL },

	/* --- overlays and accelerators ----------------------------------------------------------- */
	{ "an overlay for this machine", { .format = "dtbo", .compatible = "xlnx,zynqmp-kv260 xlnx,zynqmp" },
	  { .compatible = "xlnx,zynqmp-k26 xlnx,zynqmp" }, COMPARED, NULL },
	{ "for another", { .format = "dtbo", .compatible = "xlnx,zynq-7000" },
	  { .name = "dev0", .compatible = "xlnx,zynqmp-k26 xlnx,zynqmp" }, REFUSED,
	  "compatible with xlnx,zynq-7000, dev0 is in one|xlnx,zynqmp-k26 xlnx,zynqmp" },
	{ "for any", { .format = "dtbo" }, { .compatible = "xlnx,zynqmp" }, NOT_COMPARED, NULL },
	{ "an accelerator that the port takes", { .format = "gbs", .afus = AFU1 }, { .afus = AFU2 " " AFU1 },
	  COMPARED, NULL },
	{ "one of two that it does not", { .format = "gbs", .afus = AFU1 " " AFU2 },
	  { .name = "dev0/slots/0", .afus = AFU1 }, REFUSED,
	  "accelerator functions " AFU1 " " AFU2 ", dev0/slots/0 takes " AFU1 "; copy" },
	{ "a port that tells nothing takes any", { .format = "gbs", .afus = AFU1 }, { .afus = NULL },
	  NOT_COMPARED, NULL },
};

static void check_row(const struct row *row)
{
	struct reason why = { 0 };
	char says[512];
	bool compared = false;
	int err = image_suits_target(&row->image, &row->to, &compared, &why);
	char *save = NULL;

	if (row->result != REFUSED) {
		if (err || why.err)
			fail_msg("%s: refused: %s", row->claim, why.text);
		if (compared != (row->result == COMPARED))
			fail_msg("%s: compared is %d", row->claim, compared);
		return;
	}
	if (err != -EMEDIUMTYPE || why.err != EMEDIUMTYPE)
		fail_msg("%s: taken", row->claim);
	snprintf(says, sizeof(says), "%s", row->says);
	for (char *word = strtok_r(says, "|", &save); word; word = strtok_r(NULL, "|", &save))
		if (!strstr(why.text, word))
			fail_msg("%s: '%s' is not in: %s", row->claim, word, why.text);
}

static void images_suit_what_they_were_made_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

/* Whatever a file says of itself, and however long: a verdict, and a sentence that ends. */
static void hostile_facts_are_compared_and_cut(void **state)
{
	struct image_facts f = { .partial = IMAGE_YES };
	struct image_target t = { .name = "dev0", .takes = BOTH };
	char *const texts[] = { f.format, f.part, f.also_parts, f.shell, f.interface, f.user_id, f.afus,
				f.compatible };
	const size_t sizes[] = { sizeof(f.format), sizeof(f.part), sizeof(f.also_parts), sizeof(f.shell),
				 sizeof(f.interface), sizeof(f.user_id), sizeof(f.afus),
				 sizeof(f.compatible) };
	static const char fills[] = { 'a', '-', ' ', '0', '_', (char)0xff };
	char list[300];

	(void)state;
	memset(list, 'b', sizeof(list) - 1);
	list[sizeof(list) - 1] = '\0';
	for (size_t c = 0; c < sizeof(fills); c++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			memset(texts[i], fills[c], sizes[i] - 1);
			for (size_t k = 0; k < sizeof(fills); k++) {
				struct reason why = { 0 };

				memset(list, fills[k], sizeof(list) - 1);
				t.shell = t.board = t.compatible = t.afus = t.part = list;
				t.formats = k % 2 ? list : "";
				image_suits_target(&f, &t, NULL, &why);
				assert_true(!why.err || why.err == EMEDIUMTYPE);
				assert_true(!why.err || why.text[0]);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_suit_what_they_were_made_for),
		cmocka_unit_test(hostile_facts_are_compared_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
