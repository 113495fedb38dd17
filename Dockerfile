# The controller and command line in one image: docker build -t lockkeeper .
FROM rust:1.95.0-slim-bookworm AS build
# The toolchain of this image, without the components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
# aws-lc, the one crypto provider, is C; this image brings a compiler. Not built by the gate: it needs a container runtime.
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p lockkeeper

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/lockkeeper /usr/local/bin/lockkeeper
# A number, so that runAsNonRoot can be checked.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/lockkeeper"]
CMD ["run"]
