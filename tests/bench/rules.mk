# SPDX-License-Identifier: Apache-2.0
# `make bench` prints the table of what fabricfs costs (tests/bench/README.md).
BENCH_PROGRAMS := $(BUILD)/tests/bench/ops $(BUILD)/tests/bench/relay

$(BENCH_PROGRAMS): %: %.o
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

-include $(BENCH_PROGRAMS:%=%.d)

.PHONY: bench bench-programs
bench-programs: $(BENCH_PROGRAMS) fabric_drive
bench: all bench-programs
	@tests/bench/bench.py $(if $(BENCH_ONLY),--only $(BENCH_ONLY))
