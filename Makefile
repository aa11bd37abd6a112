# Every target sets up .venv by itself; a fresh clone needs Python >= 3.10, make and git only.
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/installed-run
DEV := .venv/installed-dev

.DEFAULT_GOAL := help
.PHONY: help bench test book venv clean distclean

help: ## show this list
	@echo "drlit: data reconstruction attacks, built and measured from first principles"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

bench: $(RUN) ## attack a small model on embedded data; a table here, a report in build/bench
	@$(BIN)/drlit bench --profile quick --out build/bench

test: $(DEV) ## everything the continuous integration runs
	@bash tools/ci.sh

book: $(DEV) ## render the book to build/book/_build/html
	@bash tools/book.sh
	@echo "book: build/book/_build/html/index.html"

venv: $(DEV) ## only set up .venv, for work on the chapters

clean: ## remove everything built, but not .venv
	rm -rf build dist nbs/_vendor _docs

distclean: clean ## remove .venv too
	rm -rf .venv

# keyed on pyproject.toml: a changed dependency installs again; the larger set contains the smaller
$(RUN): pyproject.toml
	@$(call setup,run)

$(DEV): pyproject.toml
	@$(call setup,dev)
	@touch $(RUN)

define setup
command -v $(PYTHON) >/dev/null || { echo "drlit: $(PYTHON) not found. Install Python 3.10 or newer, or name one: make PYTHON=python3.12 ..."; exit 1; }; \
$(PYTHON) tools/setup_env.py $(1)
endef
