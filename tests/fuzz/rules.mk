# SPDX-License-Identifier: Apache-2.0
# Fuzz targets: every tests/fuzz/fuzz_*.c and every recogniser, with libFuzzer, AddressSanitizer and UBSan,
# and with those parts of fabricfs that read what comes from outside.
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 3600
FUZZ_SRCS    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
# One for each recogniser: the same program under another name (format.c).
FUZZ_FORMATS := $(shell sed -n 's/^\t\.name = "\(..*\)",$$/\1/p' backend/image/*.c) archive
FUZZ_EACH    := $(FUZZ_FORMATS:%=$(BUILD)/tests/fuzz/fuzz_%)
FUZZ_BINS    := $(FUZZ_SRCS:%.c=$(BUILD)/%) $(FUZZ_EACH)
FUZZ_OBJS     = $(filter $(BUILD)/fs/util/% $(BUILD)/fs/daemon/config% $(BUILD)/backend/card/% \
                $(BUILD)/backend/helper/% $(BUILD)/backend/image/% $(BUILD)/backend/repo/%,$(OBJS))

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(FUZZ_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

$(BUILD)/tests/fuzz/fuzz_cloud: LDFLAGS_ALL += -Wl,--wrap=log_msg

$(FUZZ_EACH): $(BUILD)/tests/fuzz/format
	$(Q)ln -f $< $@

.SECONDARY: $(BUILD)/tests/fuzz/format.o $(FUZZ_SRCS:%.c=$(BUILD)/%.o)
-include $(FUZZ_SRCS:%.c=$(BUILD)/%.d) $(BUILD)/tests/fuzz/format.d

.PHONY: fuzz fuzz-build fuzz-programs
fuzz-programs: $(FUZZ_BINS) $(IMAGES)
# Its own compiler, and a sentence where that is missing. The warnings that count are the usual one's.
fuzz-build:
	@echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' | \
		$(FUZZ_CC) -fsanitize=fuzzer,address -x c -o /dev/null - 2>/dev/null || { \
		echo "fuzz: $(FUZZ_CC) with libFuzzer is missing: sudo make deps-check (packages clang and libclang-rt-dev)" >&2; exit 1; }
	@$(MAKE) --no-print-directory $(JOBS) CC=$(FUZZ_CC) CFLAGS="-O1 -g" WERROR=-w \
		SANITIZE=fuzzer-no-link,address,undefined fuzz-programs
fuzz: fuzz-build
	@tests/check.py --build build/fuzz --fuzz-seconds $(FUZZ_SECONDS) fuzz
