// SPDX-License-Identifier: Apache-2.0
/*
 * Inside of the simulated fabric. A configuration goes through these stages,
 * one file each, and nothing flows back:
 *
 *	config.c    bytes of the bitstream -> configuration memory (struct config)
 *	tiles.c     configuration memory -> 16 rows of bits a tile
 *	netlist.c   switches -> which net drives which, and which cell drives a net
 *	mac16.c     multipliers as look-up tables and registers
 *	spram.c     single-port RAM
 *	rgb.c       pads of the LED driver
 *	clocks.c    PLLs and oscillators -> ratios of their clocks
 *	cells.c     what a look-up table, carry, register, pad or RAM computes
 *	blocks.c    RAM, multipliers ... beside the fabric
 *	program.c   everything that the pads depend on -> an ordered list of LUT4s:
 *	            found by walk.c, simplified by fold.c, ordered by layout.c (build.h)
 *	eval.c      runs that list, clock domains, registers and RAM
 *	sources.c   those clocks in time, beside the one that the board drives
 *	fabric.c    the outside of it all (fabric.h)
 */
#ifndef SIM_ENGINE_H
#define SIM_ENGINE_H

#include "chipdb.h"

#include <fabricfs/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- config.c: the configuration logic ---- */

#define CONFIG_COMMENT_MAX 1024
/* A device finds the preamble wherever it is; a file that has none within this
 * many bytes is not an image. */
#define CONFIG_SEARCH_MAX  4096

enum config_state {
	CONFIG_SEARCH, CONFIG_COMMAND, CONFIG_PAYLOAD, CONFIG_DATA, CONFIG_DATA_END,
	CONFIG_AWAKE, CONFIG_FAILED
};

struct config {
	const struct chipdb *db;
	uint8_t *cram[4]; /* owned; cram_width * bank_height bits, MSB first */
	uint8_t *bram[4]; /* owned; NULL where the part has none */
	uint32_t *covered[4]; /* owned; a bit for each row written since the CRC reset */

	enum config_state state;
	uint64_t bytes;
	uint32_t preamble;         /* the last four bytes */
	unsigned opcode, need, value;
	unsigned bank, width, height, offset;
	uint8_t *target;           /* where data goes now */
	size_t data_bit, data_left; /* next bit of the target; bytes to come */
	bool data_is_cram;
	unsigned zeros;            /* of the two bytes after data */
	uint16_t crc;
	bool crc_running, crc_good;
	char comment[CONFIG_COMMENT_MAX];
	size_t comment_len;
	struct reason failed;      /* why, in state CONFIG_FAILED */
};

/* Allocates; -ENOMEM. config_fini() in any case. */
int config_init(struct config *c, const struct chipdb *db, struct reason *why);
void config_fini(struct config *c);
void config_reset(struct config *c);
/* Runs until the bytes end, wake-up or an error; *used = bytes taken. 0 or -errno. */
int config_feed(struct config *c, const uint8_t *p, size_t n, size_t *used, struct reason *why);
/* Enter CONFIG_FAILED with this reason (for errors met after wake-up). */
int config_fail(struct config *c, const struct reason *why);

static inline bool cram_bit(const struct config *c, unsigned bank, unsigned row, unsigned col)
{
	size_t bit = (size_t)row * c->db->cram_width + col;

	return c->cram[bank][bit / 8] >> (7 - bit % 8) & 1;
}

/* ---- tiles.c ---- */

struct tile {
	uint64_t row[16]; /* bit c = column c */
};

static inline bool tile_bit(const struct tile *t, unsigned row, unsigned col)
{
	return t->row[row] >> col & 1;
}

/* Fill one struct tile for each tile of the database. */
void tiles_extract(const struct config *c, struct tile *tiles);
/* Initial contents of the block RAM whose lower tile is x, y. */
void ram_extract(const struct config *c, unsigned x, unsigned y, uint16_t words[256]);

/* ---- netlist.c ---- */

/*
 * A signal is an output of a cell of the chip, numbered by its place, used or not:
 *	0, 1                             constants
 *	SIG_LC + 3 * lc + {0, 1, 2}      look-up table, register, carry of a logic cell
 *	pad_base + PAD_SIGNALS * pad + enum of an IO pad
 *	ram_base + 16 * ram + bit        read data of a block RAM
 *	spram_base + 16 * spram + bit    read data of a single-port RAM
 *	rgb_base + k                     is pad k of the LED driver low?
 *	rgb_base + RGB_PADS + k          does the driver make it so?
 *	block_base + entry               output of a block beside the fabric, by its entry
 *	                                 in the database
 *	mac_base + MAC_SIGNALS * mac + signal of a multiplier (mac16.c)
 *	clock_base + CLOCK_SIGNALS * n + {0, 1, 2}   outputs and LOCK of a PLL or oscillator
 */
#define SIG_LC 2u
enum { LC_LUT, LC_DFF, LC_CARRY };
enum pad_signal {
	PAD_LEVEL, /* the pad itself */
	PAD_EXT,   /* what the board drives */
	PAD_DIN0,  /* input registers, either edge */
	PAD_DIN1,
	PAD_DOUT0, /* output registers, either edge */
	PAD_DOUT1,
	PAD_OE,    /* output enable register */
	PAD_OUT,   /* what the output driver is given */
	PAD_CEN_IN,  /* clock enable of the input and output registers of the second edge: */
	PAD_CEN_OUT, /* what it was at the first */
	PAD_SIGNALS
};

#define RGB_PADS 3

/* A pad of the LED driver (rgb.c). */
struct rgb_pad {
	int pad;       /* -1 = none */
	bool driver;   /* the LED driver may light it */
	int32_t on[3]; /* nets that must all be 1 then, -1 = none */
};

/* An HX8K has two PLLs, an UP5K one and two oscillators. */
#define CLOCK_CELLS 4
enum { CLOCK_LOCK = 2, CLOCK_SIGNALS };

/* A cell that makes clocks and is in use. */
struct clock_cell {
	unsigned cell;         /* of the database */
	unsigned hz;           /* an oscillator's own frequency; 0: a PLL */
	unsigned num, den;     /* PLL: cycles of num/den for one of the reference ... */
	unsigned divide[2];    /* ... which an output divides again */
	bool out[2];           /* outputs A and B that are clocks of it */
	int pad[2];            /* whose place they take, -1 = none */
	bool pad_ref;          /* the reference is the pad of output A */
	int ref_pad, up;       /* what the reference is: pad, or cell of netlist.clocks, or none (-1) */
	unsigned up_output;
	uint32_t enable[2], bypass; /* signals; runs while both are 1 */
	int32_t lock_net;
};

struct netlist {
	const struct chipdb *db;
	const struct config *config;
	struct tile *tiles;    /* owned */
	int32_t *driver;       /* net -> net that drives it through a switch, or -1 */
	int32_t *source;       /* net -> signal that drives it, or -1 */
	uint16_t *cell_index;  /* tile -> number among the tiles of its type */
	uint16_t *logic_tiles, *io_tiles, *ram_tiles; /* and back (RAM: the lower tile) */
	unsigned n_logic, n_io, n_ram;
	struct mac16 *macs;    /* owned; multipliers */
	struct spram_ports *sprams; /* owned; single-port RAMs */
	unsigned n_macs, n_sprams;
	struct rgb_pad rgb[RGB_PADS];
	uint32_t pad_base, ram_base, clock_base, block_base, mac_base, spram_base, rgb_base, signals;
	struct clock_cell clocks[CLOCK_CELLS];
	unsigned n_clocks;
	bool tolerant;         /* contention, illegal codes, unmodelled cells read as 0 */
	unsigned undriven;
	uint32_t latched;      /* banks whose input latch is driven, see cells.c */
};

/* Build from c; refuses contention, illegal codes and what is not modelled.
 * netlist_fini() in any case. */
int netlist_init(struct netlist *n, const struct config *c, bool tolerant, struct reason *why);
void netlist_fini(struct netlist *n);

/* The signal on this port of a tile, or missing when nothing drives it. */
uint32_t netlist_port(struct netlist *n, unsigned tile, unsigned port, uint32_t missing);

/* The same for a net. */
uint32_t netlist_net(struct netlist *n, uint32_t net, uint32_t missing);

static inline uint32_t sig_lc(unsigned lc, unsigned what)
{
	return SIG_LC + 3 * lc + what;
}

static inline uint32_t sig_pad(const struct netlist *n, unsigned pad, enum pad_signal what)
{
	return n->pad_base + PAD_SIGNALS * pad + what;
}

static inline uint32_t sig_clock(const struct netlist *n, unsigned clock, unsigned what)
{
	return n->clock_base + CLOCK_SIGNALS * clock + what;
}

/* ---- clocks.c ---- */

/* Fill netlist.clocks from the bits. 0, or -EOPNOTSUPP naming cell, tile and setting. */
int clocks_read(struct netlist *n, struct reason *why);
/* The signal that comes in at this pad's place: a clock's, or otherwise. */
uint32_t clock_on_pad(const struct netlist *n, unsigned pad, uint32_t otherwise);
/* Nets that they drive by themselves; after those of all other cells. */
void clocks_drive(struct netlist *n);
/* What drives their inputs. */
int clocks_connect(struct netlist *n, struct reason *why);
/* 0, or -EOPNOTSUPP: one of them is not connected in this package. */
int clocks_check_package(const struct netlist *n, const char *package, struct reason *why);

/* ---- cells.c ---- */

enum cell_kind {
	CELL_LUT,  /* combinational: in[], table */
	CELL_DFF,  /* in[0] = D */
	CELL_RAM,  /* a bit of RAM number `unit` */
	CELL_SPRAM, /* a bit of single-port RAM number `unit` */
	CELL_EXT,  /* a level from outside: pad `unit` */
	CELL_CLOCK, /* output or LOCK of a cell that makes clocks: signal clock_base + `unit` */
};

#define LUT_CARRY 0xe8e8 /* majority of in 0..2 */

/* What computes a signal. Inputs are signals. */
struct cell {
	enum cell_kind kind;
	uint32_t in[4];
	uint16_t table;     /* CELL_LUT: bit i = output for in[3..0] = i */
	uint32_t clk, cen, sr;
	bool negedge, set, async; /* CELL_DFF */
	bool carry;         /* CELL_LUT: a carry or part of a multiplier, counted apart */
	unsigned unit;
};

/* A block RAM with all its ports as signals. */
struct ram_cell {
	uint32_t raddr[11], waddr[11], mask[16], wdata[16];
	uint32_t rclk, rclke, re, wclk, wclke, we;
	unsigned read_mode, write_mode;
	bool read_neg, write_neg;
	unsigned x, y;
};

enum { PAD_USE_IN = 1, PAD_USE_OUT = 2 };

/* Describe signal sig (2 or more). 0, or -EOPNOTSUPP naming cell and tile. */
int cell_get(struct netlist *n, uint32_t sig, struct cell *out, struct reason *why);
int ram_get(struct netlist *n, unsigned ram, struct ram_cell *out, struct reason *why);
/* Has the pad an output driver that may be on? has_output: one that the fabric drives. */
bool pad_is_output(const struct netlist *n, unsigned pad);
bool pad_has_output(const struct netlist *n, unsigned pad);
/* Does D_IN_0 just follow the pad? */
bool pad_is_plain(const struct netlist *n, unsigned pad);
/* The signal that says whether the pad is driven (constant 1 = always). output_enable: as the
 * fabric has it, whatever kind of driver it is. */
uint32_t pad_enable(struct netlist *n, unsigned pad);
uint32_t pad_output_enable(struct netlist *n, unsigned pad);
/* Does the image pull it up? */
bool pad_is_pulled(const struct netlist *n, unsigned pad);

/* ---- mac16.c ---- */

enum mac_input {
	MAC_IN_CLK, MAC_IN_CE,
	MAC_IN_AHOLD, MAC_IN_BHOLD, MAC_IN_CHOLD, MAC_IN_DHOLD, MAC_IN_OHOLDTOP, MAC_IN_OHOLDBOT,
	MAC_IN_IRSTTOP, MAC_IN_IRSTBOT, MAC_IN_ORSTTOP, MAC_IN_ORSTBOT,
	MAC_IN_OLOADTOP, MAC_IN_OLOADBOT, MAC_IN_ADDSUBTOP, MAC_IN_ADDSUBBOT, MAC_IN_CI,
	MAC_INPUTS
};

#define MAC_FIELDS  19
#define MAC_SIGNALS 1448

struct mac16 {
	int32_t input[MAC_INPUTS], operand[4][16]; /* nets, -1 = none; A to D */
	uint8_t field[MAC_FIELDS];
	bool negedge;
	unsigned x, y;
};

/* Fill n->macs[mac] from this cell of the database and mark its outputs. */
void mac16_open(struct netlist *n, unsigned mac, const struct chipdb_cell *cell);
/* Describe its signal `what`, 0 .. MAC_SIGNALS - 1. -EOPNOTSUPP: a cascade. */
int mac16_get(struct netlist *n, unsigned mac, unsigned what, struct cell *out,
	      struct reason *why);

static inline uint32_t sig_mac(const struct netlist *n, unsigned mac, unsigned what)
{
	return n->mac_base + MAC_SIGNALS * mac + what;
}

/* ---- spram.c ---- */

#define SPRAM_MAX 8 /* one bit each in struct domain */

/* Inputs; POWER is low to switch off. The clock is not looked at as data. */
enum {
	SPRAM_ADDRESS = 0, SPRAM_DATA = 14, SPRAM_MASK = 30, SPRAM_WRITE = 34, SPRAM_SELECT,
	SPRAM_STANDBY, SPRAM_SLEEP, SPRAM_POWER,
	SPRAM_DATA_INPUTS, SPRAM_CLOCK = SPRAM_DATA_INPUTS, SPRAM_PORTS
};

struct spram_ports {
	int32_t net[SPRAM_PORTS]; /* -1 = none */
	bool enabled;
	unsigned x, y;
};

/* Fill n->sprams[spram] from this cell of the database and mark its outputs. */
void spram_open(struct netlist *n, unsigned spram, const struct chipdb_cell *cell);
/* Its inputs as signals. -EOPNOTSUPP: it is not enabled. */
int spram_get(struct netlist *n, unsigned spram, uint32_t port[SPRAM_PORTS], struct reason *why);

/* A single-port RAM that runs. port: nodes. */
struct spram {
	uint16_t port[SPRAM_PORTS];
	uint16_t q;      /* 16 nodes of read data */
	unsigned number; /* of the RAM on the chip */
	uint16_t *words; /* owned */
	bool blank;      /* all words are 0 */
	/* an access that was sampled and waits for its commit */
	bool writing, reading;
	uint16_t row, data, keep;
};

struct spram_done {
	unsigned toggles, reads, writes;
};

/* Its memory; free(s->words). -ENOMEM. */
int spram_new(struct spram *s, struct reason *why);
/* Contents of the same RAM in another decoding of the design. */
void spram_copy(const struct spram *from, struct spram *to);
/* May it be switched off while the design runs? */
bool spram_is_async(const struct spram *s);
/* Would a clock edge read or write? */
bool spram_accessed(const struct spram *s, const uint8_t *val);
/* A clock edge. */
void spram_sample(struct spram *s, const uint8_t *val);
/* What was sampled takes effect; *done, which is 0, is filled. Returns how much changed. */
unsigned spram_commit(struct spram *s, uint8_t *val, struct spram_done *done);
/* What SLEEP and POWEROFF do at any time. Returns how much changed. */
unsigned spram_async(struct spram *s, uint8_t *val);

/* ---- rgb.c ---- */

/* Fill n->rgb from this cell of the database. */
void rgb_open(struct netlist *n, const struct chipdb_cell *cell);
/* Which of n->rgb the pad is, or -1. */
int rgb_of_pad(const struct netlist *n, unsigned pad);
/* Describe signal rgb_base + what. */
void rgb_get(struct netlist *n, unsigned what, struct cell *out);

/* ---- blocks.c ---- */

/* Number the signals of the blocks, from block_base on, and set n->signals. -ENOMEM. */
int blocks_number(struct netlist *n, struct reason *why);
/* Mark the outputs of the blocks as sources of their nets. -EOPNOTSUPP naming a
 * block that is switched on and not modelled (not if n is tolerant). */
int blocks_open(struct netlist *n, struct reason *why);
/* -EOPNOTSUPP naming the block that has this entry. */
int block_refuse(const struct netlist *n, unsigned entry, struct reason *why);

/* ---- program.c ---- */

struct op {
	uint16_t in[4]; /* nodes */
	uint16_t table;
};

/* Registers with everything in common but D and their reset value; their
 * outputs are nodes q .. q + count - 1. */
struct dff_group {
	uint16_t cen, sr, q, count;
	uint32_t d;      /* first index into program.dff_d and dff_set */
	bool async;
};

struct ram {
	uint16_t raddr[11], waddr[11], mask[16], wdata[16];
	uint16_t rclke, re, wclke, we;
	uint16_t q;      /* 16 nodes of read data */
	uint8_t read_mode, write_mode;
	unsigned number; /* of the RAM on the chip */
	uint16_t words[256];
	/* a write or read that was sampled and waits for its commit */
	bool writing, reading;
	uint16_t row, data, keep, read;
};

struct source_output {
	uint16_t node;         /* 0: nobody looks */
	bool level, edge;      /* of its own; shown an edge since sources_seen() */
	uint8_t still;         /* edges since anything changed */
	uint64_t num, den;     /* cycles of num/den in one of the reference that passes time */
	uint64_t due;          /* to its next edge, in 1/num of half a period of that */
};

/* A PLL or oscillator (sources.c). */
struct source {
	unsigned cell, hz, num, den, divide[2]; /* as struct clock_cell */
	bool used[2];          /* outputs that somebody looks at */
	int pad;               /* the reference, -1 = none */
	bool of_time;          /* it is the board's clock, whatever pin that is */
	int up;                /* or output up_output of this one before it, -1 = none */
	unsigned up_output;
	uint16_t enable[2], bypass, lock; /* nodes */
	bool moving, running, bypassed;
	unsigned edges;        /* rising ones of the reference since it runs */
	struct source_output out[2];
};

struct domain {
	uint16_t clk;
	bool negedge, last;
	unsigned first_group, groups;
	unsigned *ram_reads, *ram_writes; /* owned; numbers of program.rams */
	unsigned n_reads, n_writes;
	unsigned sprams; /* a bit for each of program.sprams */
};

/* A node is one byte of value. 0 and 1 are the constants; then levels from
 * outside, registers, RAM outputs, and the outputs of ops in their order. */
struct program {
	uint8_t *val, *next; /* nodes each */
	unsigned nodes, first_op, n_ops;
	struct op *ops;
	struct domain *domains;
	unsigned n_domains;
	struct dff_group *groups;
	unsigned n_groups;
	uint16_t *dff_d;
	uint8_t *dff_set;
	uint32_t *dff_sig;   /* which signal of the chip a register is */
	unsigned n_dffs;
	struct ram *rams;
	unsigned n_rams;
	struct spram sprams[SPRAM_MAX];
	unsigned n_sprams;
	struct source sources[CLOCK_CELLS]; /* a reference before what has it */
	unsigned n_sources;
	uint16_t *pad_level, *pad_ext, *pad_oe; /* by pad: nodes; 0 = none */
	uint8_t *pad_use, *pad_pulled;
	unsigned n_pads;
	unsigned luts, carries, logic_dffs, macs, lut_levels, loops, undriven, globals;
};

/* Everything that the pads depend on. -EOPNOTSUPP as cell_get(), -ENOMEM. */
int program_build(struct netlist *n, struct program **out, struct reason *why);
void program_free(struct program *p);

/* ---- eval.c ---- */

struct eval {
	struct program *p;
	uint64_t toggles, state_changes, ram_reads, ram_writes, unsettled;
	unsigned passes;  /* over all operations since the last edge or change from outside */
	uint64_t all_passes; /* since the start */
	unsigned spent;   /* of what may be used then, by edges just before (sources.c) */
	unsigned *active; /* owned; groups sampled and not yet committed */
	unsigned n_active;
	bool any_async;   /* some register has a set or reset that may come at any time */
	/* what is known of the clock node that was used last */
	uint16_t fast_clk;
	bool fast_known, fast_ok, fast_others;
	bool source_data;  /* a clock from inside is looked at by more than clock inputs */
	uint64_t source_changes; /* state_changes, when an edge of theirs was last looked at */
};

int eval_init(struct eval *e, struct program *p, struct reason *why);
void eval_fini(struct eval *e);
/* First settling after wake-up: no clock edges. */
void eval_start(struct eval *e);
/* Set a level from outside; true when it changed. Nothing settles yet. */
bool eval_input(struct eval *e, uint16_t node, bool level);
/* Come to rest, with all clock edges on the way. */
void eval_settle(struct eval *e);
/* One cycle of the clock at this node (0 = none): `inputs` is called once, with
 * the commit, to apply what the board drives. It returns whether any changed. */
void eval_cycle(struct eval *e, uint16_t clk, bool (*inputs)(void *), void *arg);
/* For sources.c, which has changed the levels of clock nodes: all their edges are one event.
 * fast: nothing but clock inputs looks at them (eval_clock_only()). inputs as above, or NULL. */
void eval_clocks(struct eval *e, bool fast, bool (*inputs)(void *), void *arg);
bool eval_clock_only(struct eval *e, uint16_t clk);
bool eval_node_is_data(const struct program *p, uint16_t node);
/* So many edges of this clock change nothing: count what they read and write. */
void eval_skip(struct eval *e, uint16_t clk, uint64_t rising, uint64_t falling);

/* ---- sources.c ---- */

#define SOURCE_LOCK_EDGES 16

/* Ratios to a board's clock of so many Hz. -EOPNOTSUPP: one is too high; tolerant: it stands still. */
int sources_init(struct eval *e, unsigned hz, bool tolerant, struct reason *why);
/* The pad gets this level: half a period begins for the clocks that have it as reference; time:
 * and for the oscillators. */
void sources_move(struct eval *e, int pad, bool level, bool time);
/* The next edges in what has moved, all that are at one time; only_now: only those at its very
 * beginning. False when there is none. sources_seen() when they were evaluated, sources_end()
 * after the last. */
bool sources_next(struct eval *e, bool only_now);
void sources_seen(struct eval *e);
void sources_end(struct eval *e);
/* Bring the level of LOCK up to date; true when it changed. */
bool sources_lock(struct eval *e);
/* eval_cycle() and eval_settle() for a design with such clocks; pad: of the clock, or -1. */
void sources_cycle(struct eval *e, uint16_t clk, int pad, bool (*inputs)(void *), void *arg);
void sources_settle(struct eval *e);
/* Nothing changed at any edge of those that a cycle of this pad moves: nothing will. */
bool sources_still(const struct eval *e, int pad);
/* Then n cycles pass without running them. */
void sources_skip(struct eval *e, int pad, uint16_t clk, uint64_t n);
/* Where they were in time, for the same design decoded again. */
void sources_copy(const struct program *from, struct program *to);

#endif
