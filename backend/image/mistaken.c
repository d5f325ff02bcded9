// SPDX-License-Identifier: Apache-2.0
/*
 * What people hand over by mistake: archives, programs, web pages, sources.
 *
 * Four bytes are enough for all of these, and no more are looked at: the answer
 * has to be there at the first write(), where every tool reports it. Zip archives
 * are read further (archive.c).
 */
#include <string.h>

#include "formats.h"

#define MISTAKEN_BYTES 4

struct mistaken {
	uint8_t head[MISTAKEN_BYTES];
	uint8_t n; /* bytes of head that count */
	const char *phrase;
};

#define SVF "as SVF, a programming script for a JTAG player, does; copy the .bit that it was made of"
#define HEX "as an Intel HEX file (.mcs, .hex) for a flash memory does; copy the .bit that it was made of"
#define SRECORDS "as Motorola S-records for a flash memory do; copy the image that they were made of"

static const struct mistaken table[] = {
	{ { 0x1f, 0x8b }, 2, "as a gzip file does; unpack it on the way: gzip -dc FILE > image" },
	{ { 0xfd, '7', 'z', 'X' }, 4, "as an xz file does; unpack it on the way: xz -dc FILE > image" },
	{ { 'B', 'Z', 'h' }, 3, "as a bzip2 file does; unpack it on the way: bzip2 -dc FILE > image" },
	{ { 0x28, 0xb5, 0x2f, 0xfd }, 4,
	  "as a zstd file does; unpack it on the way: zstd -dc FILE > image" },
	{ { 'P', 'K', 5, 6 }, 4, "as an empty zip archive does; build it again" },
	{ { 'R', 'a', 'r', '!' }, 4, "as a rar archive does; unpack it and copy the image in it" },
	{ { 0x04, 0x22, 0x4d, 0x18 }, 4, "as an lz4 file does; unpack it on the way: lz4 -dc FILE > image" },
	{ { 0x5d, 0x00, 0x00 }, 3, "as an lzma file does; unpack it on the way: xz -dc FILE > image" },
	{ { '7', 'z', 0xbc, 0xaf }, 4, "as a 7z archive does; unpack it and copy the image in it" },
	{ { 0x7f, 'E', 'L', 'F' }, 4, "as a program or library (ELF) does; copy the image instead" },
	{ { 'I', 'C', 'E', 'C' }, 4, "as icecompr's output does; unpack it with icecompr's decoder first" },
	{ { 0x66, 0x55, 0x99, 0xaa }, 4,
	  "as a Xilinx sync word in swapped order does, without the padding before it; is its front cut off?" },
	{ { 0xaa, 0x99, 0x55, 0x66 }, 4,
	  "as a Xilinx sync word does, without the padding before it; is its front cut off?" },
	{ { 0xff, 0xff, 0xff, 0xff }, 4,
	  "as raw images of several vendors and empty flash memory do, and no known image follows" },
	{ { 'P', 'O', 'F', 0 }, 4, "as a Quartus .pof for a configuration memory does; copy the .sof or .rbf instead" },
	{ { 'x', 'c', 'l', 'b' }, 4, 
	  "as an .xclbin of an old release (xclbin0, xclbin1) does; build it again with one that writes xclbin2" },
	{ { 'L', 'S', 'C', 'C' }, 4, "as a Lattice .bit does, and nothing that is known follows" },
	{ { '.', 'c', 'o', 'm' }, 4, "as an icestorm .asc does; make the image of it: icepack FILE.asc FILE.bin" },
	{ { '.', 'd', 'e', 'v' }, 4, "as an icestorm .asc does; make the image of it: icepack FILE.asc FILE.bin" },
	{ { 'v', 'e', 'r', 's' }, 4, "as a git-lfs pointer does; fetch the file itself: git lfs pull" },
	{ { '<', '?', 'x', 'm' }, 4,
	  "as XML does, such as a hardware description (.hwh) or a server's error; copy the image itself" },
	{ { '<' }, 1,
	  "as a web page or XML does; was the link one to a page, or did the server answer with an error?" },
	{ { ':', '0' }, 2, HEX },
	{ { ':', '1' }, 2, HEX },
	{ { ':', '2' }, 2, HEX },
	{ { 'S', '0' }, 2, SRECORDS },
	{ { 'S', '1' }, 2, SRECORDS },
	{ { 'S', '2' }, 2, SRECORDS },
	{ { 'S', '3' }, 2, SRECORDS },
	{ { '!', '<', 'a', 'r' }, 4, "as a library or Debian package (ar) does; copy the image in it" },
	{ { '!' }, 1, SVF },
	{ { 'T', 'R', 'S', 'T' }, 4, SVF },
	{ { 'E', 'N', 'D', 'I' }, 4, SVF },
	{ { 'E', 'N', 'D', 'D' }, 4, SVF },
	{ { 'S', 'T', 'A', 'T' }, 4, SVF },
	{ { 'F', 'R', 'E', 'Q' }, 4, SVF },
	{ { 'H', 'D', 'R', ' ' }, 4, SVF },
	{ { 'H', 'I', 'R', ' ' }, 4, SVF },
	{ { 'T', 'D', 'R', ' ' }, 4, SVF },
	{ { 'T', 'I', 'R', ' ' }, 4, SVF },
	{ { 'S', 'D', 'R', ' ' }, 4, SVF },
	{ { 'S', 'I', 'R', ' ' }, 4, SVF },
	{ { 0x07, 0x00 }, 2,
	  "as an .xsvf, a programming script for a JTAG player, does; copy the .bit that it was made of" },
	{ { 'N', 'O', 'T', 'E' }, 4,
	  "as text in STAPL (.jam) of another vendor does, a script for a JTAG player; copy the .rbf or .sof" },
	{ { '#', '!' }, 2, "as a script does; copy the image that it loads" },
	{ { 0x89, 'H', 'D', 'F' }, 4, "as an HDF5 file does; copy the image instead" },
	{ { 'X', 'l', 'x', 'V' }, 4, "as sources or reports of Vivado do; copy the .bit that it wrote" },
	{ { 0x02 }, 1, "as a JEDEC file (.jed), a programming script, does; copy the .bit instead" },
	{ { '*' }, 1, "as a JEDEC file (.jed), a programming script, does; copy the .bit instead" },
	{ { 0xef, 0xbb, 0xbf }, 3,
	  "as text does that an editor saved with a byte order mark; save it without, or fetch it again" },
	{ { 0xff, 0xfe }, 2, "as text in UTF-16 does; save it as plain text, or fetch it again" },
	{ { '#', ' ' }, 2,
	  "as text with comments does (an Anlogic .bit is one, and no format that this version knows)" },
	{ { 'M', 'Z' }, 2, "as a program for Windows does; copy the image that it holds or loads" },
	{ { 0x27, 0x05, 0x19, 0x56 }, 4, "as a U-Boot image does; copy the .bit that was put into it" },
	{ { 'h', 's', 'q', 's' }, 4, "as a SquashFS does; mount it, and copy the image in it" },
	{ { 0xed, 0xab, 0xee, 0xdb }, 4, "as an RPM package does; install it, and copy the image in it" },
	{ { 0x89, 'P', 'N', 'G' }, 4, "as a picture (PNG) does; copy the image for the card instead" },
	{ { '[' }, 1, "as JSON or an .ini file does; copy the image, not its description" },
	{ { '{' }, 1, "as JSON does; copy the image, not its description" },
	{ { '%', 'P', 'D', 'F' }, 4, "as a PDF does; copy the image instead" },
	{ { 0, 0, 0, 0 }, 4, "as an empty disk block does; is the file damaged or the download unfinished?" },
};

static bool printable(uint8_t c)
{
	return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
}

size_t image_mistaken_needs(const uint8_t *head, size_t n)
{
	bool text = true;

	for (size_t i = 0; i < n; i++) {
		if (i + 1 == MISTAKEN_BYTES)
			return MISTAKEN_BYTES;
		if (!printable(head[i]))
			text = false;
		/* A line that short is no magic number: `echo 1 > image`. */
		if (text && head[i] == '\n')
			return i + 1;
	}
	return 0;
}

const char *image_mistaken_for(const uint8_t *head, size_t n)
{
	if (n > MISTAKEN_BYTES)
		n = MISTAKEN_BYTES;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (n >= table[i].n && !memcmp(head, table[i].head, table[i].n))
			return table[i].phrase;
	for (size_t i = 0; i < n; i++)
		if (!printable(head[i]))
			return "which is no format that this version knows; see README for those it does";
	return "as text does, or a tar archive (tar -xOf FILE NAME > image); no known image begins so, "
	       "and commands go to ctl";
}
