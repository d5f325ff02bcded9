# SPDX-License-Identifier: Apache-2.0
# fabricfs: `make` builds build/fabricfs; `make help` lists the targets.
VERSION := 0.1.0

prefix      ?= /usr/local
bindir      ?= $(prefix)/bin
mandir      ?= $(prefix)/share/man
sysconfdir  ?= /etc
DESTDIR     ?=

# Each sanitizer has its own object folder, so switching never mixes objects.
SANITIZE ?=
ifeq ($(SANITIZE),)
BUILD := build
else ifeq ($(SANITIZE),thread)
BUILD := build/tsan
else
BUILD := build/asan
endif

V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
else
Q :=
say = @:
endif

PKG_CONFIG ?= pkg-config
PKGS       := fuse3 sqlite3 yaml-0.1 jansson libcrypto
CFLAGS     ?= -O2 -g
WERROR     ?= -Werror
WARN       := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
              -Wwrite-strings -Wformat=2 -Wundef -fno-common $(WERROR)

# Targets that need no libraries must work on a machine that has none yet.
NO_LIBS := deps deps-check clean help format install-man uninstall demo check asan
ifneq ($(filter-out $(NO_LIBS),$(or $(MAKECMDGOALS),all)),)
MISSING := $(shell for p in $(PKGS); do $(PKG_CONFIG) --exists $$p 2>/dev/null || echo $$p; done)
ifneq ($(MISSING),)
$(error these libraries are missing: $(MISSING) -- run `sudo make deps`, or install their -dev packages)
endif
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS))
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS))
endif

CPPFLAGS_ALL := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 \
                -DFABRICFS_VERSION='"$(VERSION)"' -Iinclude -I. $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL   := -std=gnu17 -pthread $(WARN) $(CFLAGS)
LDFLAGS_ALL  := -pthread $(LDFLAGS)
ifneq ($(SANITIZE),)
CFLAGS_ALL  += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
LDFLAGS_ALL += -fsanitize=$(SANITIZE)
ifneq ($(SANITIZE),thread)
CFLAGS_ALL  += -fno-sanitize-recover=undefined
endif
endif

SRCS := $(sort $(shell find fs backend -name '*.c'))
OBJS := $(SRCS:%.c=$(BUILD)/%.o)
MAIN := $(BUILD)/fs/daemon/main.o

.PHONY: all
all: $(BUILD)/fabricfs

# The fabric databases are linked into the program; their rules append to OBJS.
-include backend/card/sim/data/rules.mk

$(BUILD)/fabricfs: $(OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(SRCS:%.c=$(BUILD)/%.d)

include tests/tests.mk
