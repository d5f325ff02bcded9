/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric databases as read-only data; the paths come from rules.mk. */
	.section .rodata
	.balign 16
	.globl sim_db_hx1k
	.type sim_db_hx1k, %object
sim_db_hx1k:
	.incbin SIM_DB_HX1K
sim_db_hx1k_end:
	.size sim_db_hx1k, sim_db_hx1k_end - sim_db_hx1k
	.balign 8
	.globl sim_db_hx1k_size
	.type sim_db_hx1k_size, %object
sim_db_hx1k_size:
	.quad sim_db_hx1k_end - sim_db_hx1k
	.size sim_db_hx1k_size, 8
	.section .note.GNU-stack,"",%progbits
