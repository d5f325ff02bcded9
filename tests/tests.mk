# SPDX-License-Identifier: Apache-2.0
# Every tests/unit/test_*.c is a cmocka program linked with all of fabricfs but main().
UNIT_SRCS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/unit/%)
LIB_OBJS   = $(filter-out $(MAIN),$(OBJS))

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIB_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -lcmocka

.PRECIOUS: $(BUILD)/tests/unit/%.o
-include $(UNIT_SRCS:%.c=$(BUILD)/%.d)

.PHONY: unit
unit: $(UNIT_BINS)
	@for t in $^; do echo "== $$t"; "$$t" || exit 1; done

-include tests/designs/rules.mk

# A backend of its own in place of the table's.
$(BUILD)/tests/unit/test_card: LDFLAGS_ALL += -Wl,--wrap=card_backend_find
