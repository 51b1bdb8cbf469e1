# The image of the service: docs/deploy.md says how to run it, and how to build the same one again.
ARG BASE_IMAGE=node:24-slim

FROM ${BASE_IMAGE} AS dependencies
WORKDIR /app
# Only what decides the dependencies: this layer stays until one of these files changes.
COPY package.json package-lock.json .npmrc ./
COPY tools tools
# Exactly the lock file, held against its hashes; no script of a dependency runs. What only editors, bundlers and their authors read goes.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -iname 'readme*' -o -iname 'changelog*' \) -delete \
 && find node_modules -depth -type d \( -name test -o -name benchmark -o -name dist-es -o -name dist-types \) -exec rm -rf {} + \
 && rm -rf node_modules/zod/src

FROM ${BASE_IMAGE} AS runtime
# A package manager, headers and programs that raise privileges serve nobody but whoever gets in.
RUN rm -rf /usr/local/lib/node_modules /usr/local/include /usr/local/share/doc /usr/local/share/man /opt/yarn-* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && mkdir -p /app /run/latchkey/postgres /run/latchkey/redis \
 && chown -R 1000:1000 /run/latchkey \
 && ln -s /app/src/cli/latchkey.ts /usr/local/bin/latchkey

# From nothing, so that what was removed above is not carried along in a layer below.
FROM scratch
COPY --from=runtime / /
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY tools/runtime tools/runtime
COPY drizzle drizzle
COPY docs/asvs-deviations.tsv docs/
COPY src src

ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    KEYS_DIR=/run/latchkey/keys \
    MALLOC_ARENA_MAX=2
# By number, so that Kubernetes can see that it is not root. The files of the image belong to root: the service cannot change itself.
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node itself is process 1: it starts no others, and SIGTERM ends it, while it still waits for the database too.
CMD ["node", "--max-semi-space-size=4", "--import", "./tools/runtime/check-node.mjs", "src/main.ts"]

# Last: they change with each build.
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Latchkey" \
      org.opencontainers.image.description="Self-hosted authentication service" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
