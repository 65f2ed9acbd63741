# One target per app: docker build --target api-gateway -t images.example.com/cloud-connector/api-gateway .

FROM node:24-bookworm-slim AS manifest
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

# `npm ci` may refuse a lock that lacks an optional build for another platform; `npm install` takes the same versions
# from it. Workspaces hold the client, the console and the tests: the apps need none of them, and the gateway serves the
# console as it is built.
# No dependency needs its install script, so no package runs code or reports to its author while the image is built.
FROM manifest AS build
COPY apps/console/package.json apps/console/
RUN npm install --include-workspace-root --workspace apps/console --include=dev --ignore-scripts --no-audit --no-fund
COPY nest-cli.json tsconfig.json ./
COPY scripts/build.mjs scripts/
COPY libs libs
COPY apps apps
RUN npm run build:apps && npm run build:console

# Optional packages are removed too: TypeScript, an optional peer of @nestjs/swagger, and a native decoder for msgpack, which
# BullMQ only encodes.
FROM manifest AS production
RUN npm install --omit=dev --omit=optional --workspaces=false --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim AS runtime
RUN rm -rf /opt/yarn-* /usr/local/lib/node_modules \
  /usr/local/bin/corepack /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/yarn /usr/local/bin/yarnpkg
WORKDIR /app
# By default the apps listen on loopback, where nothing outside the container can reach them.
ENV NODE_ENV=production HOST=0.0.0.0
# With an arena for each thread, freed memory stays with the process.
ENV MALLOC_ARENA_MAX=2
# Without package.json ("type": "module") Node would read dist/ as CommonJS.
COPY package.json ./
COPY --from=production /app/node_modules node_modules
COPY --from=build /app/dist/libs dist/libs
# The image's user `node`, by number: Kubernetes cannot tell from a name that it is not root.
USER 1000:1000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/$PORT\" && printf 'GET /health/live HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

FROM runtime AS api-gateway
ENV PORT=3000
EXPOSE 3000
COPY --from=build /app/dist/apps/api-gateway dist/apps/api-gateway
COPY --from=build /app/dist/console dist/console
CMD ["node", "dist/apps/api-gateway/src/main.js"]

FROM runtime AS status-ingester
ENV PORT=3001
EXPOSE 3001
COPY --from=build /app/dist/apps/status-ingester dist/apps/status-ingester
# Most allocations of the intake are short-lived: a larger young generation saves a tenth of its CPU.
CMD ["node", "--max-semi-space-size=32", "dist/apps/status-ingester/src/main.js"]

FROM runtime AS dispatcher
ENV PORT=3002
EXPOSE 3002
COPY --from=build /app/dist/apps/dispatcher dist/apps/dispatcher
CMD ["node", "dist/apps/dispatcher/src/main.js"]
