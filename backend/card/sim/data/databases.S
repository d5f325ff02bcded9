/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric databases, one a die, as read-only data; rules.mk says in which
 * folder (-I) they were unpacked. Each begins on a page of its own, so that a
 * process has only those pages in memory that its part needs. */
	.macro database name, file
	.balign 4096
	.globl \name
	.type \name, %object
\name:
	.incbin "\file"
\name\()_end:
	.size \name, \name\()_end - \name
	.balign 8
	.globl \name\()_size
	.type \name\()_size, %object
\name\()_size:
	.quad \name\()_end - \name
	.size \name\()_size, 8
	.endm

	.section .rodata
	database sim_db_lp384, lp384.db
	database sim_db_hx1k, hx1k.db
	database sim_db_hx8k, hx8k.db
	database sim_db_up5k, up5k.db
	.section .note.GNU-stack,"",%progbits
