// SPDX-License-Identifier: Apache-2.0
/* The configuration link (link.h). */
#include "link.h"
#include "proto.h"

void link_reset(struct link *l)
{
	fabric_config_reset(l->fabric);
	digest_reset(l->digest);
}

int link_write(struct link *l, const void *bytes, size_t n, struct reason *why)
{
	if (l->faults & PROTO_FAULT_LINK_LIES)
		return 0;
	digest_update(l->digest, bytes, n);
	return fabric_config_write(l->fabric, bytes, n, why);
}

uint64_t link_passed(const struct link *l, int64_t ns)
{
	if (!l->hz)
		return UINT64_MAX;
	if (ns < LINK_CLEAR_NS)
		return 0;
	return (uint64_t)((double)(ns - LINK_CLEAR_NS) * 1e-9 * (double)l->hz / 8);
}

int64_t link_time(const struct link *l, uint64_t bytes)
{
	if (!l->hz)
		return 0;
	/* A little late rather than a little early, or the last byte is waited for twice. */
	return LINK_CLEAR_NS + 1000 + (int64_t)((double)bytes * 8e9 / (double)l->hz);
}
