// SPDX-License-Identifier: Apache-2.0
/* The lines of an asynchronous serial port (uart.h). */
#include "uart.h"

uint64_t uart_halves(const struct uart_rate *rate, unsigned halves)
{
	return (halves * rate->hz + rate->baud) / (2 * rate->baud);
}

void uart_send_begin(struct uart_send *s, uint64_t now, uint8_t byte)
{
	*s = (struct uart_send){ .busy = true, .byte = byte, .start = now };
}

uint64_t uart_send_due(const struct uart_send *s, const struct uart_rate *rate)
{
	return s->busy ? s->start + uart_halves(rate, 2 * s->bit) : UART_NEVER;
}

bool uart_send_step(struct uart_send *s)
{
	unsigned bit = s->bit++;

	if (bit == 0)
		return false;
	if (bit <= 8)
		return s->byte >> (bit - 1) & 1;
	if (bit == UART_FRAME_BITS)
		s->busy = false;
	return true;
}

uint64_t uart_receive_due(const struct uart_receive *r, const struct uart_rate *rate)
{
	return r->state == UART_FRAME ? r->start + uart_halves(rate, 2 * r->bit + 1) : UART_NEVER;
}

static enum uart_event frame_step(struct uart_receive *r, bool level)
{
	unsigned bit = r->bit++;

	if (bit == 0) {
		if (level)
			r->state = UART_IDLE; /* a glitch */
		return UART_NOTHING;
	}
	if (bit <= 8) {
		r->byte = (uint8_t)(r->byte >> 1 | level << 7);
		return UART_NOTHING;
	}
	r->state = level ? UART_IDLE : UART_BREAK;
	return level ? UART_BYTE : UART_FRAMING;
}

enum uart_event uart_receive_step(struct uart_receive *r, const struct uart_rate *rate, uint64_t now,
				  bool level)
{
	if (r->state == UART_FRAME)
		return now >= uart_receive_due(r, rate) ? frame_step(r, level) : UART_NOTHING;
	if (r->state == UART_BREAK && level)
		r->state = UART_IDLE;
	if (r->state == UART_IDLE && !level)
		*r = (struct uart_receive){ .state = UART_FRAME, .start = now };
	return UART_NOTHING;
}
