// SPDX-License-Identifier: Apache-2.0
/*
 * When a request is tried again, and when it is given up: numbers in, a number
 * out, no clock and no network of its own.
 *
 * Without a connection, tries go on until the time for an unreachable repository
 * is over. With one, a few tries without progress are all; a transfer that gets
 * on between its breaks goes on for as long as it does.
 */
#include "backend/repo/transfer_in.h"

#include <string.h>

#define NS_PER_MS	 1000000
#define CONNECT_LEAST_MS 100

void retry_progress(struct retry *retry)
{
	*retry = (struct retry){ 0 };
}

/* first * 2^n, at most `most`, and a quarter of it up or down, so that many askers spread. */
static int64_t back_off(int64_t first, int64_t most, unsigned n, uint32_t lot)
{
	int64_t ms = first;

	while (n-- > 0 && ms < most)
		ms *= 2;
	if (ms > most)
		ms = most;
	return ms - ms / 4 + (int64_t)(lot % (uint32_t)(ms / 2 + 1));
}

static int64_t next_offline(struct retry *retry, int64_t timeout_ms, int64_t began_ns, int64_t now_ns, uint32_t lot)
{
	if (retry->offline_ns == 0)
		retry->offline_ns = began_ns;
	int64_t left = timeout_ms - (now_ns - retry->offline_ns) / NS_PER_MS;
	int64_t wait = back_off(100, 2000, retry->offline++, lot);

	return wait < left ? wait : -1;
}

int64_t retry_next(struct retry *retry, enum try_end end, int64_t asked_ms, int64_t offline_timeout_ms,
		   int64_t began_ns, int64_t now_ns, uint32_t lot)
{
	int64_t wait = -1;

	switch (end) {
	case TRY_ANSWERED:
		return -1;
	case TRY_OFFLINE:
		return next_offline(retry, offline_timeout_ms, began_ns, now_ns, lot);
	case TRY_STALLED:
		if (++retry->stalls >= RETRY_STALLS)
			return -1;
		__attribute__((fallthrough));
	case TRY_BROKEN:
	case TRY_BUSY:
		retry->offline_ns = 0;
		retry->offline = 0;
		if (++retry->tries >= RETRY_TRIES)
			return -1;
		/* A break is made good at once the first time: most are one connection's. */
		if (end == TRY_BROKEN && retry->tries == 1)
			return 0;
		wait = back_off(200, 5000, retry->tries - 1, lot);
	}
	if (asked_ms > wait)
		wait = asked_ms;
	retry->waited_ms += asked_ms > 0 ? asked_ms : 0;
	return retry->waited_ms > RETRY_WAIT_MS ? -1 : wait;
}

int64_t retry_connect_ms(const struct retry *retry, int64_t connect_timeout_ms, int64_t offline_timeout_ms,
			 int64_t now_ns)
{
	int64_t left = offline_timeout_ms;

	if (retry->offline_ns)
		left -= (now_ns - retry->offline_ns) / NS_PER_MS;
	/* However little is left: what begins is to have a chance. */
	if (left < CONNECT_LEAST_MS)
		left = CONNECT_LEAST_MS;
	return left < connect_timeout_ms ? left : connect_timeout_ms;
}

int64_t retry_after(const char *value, const char *date, int64_t now_s)
{
	uint64_t seconds;

	if (!value)
		return -1;
	if (number_parse(value, &seconds))
		return seconds > INT32_MAX ? (int64_t)INT32_MAX * 1000 : (int64_t)seconds * 1000;
	time_t then = curl_getdate(value, NULL);
	time_t now = date ? curl_getdate(date, NULL) : -1;

	if (then == -1)
		return -1;
	/* The clocks need not agree: what counts is how far the two dates of one server are apart. */
	int64_t left = (int64_t)then - (now == -1 ? now_s : (int64_t)now);

	if (left > INT32_MAX)
		left = INT32_MAX;
	return left > 0 ? left * 1000 : 0;
}
