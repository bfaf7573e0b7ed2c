import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { createSchema, createYoga } from 'graphql-yoga';
import { createRateLimiter } from '../../policies/rate-limit.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import { useRateLimit } from '../../policies/rate-limit-operations.ts';
import { compileRules } from '../../policies/rate-limit-rule.ts';
import type { GraphqlContext, RequestContext } from '../../policies/request-context.ts';
import { createRequestContext } from '../support/request-context.ts';

/** A Yoga server on a real socket with one rule: two operations per hour. */
async function openServer() {
  const contexts: RequestContext[] = [];
  let parsed = 0;
  let executed = 0;
  const yoga = createYoga<GraphqlContext>({
    schema: createSchema({
      typeDefs: 'type Query { hello: String }',
      resolvers: {
        Query: {
          hello() {
            executed++;
            return 'hi';
          },
        },
      },
    }),
    batching: { limit: 10 },
    logging: false,
    plugins: [
      useRateLimit({
        limiter: createRateLimiter({ local: createMemoryRateLimitStore({ now: () => 0 }) }),
        rules: compileRules([{ name: 'two', limit: 2, window: '1h' }]),
      }),
      {
        onParse() {
          parsed++;
        },
      },
    ],
  });
  const server = createServer((request, response) => {
    const gateway = createRequestContext({ door: 'graphql', method: 'POST' });
    contexts.push(gateway);
    void yoga.handle(request, response, { gateway });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const post = (body: unknown, accept = 'application/json') =>
    fetch(`http://127.0.0.1:${port}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify(body),
    });
  return {
    post,
    contexts,
    counts: () => ({ parsed, executed }),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const operation = { query: '{ hello }' };

describe('rate limits of the GraphQL door', () => {
  it('leave the decision in the context of an operation that passes', async () => {
    await using server = await openServer();
    const response = await server.post(operation);
    assert.deepEqual(await response.json(), { data: { hello: 'hi' } });
    assert.equal(server.contexts[0]?.rateLimit?.tightest?.remaining, 1);
  });

  for (const accept of ['application/json', 'application/graphql-response+json']) {
    it(`answer 429 with Retry-After, for ${accept}`, async () => {
      await using server = await openServer();
      await server.post(operation, accept);
      await server.post(operation, accept);
      const response = await server.post({ query: 'not { even graphql' }, accept);
      assert.equal(response.status, 429);
      assert.equal(response.headers.get('retry-after'), '1800');
      assert.deepEqual(
        server.contexts[2]?.rateLimit?.headers,
        { ratelimit: '"two";r=0;t=1800', 'ratelimit-policy': '"two";q=2;w=3600' },
        'the door adds these to every answer',
      );
      assert.deepEqual(await response.json(), {
        errors: [
          {
            message: 'Rate limit "two" exceeded: 2 requests per 1h',
            extensions: { code: 'RATE_LIMIT_EXCEEDED', requestId: 'request-1', retryAfter: 1800 },
          },
        ],
      });
      assert.deepEqual(server.counts(), { parsed: 2, executed: 2 }, 'the refused document was not parsed');
      assert.equal(server.contexts[2]?.rateLimit?.allowed, false);
    });
  }

  it('count every operation of a batch', async () => {
    await using server = await openServer();
    const response = await server.post([operation, operation, operation, operation]);
    const results = (await response.json()) as { data?: unknown; errors?: { extensions: { code: string } }[] }[];
    assert.deepEqual(
      results.map((result) => result.errors?.[0]?.extensions.code ?? result.data),
      [{ hello: 'hi' }, { hello: 'hi' }, 'RATE_LIMIT_EXCEEDED', 'RATE_LIMIT_EXCEEDED'],
    );
    assert.equal(server.contexts[0]?.rateLimit?.allowed, false);
  });

  it('are no plugin at all without rules', () => {
    const limiter = createRateLimiter({ local: createMemoryRateLimitStore() });
    assert.deepEqual(useRateLimit({ limiter, rules: [] }), {});
  });
});
