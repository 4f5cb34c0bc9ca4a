# `make certify` and `make test` are the two commands that matter; both install what they need.
# Everything can be run again: what is there already is left alone, and a finished run moved aside.
# `make help` lists the others; `make` alone is `make certify`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

TARGET ?= $(shell uname -m)-unknown-linux-gnu
CARGO  ?= cargo
BIN    := target/$(TARGET)
OUT    ?= target/certify
# Elsewhere the tool has a C library, as it has no start of its own there.
TOOL_FEATURES := $(if $(filter x86_64% aarch64% i686%,$(TARGET)),--features freestanding)
OLD_KERNEL_TESTS := $(sort $(filter-out %/registry %/scene %/snapshots,$(basename $(wildcard engine/tests/*))))
# What such a kernel can't: sched_setattr (3.14), notifications of filters (5.0), mounts by descriptor
# where a user namespace can't reach the source (5.2), mounts with a mapping of ids (5.12).
NOT_ON_OLD_KERNELS := --skip extras::the_process_is_scheduled_as_asked --skip seccomp::an_agent \
  --skip users::sources_that_are_closed --skip users::files_of_a_mapped_mount
TEST_KERNELS := debian-11/5.10/amd64 debian-12/6.1/amd64 debian-13/6.12/amd64 newest/amd64

PREFIX ?= /usr/local
SECONDS ?= 60
SHARE  := $(DESTDIR)$(PREFIX)/share

.PHONY: certify test build install check bench fuzz docs install-deps help clean

## certify: boot real kernels, run the suites against Keel on each, leave a signed certificate
certify: build
	$(BIN)/release/seaworthy certify --matrix quick --engine keel --engine-path $(BIN)/engine/keel --out $(OUT) $(CERTIFY_FLAGS)

## test: every test there is; boots real kernels and runs short cells in them
test: build
	packaging/install-deps test
	$(BIN)/release/seaworthy image fetch $(TEST_KERNELS)
	packaging/cargo test --workspace --all-targets --target $(TARGET) --locked
	packaging/cargo test --workspace --doc --target $(TARGET) --locked
	# Keel once more with no system call that Linux 3.8 lacks. Not with registries, where openssl
	# itself would need some; insta must not ask cargo there.
	packaging/cargo build --package keel --example old-kernel --target $(TARGET) --locked
	INSTA_WORKSPACE_ROOT=$(CURDIR) packaging/cargo --config 'target.$(TARGET).runner="$(CURDIR)/$(BIN)/debug/examples/old-kernel"' \
	  test --package keel --lib $(patsubst engine/tests/%,--test %,$(OLD_KERNEL_TESTS)) --target $(TARGET) --locked -- $(NOT_ON_OLD_KERNELS)

## build: both programs, static and optimised, and the small tool beside `seaworthy`
build: install-deps
	packaging/cargo build --profile engine --package keel --target $(TARGET) --locked
	packaging/cargo build --release --package seaworthy --target $(TARGET) --locked
	packaging/cargo build --profile guest-tool --package guest-tool $(TOOL_FEATURES) --target $(TARGET) --locked
	install -C $(BIN)/guest-tool/seaworthy-guest-tool $(BIN)/release/

## install: what `make build` built, with man pages, completions and the licence, below PREFIX (and DESTDIR)
install:
	for program in release/seaworthy release/seaworthy-guest-tool engine/keel; do
	  [ -x $(BIN)/$$program ] || { echo "make install: $(BIN)/$$program is not built yet: run \`make build\` first, as a plain user" >&2; exit 1; }
	done
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(BIN)/release/seaworthy $(BIN)/release/seaworthy-guest-tool $(BIN)/engine/keel
	install -D -m 644 -t $(SHARE)/doc/seaworthy LICENSE README.md CHANGELOG.md
	install -d $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	$(BIN)/release/seaworthy man --dir $(SHARE)/man/man1
	$(BIN)/release/seaworthy completions bash >$(SHARE)/bash-completion/completions/seaworthy
	$(BIN)/release/seaworthy completions zsh >$(SHARE)/zsh/site-functions/_seaworthy
	$(BIN)/release/seaworthy completions fish >$(SHARE)/fish/vendor_completions.d/seaworthy.fish

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

## help: these lines
help:
	@sed -n 's/^## \([a-z-]*\): /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

## clean: remove what was built
clean:
	$(CARGO) clean
