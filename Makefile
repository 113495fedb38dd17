# Thin: each target is a line or two that calls cargo or a script. `make test` is what the gate (.ci/run) calls.
.PHONY: all test demo fmt lint docs
built := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug

all: test

# Everything, the tests against the real control plane included. The programs of the bed are built once, into ~/.cache.
test:
	tests/bed/build
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace

# The incident on a real control plane, told as it happens. KEEP=1 leaves it running.
demo:
	cargo build --locked --workspace --bins
	LOCKKEEPER_BIN=$(built)/lockkeeper $(built)/demo

fmt:
	cargo fmt --all

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Writes the generated files anew: crds, chart copies, docs/reference.
docs:
	UPDATE=1 cargo test --locked --workspace --test rules --test generated --test reference
