# SPDX-License-Identifier: Apache-2.0
# `make bench` prints the table of what fabricfs costs (tests/bench/README.md).
BENCH_OPS := $(BUILD)/tests/bench/ops

$(BENCH_OPS): $(BUILD)/tests/bench/ops.o
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

-include $(BUILD)/tests/bench/ops.d

.PHONY: bench bench-programs
bench-programs: $(BENCH_OPS) fabric_drive
bench: all bench-programs
	@tests/bench/bench.py $(if $(BENCH_ONLY),--only $(BENCH_ONLY))
