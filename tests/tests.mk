# SPDX-License-Identifier: Apache-2.0
# Every tests/unit/test_*.c is a cmocka program linked with all of fabricfs but main().
UNIT_SRCS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/unit/%)
LIB_OBJS   = $(filter-out $(MAIN),$(OBJS))

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIB_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -lcmocka

# An image of each format, for the tests of recognisers; vendors' samples are listed with them.
IMAGES := build/images/INDEX
$(IMAGES): $(wildcard tests/images/*.py ../shared/samples/MANIFEST.tsv)
	$(call say,IMAGES,$(@D))
	$(Q)mkdir -p $(@D)
	$(Q)tests/images/make.py $(@D) ../shared/samples

# Kept, so that an unchanged test is not compiled again.
.SECONDARY: $(UNIT_SRCS:%.c=$(BUILD)/%.o)
-include $(UNIT_SRCS:%.c=$(BUILD)/%.d)

# A time of day that system tests set: loaded into the program, so without the sanitizers' run-time.
CLOCK_SHIM := $(BUILD)/tests/clock_shim.so
$(CLOCK_SHIM): tests/system/clock_shim.c
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) -shared -fPIC -o $@ $<

.PHONY: unit unit-programs
unit-programs: $(UNIT_BINS) $(IMAGES) $(CLOCK_SHIM)
unit: $(UNIT_BINS) $(IMAGES)
	@for t in $(UNIT_BINS); do echo "== $$t"; "$$t" || exit 1; done

-include tests/designs/rules.mk
-include tests/bench/rules.mk
include tests/fuzz/rules.mk

# Tests of fs/card have a fixture, with a backend of its own in place of the table's.
CARD_TESTS := $(filter $(BUILD)/tests/unit/test_card_%,$(UNIT_BINS))
$(CARD_TESTS): $(BUILD)/tests/unit/card_fixture.o
$(CARD_TESTS): LDFLAGS_ALL += -Wl,--wrap=card_backend_find
# So have those of the store and of the holder.
$(filter $(BUILD)/tests/unit/test_store $(BUILD)/tests/unit/test_store_% $(BUILD)/tests/unit/test_cache_%,$(UNIT_BINS)): $(BUILD)/tests/unit/store_fixture.o
$(filter $(BUILD)/tests/unit/test_holder%,$(UNIT_BINS)): $(BUILD)/tests/unit/holder_fixture.o
# And what asks over the network: a server.
HTTP_TESTS := $(filter $(BUILD)/tests/unit/test_transfer $(BUILD)/tests/unit/test_transfer_% $(BUILD)/tests/unit/test_http_%,$(UNIT_BINS))
$(HTTP_TESTS): $(BUILD)/tests/unit/http_fixture.o
-include $(BUILD)/tests/unit/http_fixture.d
-include $(BUILD)/tests/unit/card_fixture.d $(BUILD)/tests/unit/store_fixture.d $(BUILD)/tests/unit/holder_fixture.d
# The same for slots, whose backend is another one.
$(BUILD)/tests/unit/test_slots: LDFLAGS_ALL += -Wl,--wrap=card_backend_find
# Where the time of day is set.
$(BUILD)/tests/unit/test_mirror $(BUILD)/tests/unit/test_cache_chunks: LDFLAGS_ALL += -Wl,--wrap=clock_now_ns

# Everything: the build that ships and the one with sanitizers. The numbers of both
# are added up in one file, and the last line is their sum.
SUM  := build/check.json
# Both cores, unless make already hands out jobs.
JOBS  = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: check check-long asan tsan tsan-build
check:
	@$(DEPS) --missing build check >/dev/null || $(MAKE) --no-print-directory deps-check
	@rm -f $(SUM)
	@$(MAKE) --no-print-directory $(JOBS) all unit-programs fabric_drive bench-programs man
	@bad=0; tests/check.py --add $(SUM) source unit system examples || bad=1; \
	{ $(MAKE) --no-print-directory tsan-build && \
		tests/check.py --build build/tsan --add $(SUM) races; } || bad=1; \
	{ $(MAKE) --no-print-directory fuzz-build && \
		tests/check.py --build build/fuzz --add $(SUM) fuzz; } || bad=1; \
	$(MAKE) --no-print-directory ADD="--add $(SUM)" asan || bad=1; exit $$bad
asan:
	@$(DEPS) --missing build check >/dev/null || $(MAKE) --no-print-directory deps-check
	@$(MAKE) --no-print-directory $(JOBS) SANITIZE=address,undefined all unit-programs fabric_drive
	@tests/check.py --build build/asan $(ADD) unit system
# What is drawn by lot, many times: about an hour of both cores.
check-long:
	@$(DEPS) --missing build check >/dev/null || $(MAKE) --no-print-directory deps-check
	@$(MAKE) --no-print-directory $(JOBS) all fabric_drive
	@$(MAKE) --no-print-directory $(JOBS) SANITIZE=address,undefined build/asan/tests/unit/test_image_sweep $(IMAGES)
	@tests/check.py long
tsan-build:
	@$(MAKE) --no-print-directory $(JOBS) SANITIZE=thread all unit-programs
tsan: tsan-build
	@tests/check.py --build build/tsan unit system
