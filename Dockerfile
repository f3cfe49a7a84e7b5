# syntax=docker/dockerfile:1
# Two images from one file: `--target edge` has what the agent of a node starts (nft, ip, BIRD, arping, ndptool); the
# default, `sluice`, is for controllers and proxies and starts no program.

FROM node:26-bookworm-slim AS node

FROM node AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Types, source maps, notes and the native parts of another runtime are most of what packages weigh; nobody reads them here.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && find node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.cts' -o -name '*.mts' -o -name '*.flow' \
      -o -iname '*.md' -o -name '*.bare' \) -delete \
 && rm -f node_modules/.package-lock.json

# The base without what installs packages, and Node without its symbols. It goes on as one layer, since removing makes no
# layer smaller.
FROM node AS bare
RUN apt-get update && apt-get install -y --no-install-recommends binutils \
 && strip --strip-unneeded /usr/local/bin/node \
 && apt-get purge -y --auto-remove binutils \
 && rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
      /usr/local/bin/yarn* /opt/yarn* /usr/local/include /usr/local/share/doc /usr/local/share/man \
      /usr/local/CHANGELOG.md /usr/local/README.md /root/.npm /tmp/* /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && echo 'sluice:x:65532:65532::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'sluice:x:65532:' >> /etc/group

FROM scratch AS app
COPY --from=bare / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NODE_ENV=production \
    NODE_COMPILE_CACHE=/var/cache/sluice
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY . .
ENTRYPOINT ["node", "/app/sluice.ts"]

# Root, because programs get capabilities in a pod in no other way; the chart leaves it three of them.
FROM app AS edge
RUN apt-get update \
 && apt-get install -y --no-install-recommends bird2 nftables iproute2 iputils-arping libndp-tools \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
RUN node warm.ts
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SLUICE_ADMIN_PORT ?? 10252}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["edge"]

FROM app AS sluice
RUN install -d -o 65532 -g 65532 /var/cache/sluice
USER 65532:65532
RUN node warm.ts
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SLUICE_ADMIN_PORT ?? 10254}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
