# Each target installs what it needs first (scripts/deps), so a fresh clone needs only
# Debian's packages and a Rust toolchain. One cargo profile everywhere: RocksDB is built once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

# Clones share one build cache; HOLDFAST_TARGET_DIR or CARGO_TARGET_DIR put it elsewhere.
HOLDFAST_CACHE ?= $(HOME)/.cache/holdfast
CARGO_TARGET_DIR ?= $(or $(HOLDFAST_TARGET_DIR),$(HOLDFAST_CACHE)/target)
HOLDFAST_TOOLS ?= $(HOLDFAST_CACHE)/tools
export CARGO_TARGET_DIR HOLDFAST_TOOLS

PREFIX ?= /usr/local
DESTDIR ?=
BIN := $(CARGO_TARGET_DIR)/release
CARGO := cargo
# Mounts and namespaces need root.
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env PATH="$$PATH")

.PHONY: help demo test bench bench-growth programs torture lint fmt build install uninstall

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## Two hosts, two containers, one volume: see it work (ARGS="--verbose")
	@scripts/deps demo
	$(CARGO) build --release --locked --bins
	$(ROOT) $(BIN)/holdfast demo $(ARGS)

test: ## Format, lints, build, every test: what CI runs (ARGS="a filter")
	@scripts/deps test
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) build --release --locked --workspace --bins
	$(CARGO) test --release --locked --workspace --doc --quiet
	$(ROOT) $(CARGO) nextest run --release --locked --workspace $(ARGS)

lint: ## Only format and lints
	@scripts/deps lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

build: ## The three binaries: holdfast, holdfastd, holdfast-runtime
	@scripts/deps build
	$(CARGO) build --release --locked --workspace --bins
	@echo "built: $(BIN)/holdfast $(BIN)/holdfastd $(BIN)/holdfast-runtime"

bench: ## Figures of a volume on this machine beside its local disk (ARGS="--quick")
	@scripts/deps bench
	$(CARGO) build --release --locked --workspace --bins
	$(ROOT) tests/bench/run $(ARGS)

bench-growth: ## How cost grows with files, mounts, volumes and holders (ARGS="--rows files --files 10000,1000000")
	@scripts/deps bench
	$(CARGO) build --release --locked --workspace --bins --examples
	$(ROOT) $(BIN)/examples/growth $(ARGS)

programs: ## git, databases, package managers and copies on a volume that is mounted twice (ARGS="git redis")
	@scripts/deps programs
	$(CARGO) build --release --locked --workspace --bins
	$(ROOT) tests/programs/run $(ARGS)

torture: ## The full sizes of every fault and random test, and a table of the faults; takes long
	@scripts/deps test
	$(CARGO) build --release --locked --workspace --bins
	report=$$(mktemp); trap 'rm -f "$$report"' EXIT; status=0; \
	HOLDFAST_TORTURE=1 HOLDFAST_REPORT=$$report $(ROOT) $(CARGO) nextest run --release --locked --workspace -E 'package(holdfast-core) + package(holdfast-tests)' --profile torture $(ARGS) || status=$$?; \
	[ ! -s "$$report" ] || tests/faults/table "$$report" || status=1; \
	exit $$status

install: ## Install below PREFIX (/usr/local), and mount(8)'s helper in /sbin; as root
	@scripts/deps build
	$(CARGO) build --release --locked --workspace --bins
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/sbin $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 0755 $(BIN)/holdfast $(BIN)/holdfastd $(BIN)/holdfast-runtime $(DESTDIR)$(PREFIX)/bin
	ln -sfn $(PREFIX)/bin/holdfast $(DESTDIR)/sbin/mount.holdfast
	ln -sfn $(PREFIX)/bin/holdfast $(DESTDIR)/sbin/mount.fuse.holdfast
	$(BIN)/holdfast completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/holdfast

uninstall: ## Remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,holdfast holdfastd holdfast-runtime) \
	  $(DESTDIR)/sbin/mount.holdfast $(DESTDIR)/sbin/mount.fuse.holdfast \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions/holdfast
