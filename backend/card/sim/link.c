// SPDX-License-Identifier: Apache-2.0
/* The configuration link (link.h). */
#include "link.h"

void link_reset(struct link *l)
{
	fabric_config_reset(l->fabric);
	digest_reset(l->digest);
}

static int plain_write(struct link *l, const void *bytes, size_t n, struct reason *why)
{
	digest_update(l->digest, bytes, n);
	return fabric_config_write(l->fabric, bytes, n, why);
}

static bool plain_done(const struct link *l)
{
	return fabric_done(l->fabric);
}

const struct link_stage link_plain = { plain_write, plain_done };

uint64_t link_passed(const struct link *l, int64_t ns)
{
	if (!l->hz)
		return UINT64_MAX;
	if (ns < LINK_CLEAR_NS)
		return 0;

	double bytes = (double)(ns - LINK_CLEAR_NS) * 1e-9 * (double)l->hz / 8;

	return bytes < 1e18 ? (uint64_t)bytes : UINT64_MAX;
}

int64_t link_time(const struct link *l, uint64_t bytes)
{
	double ns = l->hz ? (double)bytes * 8e9 / (double)l->hz : 0;

	if (!l->hz)
		return 0;
	/* A little late rather than a little early, or the last byte is waited for twice. */
	return LINK_CLEAR_NS + 1000 + (ns < 1e17 ? (int64_t)ns : (int64_t)1e17);
}
