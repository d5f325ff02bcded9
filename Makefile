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
else ifneq ($(findstring fuzzer,$(SANITIZE)),)
BUILD := build/fuzz
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
# Loaded when a repository needs it (backend/repo/curl_api.h): its headers only.
PKGS_LOADED := libcurl
CFLAGS     ?= -O2 -g
WERROR     ?= -Werror
WARN       := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
              -Wwrite-strings -Wformat=2 -Wundef -fno-common $(WERROR)

# Targets that need no libraries must work on a machine that has none yet.
NO_LIBS := deps deps-check deps-lint deps-bench clean help format man uninstall demo check check-long asan tsan tsan-build fuzz fuzz-build
ifneq ($(filter-out $(NO_LIBS),$(or $(MAKECMDGOALS),all)),)
MISSING := $(shell for p in $(PKGS) $(PKGS_LOADED); do $(PKG_CONFIG) --exists $$p 2>/dev/null || echo $$p; done)
ifneq ($(MISSING),)
$(error these libraries are missing: $(MISSING) -- run `sudo make deps`, or install their -dev packages)
endif
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) $(PKGS_LOADED))
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

# Tables and fabric databases are linked into the program; their rules append to OBJS.
include backend/image/rules.mk
-include backend/card/sim/data/rules.mk

$(BUILD)/fabricfs: $(OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

# Each fabric is one thread's alone. Watched word by word it is too slow for the tests that wait for it.
ifeq ($(SANITIZE),thread)
$(BUILD)/backend/card/sim/engine/%.o: CFLAGS_ALL += -fno-sanitize=thread
endif

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(SRCS:%.c=$(BUILD)/%.d)

include tests/tests.mk
include tests/lint.mk

# --- what a machine needs --------------------------------------------------------

DEPS := contrib/packaging/deps.sh

.PHONY: deps deps-check deps-bench
deps:
	@$(DEPS) build
deps-check:
	@$(DEPS) build check
deps-bench:
	@$(DEPS) build check bench

# --- trying it ---------------------------------------------------------------------

.PHONY: demo
demo:
	@$(DEPS) --missing build >/dev/null || $(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) all
	@contrib/demo.sh

# --- the man pages ------------------------------------------------------------------

MAN_PODS := fs/daemon/fabricfs.8.pod fs/daemon/fabricfs.yaml.5.pod fs/tree/fabricfs-tree.7.pod
MANS     := $(patsubst %.pod,build/%,$(notdir $(MAN_PODS)))
vpath %.pod $(sort $(dir $(MAN_PODS)))

.PHONY: man
man: $(MANS)
$(MANS): build/%: %.pod Makefile
	$(call say,MAN,$@)
	@command -v pod2man >/dev/null || { echo "pod2man is missing: it comes with perl (sudo make deps)" >&2; exit 1; }
	$(Q)mkdir -p $(@D)
	$(Q)pod2man -u -s $(subst .,,$(suffix $@)) -n $(basename $(@F)) -c "" -r "fabricfs $(VERSION)" $< $@

# --- installing -----------------------------------------------------------------------

# mount(8) finds the program for `mount -t fuse.fabricfs` by its name in the usual
# folders (/usr/local/bin, /usr/bin, ...), whatever the caller's PATH is.
.PHONY: install uninstall
install: all man
	install -D -m 0755 $(BUILD)/fabricfs $(DESTDIR)$(bindir)/fabricfs
	install -D -m 0644 build/fabricfs.8 $(DESTDIR)$(mandir)/man8/fabricfs.8
	install -D -m 0644 build/fabricfs.yaml.5 $(DESTDIR)$(mandir)/man5/fabricfs.yaml.5
	install -D -m 0644 build/fabricfs-tree.7 $(DESTDIR)$(mandir)/man7/fabricfs-tree.7
	install -D -m 0644 contrib/completion/fabricfs.bash $(DESTDIR)$(prefix)/share/bash-completion/completions/fabricfs
	install -D -m 0644 contrib/fabricfs.yaml.example $(DESTDIR)$(prefix)/share/doc/fabricfs/fabricfs.yaml.example
	install -D -m 0644 contrib/examples/icestick.yaml $(DESTDIR)$(prefix)/share/doc/fabricfs/icestick.yaml
	install -D -m 0644 contrib/schema/inspect.schema.json $(DESTDIR)$(prefix)/share/doc/fabricfs/inspect.schema.json
	install -D -m 0644 README.md $(DESTDIR)$(prefix)/share/doc/fabricfs/README.md
	install -D -m 0644 LICENSE $(DESTDIR)$(prefix)/share/doc/fabricfs/LICENSE
	install -D -m 0644 backend/card/sim/data/LICENSE.icestorm $(DESTDIR)$(prefix)/share/doc/fabricfs/LICENSE.icestorm
	sed 's,@bindir@,$(bindir),' contrib/systemd/fabricfs.service.in > $(BUILD)/fabricfs.service
	install -D -m 0644 $(BUILD)/fabricfs.service $(DESTDIR)$(prefix)/lib/systemd/system/fabricfs.service

# The configuration and the state are the administrator's: they stay.
uninstall:
	rm -f $(DESTDIR)$(bindir)/fabricfs $(DESTDIR)$(mandir)/man8/fabricfs.8
	rm -f $(DESTDIR)$(mandir)/man5/fabricfs.yaml.5 $(DESTDIR)$(mandir)/man7/fabricfs-tree.7
	rm -f $(DESTDIR)$(prefix)/share/bash-completion/completions/fabricfs
	rm -rf $(DESTDIR)$(prefix)/share/doc/fabricfs
	rm -f $(DESTDIR)$(prefix)/lib/systemd/system/fabricfs.service

# --- the rest ---------------------------------------------------------------------------

.PHONY: format clean help
format:
	@command -v clang-format >/dev/null || { echo "clang-format is missing" >&2; exit 1; }
	clang-format -i $$(git ls-files '*.c' '*.h')

# A demonstration that is still mounted would be deleted through its mount point.
clean:
	@if grep -q " $(CURDIR)/build/" /proc/self/mounts; then \
		echo "something is mounted below build/ (umount build/demo/fpga)" >&2; exit 1; fi
	rm -rf build

help:
	@echo "make             build/fabricfs (SANITIZE=address,undefined or thread: into build/asan, build/tsan)"
	@echo "make demo        mount a simulated card, program it, talk to it (as root: on /fpga if that is free)"
	@echo "make check       every test, also with the sanitizers (as root)"
	@echo "make check-long  500 random netlists on all parts, kills and orders of steps by lot (an hour)"
	@echo "make unit        the unit tests alone"
	@echo "make bench       what fabricfs costs beside what the same costs without it (as root)"
	@echo "make asan        unit and system tests with AddressSanitizer and UBSan"
	@echo "make tsan        unit and system tests with ThreadSanitizer"
	@echo "make fuzz        every fuzz target for FUZZ_SECONDS (an hour) each; what is found is kept in build/fuzz"
	@echo "make lint        gcc -fanalyzer, cppcheck and clang-tidy over the sources (make deps-lint installs them)"
	@echo "make deps        install what building and the demo need; deps-check, deps-bench: also what the tests, the bench need"
	@echo "make install     into prefix=$(prefix), below DESTDIR; uninstall takes it away"
	@echo "make man         $(MANS)"
	@echo "make format      clang-format over the sources"
	@echo "make clean       remove build/"
	@echo "V=1 shows the commands; CC CFLAGS LDFLAGS are respected"
