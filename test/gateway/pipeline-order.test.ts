import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startSubgraph } from '../support/subgraph.ts';

// What really happens first: a request that offends against several policies gets the answer of the first one.

const key = 'one key';
const stages = ['carrier', 'authenticate', 'size', 'rate limit', 'parse', 'validate', 'authorize'] as const;

async function startStrictGateway(t: Parameters<typeof startGateway>[0]): Promise<TestGateway> {
  const gateway = await startGateway(t, {
    authentication: {
      required: true,
      apiKeys: [{ name: 'one', sha256: createHash('sha256').update(key).digest('hex') }],
    },
    policies: { rateLimit: [{ name: 'few', limit: 1, window: '1h', key: 'header:x-count' }] },
    limits: { maxGraphqlBodySize: '1kb' },
  });
  const service = await startSubgraph(t, 'type Query { a: Int }', { Query: { a: () => 1 } });
  await registerGraphql(gateway, 'a', service.url);
  return gateway;
}

/** The faults that a request has; it must be refused for the first of them. */
async function refusalOf(
  gateway: TestGateway,
  faults: ReadonlySet<(typeof stages)[number]>,
  count: string,
): Promise<string> {
  const query = faults.has('parse') ? '{' : faults.has('validate') ? '{ b }' : '{ a }';
  const padding = faults.has('size') ? ' '.repeat(2_000) : '';
  const response = await fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': faults.has('carrier') ? 'text/plain' : 'application/json',
      'x-count': faults.has('rate limit') ? 'used up' : count,
      ...(faults.has('authenticate') ? { 'x-api-key': 'wrong' } : faults.has('authorize') ? {} : { 'x-api-key': key }),
    },
    body: JSON.stringify({ query: query + padding }),
  });
  const { errors } = await response.json();
  return errors?.[0].extensions.code ?? 'none';
}

test('the policies of the GraphQL door act in the order in which they are listed', async (t) => {
  const gateway = await startStrictGateway(t);
  await refusalOf(gateway, new Set(['rate limit']), '');
  const codes: string[] = [];
  for (let first = 0; first <= stages.length; first++) {
    codes.push(await refusalOf(gateway, new Set(stages.slice(first)), `request ${first}`));
  }
  t.diagnostic(stages.map((stage, index) => `${stage}: ${codes[index]}`).join(' -> '));
  assert.deepEqual(codes, [
    'UNSUPPORTED_MEDIA_TYPE',
    'UNAUTHENTICATED',
    'PAYLOAD_TOO_LARGE',
    'RATE_LIMIT_EXCEEDED',
    'GRAPHQL_PARSE_FAILED',
    'GRAPHQL_VALIDATION_FAILED',
    'UNAUTHENTICATED',
    'none',
  ]);
});
