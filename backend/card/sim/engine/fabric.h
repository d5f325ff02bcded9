// SPDX-License-Identifier: Apache-2.0
/*
 * The fabric of a simulated iCE40: the chip and nothing around it.
 *
 * A fabric has the two sides that the silicon has: a configuration port, into
 * which a bitstream is clocked byte by byte, and pins. Between them it decodes
 * the configuration bits into nets, look-up tables, registers, carry chains,
 * block RAM and pads, and evaluates them cycle by cycle. It knows nothing of
 * boards, streams, register files, queues or sockets.
 *
 *	fabric_new("iCE40-HX1K", "tq144", &f, why);
 *	fabric_config_reset(f);                         CRESET low
 *	fabric_config_write(f, bytes, n, why);          any chunking
 *	if (fabric_done(f)) {
 *		int clk = fabric_pin(f, "21"), led = fabric_pin(f, "96");
 *		fabric_settle(f);
 *		fabric_cycle(f, clk);
 *		level = fabric_pin_level(f, led);
 *	}
 *
 * Threads: a fabric is confined to one thread at a time; different fabrics
 * share nothing that changes. No function here blocks, sleeps or does I/O.
 *
 * Hostile images: whatever bytes come in, every function returns in bounded
 * time and never touches memory that is not its own.
 *
 * Errors are -errno with a sentence in `why` (may be NULL):
 *	-ENOMEM       no memory; the fabric is as after fabric_config_reset()
 *	-EMEDIUMTYPE  the image is for another part; the sentence names both
 *	-EBADMSG      the configuration logic found it damaged: CRC, an unknown
 *	              command, impossible geometry, banks missing at wake-up
 *	-EIO          sound, but it would drive one net from two sources, or
 *	              selects a source that does not exist; the net is named
 *	-EOPNOTSUPP   it uses something this simulator does not model; it is
 *	              named together with its tile
 * After any of them DONE stays low until the next fabric_config_reset().
 */
#ifndef SIM_FABRIC_H
#define SIM_FABRIC_H

#include <fabricfs/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fabric;

/*
 * Make an unconfigured fabric. part: "iCE40-HX1K" or "iCE40-LP1K" (one die),
 * "iCE40-HX8K" or "iCE40-LP8K", "iCE40-LP384", "iCE40-UP5K", case ignored; package:
 * a package of that die as IceStorm spells it ("tq144", "vq100", ...), NULL for the
 * usual one (tq144, on an LP1K cm121, on an HX8K ct256, on an LP8K cm81, on an LP384
 * cm49, on an UP5K sg48). The caller owns *out and ends
 * it with fabric_free(). -ENODEV: no such part or no database for it (the
 * sentence lists what there is); -EINVAL: no such package; -ENOMEM; -EBADMSG:
 * the database itself is damaged (a defect of the build).
 */
int fabric_new(const char *part, const char *package, struct fabric **out, struct reason *why);
void fabric_free(struct fabric *f);	/* NULL is fine */

/* The part's own spelling ("iCE40-HX1K"), the package's. Owned by the fabric. */
const char *fabric_part(const struct fabric *f);
const char *fabric_package(const struct fabric *f);

/* ---- the configuration port ---- */

/* CRESET: configuration memory and block RAM cleared, DONE low, the design and
 * its state gone, every pin off; levels set by fabric_pin_set() are kept, as
 * the board goes on driving them. Cycle and toggle counters go on. */
void fabric_config_reset(struct fabric *f);

/*
 * Clock n bytes into the port, in any chunking. Before DONE the configuration
 * logic runs them: preamble, commands, CRC. The wake-up command decodes the
 * configuration and raises DONE: all registers are 0, block RAM has its initial
 * contents, and pins are settled once with the levels that the board drives.
 * After DONE further bytes are ignored, as the device does. The first error is
 * returned by the write that met it; later writes return the same errno and
 * sentence until the next reset.
 */
int fabric_config_write(struct fabric *f, const void *bytes, size_t n, struct reason *why);

bool fabric_done(const struct fabric *f);
/* An error was met since the last reset (INIT_B low on other families). */
bool fabric_config_failed(const struct fabric *f);
/* Bytes taken since the last reset, up to and including the wake-up command. */
uint64_t fabric_config_bytes(const struct fabric *f);

/*
 * Would this whole image run on this fabric? A dry run on a scratch fabric of
 * the same part and package, so that a card can refuse before the running
 * design is touched; f itself does not change. 0 or the errors above; an image
 * that ends before its wake-up command is -EBADMSG.
 */
int fabric_check(const struct fabric *f, const void *image, size_t n, struct reason *why);

/*
 * Read the configuration memory back and compare it with what the image would
 * write. 0, or -EBADMSG with the number of differing bits and the first one
 * (bank, row, column); -ENODATA while DONE is low. Block RAM is not compared:
 * a running design writes it.
 */
int fabric_verify(const struct fabric *f, const void *image, size_t n, struct reason *why);

/* The configuration memory of bank 0..3 as it is now: rows of fabric-wide bits,
 * packed MSB first without padding; *bytes and *width (bits a row) may be NULL.
 * NULL for another bank. Owned by the fabric, valid until it is freed. */
const uint8_t *fabric_cram(const struct fabric *f, unsigned bank, size_t *bytes, unsigned *width);

/*
 * Flip one configuration bit under the running design (a radiation upset) and
 * decode again; registers and block RAM keep their contents. Two drivers,
 * illegal codes and what is not modelled are tolerated here and read 0. 0; -ENODATA
 * while DONE is low; -EINVAL: no such bank, row or column; -ENOMEM.
 */
int fabric_upset(struct fabric *f, unsigned bank, unsigned row, unsigned column,
		 struct reason *why);

/* The text of the image's comment section, lines separated by '\n', "" when it
 * has none or DONE is low. At most 1023 bytes. Not checked for UTF-8. */
const char *fabric_comment(const struct fabric *f);

/* ---- pins ---- */

/* Bonded pins of the package, 0 .. fabric_pins()-1, sorted as numbers where
 * names are numbers, else by name. The numbering never changes for a fabric. */
unsigned fabric_pins(const struct fabric *f);
/* Index of a package pin by name ("21", "J3"), or -1. A hash look-up is not
 * made: look up once, keep the index. */
int fabric_pin(const struct fabric *f, const char *name);
/* Name of a pin, "" for an index out of range. Owned by the fabric. */
const char *fabric_pin_name(const struct fabric *f, int pin);

enum fabric_dir {
	FABRIC_PIN_OFF,   /* the image neither drives nor reads it */
	FABRIC_PIN_IN,    /* the image reads it */
	FABRIC_PIN_OUT,   /* the image drives it, always or when it wants */
	FABRIC_PIN_INOUT, /* both */
};

/* What the loaded image does with the pin; OFF while DONE is low or for an
 * index out of range. */
enum fabric_dir fabric_pin_dir(const struct fabric *f, int pin);

/*
 * The level the board drives onto a pin from outside. It is
 * staged: it takes effect at the next fabric_settle(), or together with the
 * registers' outputs at the next fabric_cycle(), as if the host were registered
 * on that same clock. Any pin may be set at any time, configured or not.
 */
void fabric_pin_set(struct fabric *f, int pin, bool level);
/* The board drives it no more, as at first: it is 1 where the image reads it and pulls it up,
 * else 0. Staged likewise. */
void fabric_pin_release(struct fabric *f, int pin);

/* The level on the pad now: 0 or 1; while the image does not drive it, what
 * the board drives (after it took effect). */
int fabric_pin_level(const struct fabric *f, int pin);
/* Does the image drive the pad at this moment? false for inputs, off pins and
 * outputs that are tristated: the caller shows these as z. */
bool fabric_pin_driven(const struct fabric *f, int pin);

/* ---- running ---- */

/*
 * Which pin the board's oscillator is on (-1: none) and how fast it is; it takes
 * effect with the next wake-up. Before, a cycle of any pin is one of 12 MHz.
 * Clocks that arise inside the chip follow: a PLL has its edges at exact fractions
 * of the period of whatever pin is its reference, an oscillator at those of the
 * board's clock. What passes time is an edge: of fabric_cycle(), or of a level
 * that fabric_settle() brings to that pin, which lets half a period go by at once.
 */
#define FABRIC_CLOCK_HZ 12000000
void fabric_clock(struct fabric *f, int pin, unsigned hz);

/* Let staged levels take effect and the design come to rest: edges on any pin
 * clock what they clock, asynchronous resets act. Nothing happens without DONE. */
void fabric_settle(struct fabric *f);

/*
 * One full cycle of the clock on this pin: rising edge, everything staged with
 * fabric_pin_set() appears with the registers' new outputs, the design settles,
 * falling edge, the design settles. Afterwards the pin is low and the levels
 * are what a host sees just before the next rising edge. Registers on either
 * edge, derived and gated clocks, asynchronous set and reset come out right.
 */
void fabric_cycle(struct fabric *f, int clk_pin);

/* n cycles without changes from outside (what is staged appears in the first). */
void fabric_cycles(struct fabric *f, int clk_pin, uint64_t n);

/* Up to n cycles, stopping after the one at whose end `pin` has `level`. Returns
 * the cycles run: 0 when it has that level already and nothing is staged, n when
 * it never had it (ask fabric_pin_level() to tell), or fewer when the last one was
 * fabric_costly(). */
uint64_t fabric_cycles_until(struct fabric *f, int clk_pin, uint64_t n, int pin, bool level);

/* The same, and no further than to where fabric_quiet() holds: so the cycles that a design takes
 * for its work are counted exactly, whatever n is. At least one. */
uint64_t fabric_cycles_busy(struct fabric *f, int clk_pin, uint64_t n, int pin, bool level);

/* The last cycle took many times what one usually does, as one does in which the design never
 * came to rest: whoever has others waiting should look after them before the next. */
bool fabric_costly(const struct fabric *f);

/* The last cycle changed nothing at all and nothing is staged: further cycles of
 * the same clock without a change from outside would change nothing, ever. */
bool fabric_quiet(const struct fabric *f);

/* ---- what is known of it ---- */

struct fabric_counters {
	uint64_t cycles;      /* full cycles run by fabric_cycle*() since fabric_new() */
	uint64_t toggles;     /* changes of any look-up table, carry, register or RAM output;
			       * zero-delay: glitches are not seen */
	uint64_t ram_reads;   /* words of block RAM and single-port RAM read, written */
	uint64_t ram_writes;
	uint64_t unsettled;   /* times that a combinational loop did not come to rest */
};
void fabric_counters(const struct fabric *f, struct fabric_counters *out);

/* Decoded from the loaded image; all 0 while DONE is low. */
struct fabric_resources {
	unsigned luts;          /* look-up tables that the design's outputs depend on */
	unsigned dffs;          /* registers, likewise (with those in IO cells) */
	unsigned carries;       /* carry cells, likewise */
	unsigned rams;          /* block RAMs of 4 kbit, likewise */
	unsigned sprams;        /* single-port RAMs of 256 kbit, likewise */
	unsigned dsps;          /* multipliers (SB_MAC16), likewise; their registers are theirs */
	unsigned plls;          /* PLLs and oscillators that are configured */
	unsigned pins_in;       /* pads read */
	unsigned pins_out;      /* pads driven (inout: in both) */
	unsigned globals;       /* global networks with a driver */
	unsigned clock_domains; /* distinct (clock, edge) */
	unsigned lut_levels;    /* longest path from register or pad, in look-up tables */
	unsigned ops;           /* steps of one evaluation after folding */
	unsigned loops;         /* combinational loops */
	unsigned undriven;      /* routed inputs whose net nothing drives (they read 0) */
	/* what part and package have */
	unsigned total_luts, total_rams, total_sprams, total_dsps, total_pins;
};
void fabric_resources(const struct fabric *f, struct fabric_resources *out);

#endif
