# SPDX-License-Identifier: Apache-2.0
# The fabric databases: kept compressed, unpacked while building, linked in as
# read-only data that all processes share and nothing has to unpack at run time.
SIM_DATA := backend/card/sim/data
SIM_DIES := lp384 hx1k hx8k up5k
SIM_DB   := $(SIM_DIES:%=$(BUILD)/$(SIM_DATA)/%.db)

OBJS += $(BUILD)/$(SIM_DATA)/databases.o

$(SIM_DB): $(BUILD)/%.db: %.db.xz
	$(call say,XZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)xz -dc $< > $@.part && mv $@.part $@

$(BUILD)/$(SIM_DATA)/databases.o: $(SIM_DATA)/databases.S $(SIM_DB)
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -Wa,-I$(BUILD)/$(SIM_DATA) -c -o $@ $<

# Make the databases again from IceStorm's package (fpga-icestorm-chipdb), which
# names a die by its size alone.
ICESTORM_CHIPDB ?= /usr/share/fpga-icestorm/chipdb
.PHONY: chipdb
chipdb: $(SIM_DIES:%=chipdb-%)
chipdb-%:
	$(Q)mkdir -p $(BUILD)/$(SIM_DATA)
	$(Q)$(SIM_DATA)/chipdb-pack $(ICESTORM_CHIPDB)/chipdb-$(patsubst hx%,%,$(patsubst lp%,%,$(patsubst up%,%,$*))).txt $(BUILD)/$(SIM_DATA)/$*.db
	$(Q)xz -9e -T1 -c $(BUILD)/$(SIM_DATA)/$*.db > $(SIM_DATA)/$*.db.xz

# The evaluator is the one place where the compiler's last percent is felt.
$(BUILD)/backend/card/sim/engine/eval.o: CFLAGS_ALL += $(if $(filter -O2,$(CFLAGS)),-O3)
