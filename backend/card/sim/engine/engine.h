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
 *	cells.c     what a look-up table, carry, register, pad or RAM computes
 *	blocks.c    RAM, multipliers, oscillators ... beside the fabric
 *	program.c   everything that the pads depend on -> an ordered list of LUT4s
 *	eval.c      runs that list, clock domains, registers and RAM
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
 *	block_base + entry               output of a block beside the fabric, by its entry
 *	                                 in the database
 *	mac_base + MAC_SIGNALS * mac + signal of a multiplier (mac16.c)
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
	bool driver;   /* the LED driver has it, else the fabric */
	int32_t on[3]; /* nets that must all be 1 then, -1 = none */
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
	uint32_t pad_base, ram_base, block_base, mac_base, spram_base, rgb_base, signals;
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

/* ---- cells.c ---- */

enum cell_kind {
	CELL_LUT,  /* combinational: in[], table */
	CELL_DFF,  /* in[0] = D */
	CELL_RAM,  /* a bit of RAM number `unit` */
	CELL_SPRAM, /* a bit of single-port RAM number `unit` */
	CELL_EXT,  /* a level from outside: pad `unit` */
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
/* The signal that says whether the pad is driven (constant 1 = always). output_enable: as the
 * fabric has it, whatever kind of driver it is. */
uint32_t pad_enable(struct netlist *n, unsigned pad);
uint32_t pad_output_enable(struct netlist *n, unsigned pad);

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

/* Fill n->rgb from this cell of the database. -EIO: a pad has two drivers. */
int rgb_open(struct netlist *n, const struct chipdb_cell *cell, struct reason *why);
/* Which of n->rgb the pad is, or -1. */
int rgb_of_pad(const struct netlist *n, unsigned pad);
/* Describe signal rgb_base + k. */
void rgb_get(struct netlist *n, unsigned k, struct cell *out);

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
	uint16_t *pad_level, *pad_ext, *pad_oe; /* by pad: nodes; 0 = none */
	uint8_t *pad_use;
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
	unsigned *active; /* owned; groups sampled and not yet committed */
	unsigned n_active;
	bool any_async;   /* some register has a set or reset that may come at any time */
	/* what is known of the clock node that was used last */
	uint16_t fast_clk;
	bool fast_known, fast_ok, fast_others;
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

#endif
