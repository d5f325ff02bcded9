// SPDX-License-Identifier: Apache-2.0
/* The configuration link (link.h). */
#include "link.h"

void link_reset(struct link *l)
{
	l->held = l->hold;
	if (l->logic) {
		logic_reset(l->logic);
		return;
	}
	fabric_config_reset(l->fabric);
	digest_reset(l->digest);
}

static int plain_write(struct link *l, unsigned level, const void *bytes, size_t n,
		       struct reason *why)
{
	(void)level;
	if (l->logic)
		return logic_write(l->logic, bytes, n, why);
	digest_update(l->digest, bytes, n);
	return fabric_config_write(l->fabric, bytes, n, why);
}

static bool plain_done(const struct link *l, unsigned level)
{
	(void)level;
	return link_awake(l);
}

const struct link_stage link_plain = { plain_write, plain_done };

int link_write(struct link *l, const void *bytes, size_t n, struct reason *why)
{
	return l->stages[0]->write(l, 0, bytes, n, why);
}

void link_end(struct link *l)
{
	if (l->logic)
		logic_end(l->logic);
}

bool link_done(const struct link *l)
{
	return l->stages[0]->done(l, 0);
}

bool link_awake(const struct link *l)
{
	return (l->logic ? logic_done(l->logic) : fabric_done(l->fabric)) && !l->held;
}

uint64_t link_hz(const struct link *l)
{
	return l->slow_hz && (!l->hz || l->slow_hz < l->hz) ? l->slow_hz : l->hz;
}

uint64_t link_passed(const struct link *l, int64_t ns)
{
	uint64_t hz = link_hz(l);

	if (!hz)
		return UINT64_MAX;
	if (ns < LINK_CLEAR_NS)
		return 0;

	double bytes = (double)(ns - LINK_CLEAR_NS) * 1e-9 * (double)hz / 8;

	return bytes < 1e18 ? (uint64_t)bytes : UINT64_MAX;
}

int64_t link_time(const struct link *l, uint64_t bytes)
{
	uint64_t hz = link_hz(l);
	double ns = hz ? (double)bytes * 8e9 / (double)hz : 0;

	if (!hz)
		return 0;
	/* A little late rather than a little early, or the last byte is waited for twice. */
	return LINK_CLEAR_NS + 1000 + (ns < 1e17 ? (int64_t)ns : (int64_t)1e17);
}
