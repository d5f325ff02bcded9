// SPDX-License-Identifier: Apache-2.0
/*
 * The board around a simulated fabric: what its pins are wired to. There are two kinds.
 *
 * "stream" (board_stream.c) exists nowhere else. It wires pins to a byte stream
 * into the design, one out of it, a window of 256 registers of 16 bits, a clock,
 * a reset (high for 4 cycles after wake-up and on reset) and an interrupt line:
 *
 *	clk, rst
 *	host -> design: rx_data[8], rx_valid, rx_ready (out)
 *	design -> host: tx_data[8], tx_valid (all out), tx_ready
 *	registers: reg_addr[8], reg_we, reg_re, reg_wdata[16], reg_rdata[16] and reg_ack (out)
 *	irq (out)
 *
 * An HX1K in TQ144 has them all; an HX8K in CT256, an LP384 in CM49 and an
 * UP5K in SG48 have the streams, clock and reset. The pins are in board_stream.c and, for place and route,
 * in the board-*.pcf of contrib/examples. A byte moves at a rising clock edge before
 * which valid and ready are both high. A register access holds address and re or we
 * until an edge before which ack is high; one idle cycle follows it.
 *
 * Boards that people own (board_table.h, board_kit.c) have a clock, lights, buttons
 * and perhaps a serial port (uart.h), whose bytes the streams are: a byte is taken
 * when the port's queue has room, and is sent at the pace of the line.
 *
 * The board only runs when it is told to, and says when running further would
 * change nothing. It belongs to one thread and never blocks.
 */
#ifndef SIM_BOARD_H
#define SIM_BOARD_H

#include "engine/fabric.h"
#include "faults.h"

#include <fabricfs/buf.h>
#include <fabricfs/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_RX_BYTES    65536 /* what the design has sent and nobody has read */
#define BOARD_REGS        256
#define BOARD_ACK_CYCLES  4096  /* a register that has not acknowledged by then does not */
#define BOARD_RESET_CYCLES 4

struct board;

struct board_setup {
	const char *name; /* "stream", or a row of board_table.h */
	bool manual;      /* it drives nothing by itself, not even the clock, and offers the pins only */
	uint64_t baud;    /* of a board with a serial port, see uart.h */
};

/* A board around this fabric, which it does not own; setup is not kept. -ENODEV: there is no such
 * board, not for its part, or the fabric has not the pins. */
int board_new(struct fabric *f, const struct board_setup *setup, struct board **out,
	      struct reason *why);
void board_free(struct board *b); /* NULL is fine */

/* The configuration was wiped: queues are empty, no endpoints. */
void board_off(struct board *b);
/* DONE rose: see what the image drives, reset it. */
void board_wake(struct board *b);
/* Are its streams a serial port, that is heard whether somebody listens or not? */
bool board_serial(const struct board *b);
/* Has it a reset line? Boards that people own have none: only a new configuration resets. */
bool board_resets(const struct board *b);
/* Reset the design (its registers as it likes, its block RAM stays); queues are emptied. */
void board_reset(struct board *b);

/* From now on these pins are tied to a level, and no others. -EINVAL: the board has no such
 * pin; then nothing changed. */
int board_stick(struct board *b, const struct stuck_pin *pins, unsigned n, struct reason *why);

/* CARD_ENDPOINT_BITs (card.h) that the image drives, and those that would not wait now. */
unsigned board_endpoints(const struct board *b);
unsigned board_ready(const struct board *b);

/* Offer n bytes to the design; not copied, they stay the caller's until taken or withdrawn
 * with n = 0. Those that were taken count from here. */
void board_offer(struct board *b, const uint8_t *bytes, size_t n);
size_t board_taken(const struct board *b);

/* Bytes the design has sent; take up to n of them. */
size_t board_waiting(const struct board *b);
size_t board_take(struct board *b, uint8_t *bytes, size_t n);

enum board_access { BOARD_IDLE, BOARD_PENDING, BOARD_ACKED, BOARD_SILENT };
/* Begin an access (none may be pending); board_run() drives it. */
void board_access_begin(struct board *b, unsigned reg, bool write, uint16_t value);
/* What became of it; ACKED and SILENT are told once, then the state is IDLE. */
enum board_access board_access_result(struct board *b, uint16_t *value);

/* Cycles since a byte moved or an access ended. */
uint64_t board_idle_cycles(const struct board *b);
/* Running would change nothing until the host does something. */
bool board_at_rest(const struct board *b);
/* Bytes that were taken are still on their way to the design. */
bool board_busy(const struct board *b);

/* What board_run() stops for, beside rest and the end of the cycles. */
enum { BOARD_STOP_ACCESS = 1, BOARD_STOP_TAKEN = 2, BOARD_STOP_SENT = 4 };
/* Run up to n cycles; stops earlier when an access ended, all that was offered
 * was taken, `want` bytes wait, the stream out of the design paused (SENT), or after
 * a cycle that was fabric_costly(). */
void board_run(struct board *b, uint64_t n, unsigned stop, size_t want);

/* A line `NAME 0|1` for each light, 1 = lit, and for each button, 1 = pressed; of a board that
 * offers the endpoint. */
void board_leds_read(const struct board *b, struct buf *out);
void board_buttons_read(const struct board *b, struct buf *out);
/* Press and release by such lines, all together. -EINVAL: not such lines; nothing changed. */
int board_buttons_write(struct board *b, const char *text, size_t n);
/* Cycles of a fiftieth of a second on the board: whoever looks at its lights sees no faster. */
uint64_t board_look_cycles(const struct board *b);

/* What the design does with each pin of the package, a line `PIN in|out|off 0|1|z`. */
void board_pins_read(const struct board *b, struct buf *out);
/*
 * Drive pins by lines `PIN 0|1`: all together, then the design settles. -EINVAL: not such lines, no
 * such pin, or one that the design drives; -EBUSY: the board drives it itself. Then nothing changed.
 */
int board_pins_write(struct board *b, const char *text, size_t n);

struct board_counters {
	uint64_t bytes_in, bytes_out, stalls, accesses;
	uint64_t framing, overruns;
};
/* stalls: cycles in which one side was valid and the other not ready; framing: bytes that came
 * without a stop bit; overruns: bytes that came while the queue was full. Since board_new(). */
void board_counters(const struct board *b, struct board_counters *out);

#endif
