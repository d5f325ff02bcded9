// SPDX-License-Identifier: Apache-2.0
/*
 * The two lines of an asynchronous serial port, 8 data bits, no parity, one stop
 * bit, least significant bit first, as seen from the board: it sends bytes to the
 * design and receives what the design sends. Pure: no pins, no clock of its own,
 * times are cycles of the board's clock, counted by the caller.
 *
 * Sender and receiver keep their own exact time: bit k of a byte that began at t
 * begins at t + k * hz / baud, rounded to a whole cycle. The receiver looks at the
 * middle of each bit, as real ones do at a half of their 16 samples: a start bit
 * that is high there was a glitch and nothing is received; a stop bit that is low
 * there is a framing error and the byte is dropped. After it a new start bit needs
 * a line that was high in between, so a line that stays low (a break) is one error.
 */
#ifndef SIM_UART_H
#define SIM_UART_H

#include <stdbool.h>
#include <stdint.h>

#define UART_NEVER UINT64_MAX
#define UART_BAUD_MIN 50
/* Cycles a bit has at least; below, the middle of a bit has no meaning. */
#define UART_CYCLES_MIN 4
#define UART_FRAME_BITS 10

struct uart_rate {
	uint64_t hz, baud; /* baud from UART_BAUD_MIN to hz / UART_CYCLES_MIN */
};

/* Cycles that so many halves of a bit take. */
uint64_t uart_halves(const struct uart_rate *rate, unsigned halves);

struct uart_send {
	bool busy;
	uint8_t byte;
	unsigned bit;   /* the next one to be put on the line, UART_FRAME_BITS = the end of the last */
	uint64_t start;
};

/* The line is idle (not busy): this byte's start bit begins now. */
void uart_send_begin(struct uart_send *s, uint64_t now, uint8_t byte);
/* When the line is to change next, UART_NEVER while not busy. */
uint64_t uart_send_due(const struct uart_send *s, const struct uart_rate *rate);
/* It is due: the level of the line from now on. Not busy any more after the stop bit. */
bool uart_send_step(struct uart_send *s);

enum uart_listen { UART_IDLE, UART_FRAME, UART_BREAK };
struct uart_receive {
	enum uart_listen state;
	uint8_t byte;
	unsigned bit; /* the next one to be looked at */
	uint64_t start;
};

enum uart_event { UART_NOTHING, UART_BYTE, UART_FRAMING };
/* When to look at the line again whatever it does, UART_NEVER while there is no frame. */
uint64_t uart_receive_due(const struct uart_receive *r, const struct uart_rate *rate);
/* The line has this level now. Call it when it is due, and when the line changes in between.
 * UART_BYTE: r->byte was received. */
enum uart_event uart_receive_step(struct uart_receive *r, const struct uart_rate *rate, uint64_t now,
				  bool level);

#endif
