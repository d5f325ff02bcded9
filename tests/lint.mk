# SPDX-License-Identifier: Apache-2.0
# Static analysis: tests/lint.py says with what, .clang-tidy what of it counts.
.PHONY: lint deps-lint
deps-lint:
	@$(DEPS) build check lint
lint:
	@$(DEPS) --missing build check lint >/dev/null || $(MAKE) --no-print-directory deps-lint
	@tests/lint.py -- $(CPPFLAGS_ALL) -std=gnu17 $(WARN)
