/**
 * The same work by others: fastify with @fastify/jwt, @fastify/rate-limit (Redis) and @fastify/http-proxy, from the folder
 * they are installed in. `node policies-peer.mjs FOLDER on|off SERVICE_URL REDIS_URL PUBLIC_KEY_FILE`; listens at a free port.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import prometheus from 'prom-client';

const [folder, mode, upstream, redisUrl, keyFile] = process.argv.slice(2);
const require = createRequire(join(folder, 'package.json'));
const isOn = mode === 'on';
const app = require('fastify')({ logger: isOn, disableRequestLogging: true });

if (isOn) {
  const Redis = require('ioredis');
  const redis = new Redis(redisUrl, { enableAutoPipelining: true });
  await app.register(require('@fastify/jwt'), {
    secret: { public: readFileSync(keyFile, 'utf8') },
    verify: { algorithms: ['RS256'], allowedIss: 'https://idp.example', allowedAud: 'bench', cache: true },
  });
  await app.register(require('@fastify/rate-limit'), { global: false, redis });
  const seconds = new prometheus.Histogram({ name: 'request_seconds', help: 'Requests.', labelNames: ['status'] });
  app.addHook('onRequest', (request) => request.jwtVerify());
  app.addHook(
    'onRequest',
    app.rateLimit({ max: 1_000_000_000, timeWindow: 60_000, keyGenerator: ({ user }) => `viewer-${user.sub}` }),
  );
  // A second registration would not run on a request that had the first.
  const checkBurst = app.createRateLimit({
    max: 100_000_000,
    timeWindow: 1_000,
    keyGenerator: ({ ip }) => `burst-${ip}`,
  });
  app.addHook('onRequest', async (request, reply) => {
    const burst = await checkBurst(request);
    if (burst.isExceeded) return reply.code(429).send();
    reply.header('x-burst-remaining', burst.remaining);
  });
  app.addHook('onResponse', async ({ id, method, url, user }, { statusCode, elapsedTime }) => {
    seconds.labels(String(statusCode)).observe(elapsedTime / 1_000);
    app.log.info({ id, method, url, viewer: user?.sub, status: statusCode, durationMs: elapsedTime }, 'request');
  });
}

await app.register(require('@fastify/http-proxy'), {
  upstream,
  prefix: '/bench',
  replyOptions: isOn
    ? {
        rewriteRequestHeaders: ({ user }, { 'x-debug': _, ...headers }) => ({ ...headers, 'x-tenant': user.tenant }),
        rewriteHeaders: (headers) => {
          const kept = { 'x-served-by': 'bench' };
          for (const name in headers) if (!name.startsWith('x-internal-')) kept[name] = headers[name];
          return kept;
        },
      }
    : {},
});
process.send({ url: await app.listen({ host: '127.0.0.1', port: 0 }) });
process.on('disconnect', () => process.exit());
