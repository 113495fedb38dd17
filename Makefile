# Thin: each target is a line or two that calls cargo or a script. `make test` is what the gate (.ci/run) calls.
.PHONY: all test test-upgrade demo simulate bench bench-health bench-registry bench-hooks image fmt lint docs
built := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug

all: test

# Everything, the tests against the real control plane included. The programs of the bed are built once, into ~/.cache.
test:
	tests/bed/build
	tests/bed/build helm
	tests/bed/build older
	tests/bed/build sshd
	tests/bed/build forge
	cargo build --locked --workspace --all-targets
	tests/run

# Two versions of the controller side by side, upgraded and taken back: the older one is compiled first (once, 4 minutes).
test-upgrade:
	tests/bed/build
	tests/bed/other
	cargo test --locked --workspace --test replicas -- --ignored p7_

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

# How long it takes from a hook to the pin.
bench-hooks:
	tests/bed/build
	cargo build --locked --release -p lockkeeper -p e2e --bin lockkeeper --bin bench-hooks --bin kubelet-sim
	LOCKKEEPER_BIN=$(built)/../release/lockkeeper $(built)/../release/bench-hooks $(BENCH)

# The controller's image, without a container engine, as an OCI image layout; pushed with: make image PUSH=host/repository:tag
# For targets in Git: make image WITH_GIT=1, which adds git, ssh and what they run from this machine, with their libraries.
# The binary is static: glibc is linked in. The paths of this machine are not in it, so that two compiles are equal, wherever
# the checkout and its target folder are; a list of the crates in it is (cargo auditable, installed once).
host := $(shell rustc -vV | sed -n 's/^host: //p')
target := $(abspath $(built)/..)
remap = --remap-path-prefix=$(1)=$(2)
auditable_version := 0.7.7
auditable := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lockkeeper-tools/cargo-auditable-$(auditable_version)
# git runs what it is told for ssh by /bin/sh, whatever PATH says.
with_git = --program /bin/sh $(foreach program,git ssh ssh-keygen,--program $(or $(shell command -v $(program)),$(error $(program) is not installed; Debian: apt-get install git openssh-client))) \
	--program $(shell git --exec-path)/git-remote-https
image: $(auditable)/bin/cargo-auditable
	PATH="$(auditable)/bin:$$PATH" \
	RUSTFLAGS="-C target-feature=+crt-static $(call remap,$(CURDIR),/src) $(call remap,$(or $(CARGO_HOME),$(HOME)/.cargo),/cargo) $(call remap,$(target),/target)" \
		cargo auditable build --locked --release --target $(host) -p lockkeeper
	cargo build --locked -p e2e --bin image
	$(built)/image --binary $(target)/$(host)/release/lockkeeper --layout $(target)/image \
		--created "$$(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)" $(if $(WITH_GIT),$(with_git)) $(if $(PUSH),--push $(PUSH))

# The build is thrown away; only the program is kept.
$(auditable)/bin/cargo-auditable:
	CARGO_TARGET_DIR=$(auditable).build cargo install cargo-auditable --locked --version $(auditable_version) --root $(auditable)
	rm -rf $(auditable).build

fmt:
	cargo fmt --all

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Writes the generated files anew: crds, chart copies, docs/reference, what the chart says and makes, the pictures.
docs:
	UPDATE=1 cargo test --locked --workspace --test rules --test generated --test reference
	UPDATE=1 cargo test --locked -p e2e --test chart generated
	UPDATE=1 cargo test --locked -p lockkeeper --lib pictures
