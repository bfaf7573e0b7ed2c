# The gateway, and the demo services. Node runs the TypeScript sources as they are, so there is nothing to build.
# The tag is the version that package.json has as the npm package `node`; a test holds the two together.

FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /srv/selvage
COPY package.json package-lock.json .npmrc ./
# No install scripts: the only one that matters brings a Node, and the image has it. What is left of that package goes.
RUN npm ci --omit=dev --ignore-scripts && rm -rf node_modules/node node_modules/.bin/node

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production \
    SELVAGE_STORE=file:/var/lib/selvage
WORKDIR /srv/selvage
COPY --from=dependencies /srv/selvage/node_modules node_modules
COPY package.json LICENSE ./
COPY policies policies
COPY subgraphs subgraphs
COPY schema schema
COPY gateway gateway
# The sources stay root's: the process can write its store and nothing else.
RUN install -d -o node -g node /var/lib/selvage
VOLUME /var/lib/selvage
USER node
EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 4000}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "gateway/main.ts"]
