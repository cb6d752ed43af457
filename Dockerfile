# The server in an image: the page is built with Node, the binary with Rust, and neither is in the result.
#
#   docker build -t tideline .
#   docker compose up --build         # with Redis, Prometheus and Grafana beside it: docker-compose.yml
#
# It listens on every address, and so refuses to start without a key. Make the first one in the same volume:
#
#   docker run --rm -v tideline-data:/data tideline keys create --name admin --scopes admin --data-dir /data
#   docker run -d --stop-timeout 35 -p 127.0.0.1:8080:8080 -v tideline-data:/data tideline

FROM node:20-bookworm-slim AS page
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY dashboard ./
RUN npm run build

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
COPY --from=page /src/dashboard/dist dashboard/dist
# The caches stay with the builder: a second build compiles what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p tideline && cp target/release/tideline /tideline

FROM debian:bookworm-slim
# Certificates are for webhooks; a shell and nothing else besides is what containers beside it are set up with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 tideline \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin tideline \
    && mkdir /data /keys && chown tideline:tideline /data /keys
COPY --from=build /tideline /usr/local/bin/tideline
USER 10001:10001
WORKDIR /data
ENV TIDELINE_DATA_DIR=/data \
    TIDELINE_LISTEN=0.0.0.0:8080
VOLUME /data
EXPOSE 8080 5433
# It asks where the settings say that the server listens.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["tideline", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tideline"]
CMD ["serve"]
