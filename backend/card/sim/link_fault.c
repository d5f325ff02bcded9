// SPDX-License-Identifier: Apache-2.0
/* Links that do not do what they should, one stage a fault. */
#include "link.h"
#include "proto.h"

/* Takes every byte, delivers none, and reports that all went well. */
static int lies_write(struct link *l, const void *bytes, size_t n, struct reason *why)
{
	(void)l;
	(void)bytes;
	(void)n;
	(void)why;
	return 0;
}

static bool lies_done(const struct link *l)
{
	(void)l;
	return true;
}

static const struct link_stage link_lies = { lies_write, lies_done };

const struct link_stage *link_stage_for(uint64_t faults)
{
	return faults & PROTO_FAULT_LINK_LIES ? &link_lies : &link_plain;
}
