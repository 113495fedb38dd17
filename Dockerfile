# The controller and command line in one image: docker build -t lockkeeper .
# `make image` makes the same without a container engine, and is what the tests look at. This file is for people who have one;
# the gate does not build it. Both of its targets were built, by buildah, when it was last changed.
FROM rust:1.95.0-slim-bookworm AS build
# The toolchain of this image, without the components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
# Lists the crates in the binary, for whoever looks for vulnerable ones later.
RUN cargo install cargo-auditable --locked --version 0.7.7
# aws-lc, the one crypto provider, is C; this image brings a compiler. glibc is linked in, which a build without a named target
# cannot do: it would link proc-macros, too.
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=/src --remap-path-prefix=/usr/local/cargo=/cargo"
WORKDIR /src
COPY . .
RUN host=$(rustc -vV | sed -n 's/^host: //p') \
    && cargo auditable build --locked --release --target "$host" -p lockkeeper \
    && cp "target/$host/release/lockkeeper" /lockkeeper \
    && echo 'hosts: files dns' > /nsswitch.conf

# For targets in Git, whose adapter is the program git, and ssh below it: docker build --target with-git
FROM debian:bookworm-slim AS with-git
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /lockkeeper /usr/local/bin/lockkeeper
USER 65534:65534
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/lockkeeper"]
CMD ["run"]

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /nsswitch.conf /etc/nsswitch.conf
COPY --from=build /lockkeeper /usr/local/bin/lockkeeper
# Numbers, so that runAsNonRoot can be checked.
USER 65534:65534
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/lockkeeper"]
CMD ["run"]
