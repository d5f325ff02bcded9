# SPDX-License-Identifier: Apache-2.0
# The program that tests/system/designs.py drives the simulated fabric with.
DRIVE      := $(BUILD)/tests/fabric_drive
DRIVE_OBJS := $(BUILD)/tests/designs/fabric_drive.o $(BUILD)/fs/util/error.o $(BUILD)/fs/util/buf.o \
              $(BUILD)/backend/card/sim/data/databases.o \
              $(patsubst %.c,$(BUILD)/%.o,$(wildcard backend/card/sim/engine/*.c))

$(DRIVE): $(DRIVE_OBJS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

-include $(BUILD)/tests/designs/fabric_drive.d

.PHONY: fabric_drive
fabric_drive: $(DRIVE)
