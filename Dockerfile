# The controller's image, for those who have a container engine. `cargo xtask image` builds the same one without,
# and holds the one list of what is in it: the program, its shared libraries, three files for libc. No shell.
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) --tag privyseal-controller .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges privyseal-controller --help

FROM rust:1.95.0-slim-bookworm AS build
# The toolchain of this image, without the components that only checks need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN cargo xtask image --rootfs /rootfs

FROM scratch
ARG REVISION=""
LABEL org.opencontainers.image.title="Privyseal controller" \
      org.opencontainers.image.description="Turns SealedSecrets into Secrets, inside the cluster and nowhere else" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs/ /
ENV PATH=/usr/local/bin
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/privyseal-controller"]
