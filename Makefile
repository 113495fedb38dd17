# Thin: each target is a line or two that calls cargo or a script. `make test` is what the gate (.ci/run) calls.
.PHONY: all test demo simulate bench bench-health bench-registry image fmt lint docs
built := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug

all: test

# Everything, the tests against the real control plane included. The programs of the bed are built once, into ~/.cache.
test:
	tests/bed/build
	tests/bed/build helm
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace

# The incident on a real control plane, told as it happens. KEEP=1 leaves it running.
demo:
	cargo build --locked --workspace --bins
	LOCKKEEPER_BIN=$(built)/lockkeeper $(built)/demo

# The same story in virtual time, without a cluster; docs/simulate.md.
simulate:
	cargo run --locked -p lockkeeper -- simulate examples/incident.yaml

# The figures of docs/figures.md, as tables: the core alone, then the controller on a bed of 500 policies and 5,000 pods.
# About half an hour once everything is built; smaller: make bench BENCH='--policies 50 --pods 500 --rest 60'.
bench:
	tests/bed/build
	cargo bench --locked -p lockkeeper-sim --bench figures
	cargo build --locked --release -p lockkeeper -p e2e --bin lockkeeper --bin bench
	LOCKKEEPER_BIN=$(built)/../release/lockkeeper $(built)/../release/bench $(BENCH)

# How good the decisions are: the health engine in virtual time; writes docs/decision-quality.md and its pictures.
# Smaller: make bench-health BENCH_HEALTH='--runs 200'.
bench-health:
	cargo bench --locked -p lockkeeper-sim --bench health -- $(BENCH_HEALTH)

# The figures of docs/performance.md: 1,000 policies over 1,000 repositories, over one, and one of 100,000 tags.
# About twelve minutes once everything is built.
bench-registry:
	tests/bed/build
	cargo bench --locked -p lockkeeper-sim --bench figures -- selection
	cargo build --locked --release -p lockkeeper -p e2e --bin lockkeeper --bin bench-registry
	LOCKKEEPER_BIN=$(built)/../release/lockkeeper $(built)/../release/bench-registry $(BENCH)
	LOCKKEEPER_BIN=$(built)/../release/lockkeeper $(built)/../release/bench-registry --repositories 1 $(BENCH)
	LOCKKEEPER_BIN=$(built)/../release/lockkeeper $(built)/../release/bench-registry --policies 1 --repositories 1 --tags 100000 $(BENCH)

# The controller's image, without a container engine, as an OCI image layout; pushed with: make image PUSH=host/repository:tag
# The binary is static: glibc is linked in, and the paths of this machine are not in it.
host := $(shell rustc -vV | sed -n 's/^host: //p')
image:
	RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$(CURDIR)=/src --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo" \
		cargo build --locked --release --target $(host) -p lockkeeper
	cargo build --locked -p e2e --bin image
	$(built)/image --binary $(built)/../$(host)/release/lockkeeper --layout $(built)/../image \
		--created "$$(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)" $(if $(PUSH),--push $(PUSH))

fmt:
	cargo fmt --all

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Writes the generated files anew: crds, chart copies, docs/reference, what the chart says and makes, the pictures.
docs:
	UPDATE=1 cargo test --locked --workspace --test rules --test generated --test reference
	UPDATE=1 cargo test --locked -p e2e --test chart generated
	UPDATE=1 cargo test --locked -p lockkeeper --lib pictures
