# SPDX-License-Identifier: Apache-2.0
# The table of parts is data (parts.tsv, with the source of each row); C is made of it here.
OBJS += $(BUILD)/backend/image/part_rows.o

$(BUILD)/backend/image/part_rows.c: backend/image/parts.tsv backend/image/parts.awk
	$(call say,AWK,$<)
	$(Q)mkdir -p $(@D)
	$(Q)awk -f backend/image/parts.awk $< > $@.part && mv $@.part $@

$(BUILD)/backend/image/part_rows.o: $(BUILD)/backend/image/part_rows.c include/fabricfs/part.h
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<
