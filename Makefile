# `make certify` and `make test` are the two commands that matter; both install what they need.
# Everything can be run again: what is there already is left alone, and a finished run moved aside.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

TARGET ?= $(shell uname -m)-unknown-linux-gnu
CARGO  ?= cargo
BIN    := target/$(TARGET)
OUT    ?= target/certify
# Elsewhere the tool has a C library, as it has no start of its own there.
TOOL_FEATURES := $(if $(filter x86_64% aarch64% i686%,$(TARGET)),--features freestanding)
TEST_KERNELS := debian-11/5.10/amd64 debian-12/6.1/amd64 debian-13/6.12/amd64 newest/amd64

PREFIX ?= /usr/local
SECONDS ?= 60

.PHONY: certify test build install check bench fuzz docs install-deps clean

## certify: boot real kernels, run the suites against Keel on each, leave a signed certificate
certify: build
	$(BIN)/release/seaworthy certify --matrix quick --engine keel --engine-path $(BIN)/engine/keel --out $(OUT) $(CERTIFY_FLAGS)
	echo "report: $(OUT)/report/index.html"

## test: every test there is; boots real kernels and runs short cells in them
test: build
	packaging/install-deps test
	$(BIN)/release/seaworthy image fetch $(TEST_KERNELS)
	packaging/cargo test --workspace --all-targets --target $(TARGET) --locked
	packaging/cargo test --workspace --doc --target $(TARGET) --locked
	# Keel once more with no system call that Linux 3.8 lacks; insta must not ask cargo there.
	packaging/cargo build --package keel --example old-kernel --target $(TARGET) --locked
	INSTA_WORKSPACE_ROOT=$(CURDIR) packaging/cargo --config 'target.$(TARGET).runner="$(CURDIR)/$(BIN)/debug/examples/old-kernel"' \
	  test --package keel --tests --target $(TARGET) --locked

## build: both programs, static and optimised, and the small tool beside `seaworthy`
build: install-deps
	packaging/cargo build --profile engine --package keel --target $(TARGET) --locked
	packaging/cargo build --release --package seaworthy --target $(TARGET) --locked
	packaging/cargo build --profile guest-tool --package guest-tool $(TOOL_FEATURES) --target $(TARGET) --locked
	install -C $(BIN)/guest-tool/seaworthy-guest-tool $(BIN)/release/

## install: the programs, man pages and completions, below PREFIX
install: build
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(BIN)/release/seaworthy $(BIN)/release/seaworthy-guest-tool $(BIN)/engine/keel
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(BIN)/release/seaworthy man --dir $(DESTDIR)$(PREFIX)/share/man/man1
	$(BIN)/release/seaworthy completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/seaworthy

## check: what CI demands beyond the tests
check:
	packaging/install-deps test
	packaging/cargo fmt --all --check
	packaging/cargo clippy --workspace --all-targets --target $(TARGET) --locked -- -D warnings
	packaging/cargo clippy --profile guest-tool --package guest-tool $(TOOL_FEATURES) --target $(TARGET) --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" packaging/cargo doc --workspace --no-deps --document-private-items --target $(TARGET) --locked
	packaging/cargo-deny check licenses bans sources

## bench: comparisons against a peer, interleaved, as ratios
bench: build
	packaging/install-deps bench
	packaging/cargo bench --package benches --target $(TARGET) --locked

## fuzz: give each reader of foreign bytes SECONDS of a fuzzer, from the kept inputs
fuzz:
	packaging/install-deps fuzz
	packaging/fuzz $(SECONDS)

## docs: the book, into docs/book/book
docs:
	command -v mdbook >/dev/null || packaging/cargo install --quiet --locked mdbook
	mdbook build docs

## install-deps: system packages and a Rust compiler, where they are missing
install-deps:
	packaging/install-deps

clean:
	$(CARGO) clean
