# The image of the app. It runs on Docker and Kubernetes, too: deploy/README.md.
ARG BUILD_FROM=ghcr.io/home-assistant/base:3.24
ARG BUILD_RUST=docker.io/library/rust:1.95-alpine

# hadolint ignore=DL3006
FROM ${BUILD_RUST} AS build
WORKDIR /build
# The libraries alone first: this layer lasts until one of these two files changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked \
    && rm -r src
COPY src src
COPY addon addon
# The libraries' build saw an empty crate under the same names, and files in an image keep their age.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked \
    && mkdir /out \
    && mv target/release/mcp-bridge /out/

# hadolint ignore=DL3006
FROM ${BUILD_FROM}
ARG BUILD_VERSION=dev
ARG BUILD_ARCH=amd64
LABEL \
    io.hass.type="app" \
    io.hass.name="MCP Bridge" \
    io.hass.version="${BUILD_VERSION}" \
    io.hass.arch="${BUILD_ARCH}" \
    org.opencontainers.image.title="MCP Bridge" \
    org.opencontainers.image.description="A bridge with a queue in front of Home Assistant's MCP server" \
    org.opencontainers.image.licenses="MIT"
# Running calls get 25 seconds, then everything is ended; `timeout` in config.yaml is 30.
ENV MCP_BRIDGE__DATA=/data \
    S6_SERVICES_GRACETIME=27000 \
    S6_KILL_GRACETIME=1000
COPY --from=build /out/mcp-bridge /usr/bin/mcp-bridge
COPY rootfs /
# For the user without rights that Docker and Kubernetes start it as; a fresh volume takes this over.
RUN install -d -o 10001 -g 10001 -m 0700 /data
EXPOSE 8124
# Liveness alone: a Home Assistant that is away must not get the bridge restarted.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["/usr/bin/mcp-bridge", "healthcheck"]
