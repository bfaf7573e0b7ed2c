import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

// Invariant 1: no answer ever crosses viewers.

const viewers = Array.from({ length: 20 }, (_, index) => `viewer-${index}`);
const apiKeys = viewers.map((name) => ({ name, sha256: createHash('sha256').update(`key of ${name}`).digest('hex') }));
const pause = () => new Promise((resolve) => setTimeout(resolve, 2));

test('many viewers who ask the same query at the same moment each get their own answer', async (t) => {
  const gateway = await startGateway(t, { authentication: { apiKeys } });
  const whoami = (context: { headers: Record<string, string> }) => context.headers['x-user-id'] ?? 'nobody';
  const accounts = await startSubgraph(
    t,
    'type Query { me: User } type User @key(fields: "id") { id: ID! seenBy: String }',
    {
      Query: {
        me: (_: unknown, __: unknown, context: never) => pause().then(() => ({ id: '1', seenBy: whoami(context) })),
      },
      User: { __resolveReference: (user: object, context: never) => ({ ...user, seenBy: whoami(context) }) },
    },
  );
  const reviews = await startSubgraph(
    t,
    'type Query { count: Int } type User @key(fields: "id") { id: ID! reviewsSeenBy: String }',
    {
      User: {
        __resolveReference: (user: object) => pause().then(() => user),
        reviewsSeenBy: (_: unknown, __: unknown, context: never) => whoami(context),
      },
    },
  );
  await registerGraphql(gateway, 'accounts', accounts.url);
  await registerGraphql(gateway, 'reviews', reviews.url);
  for (let round = 0; round < 5; round++) {
    await Promise.all(
      viewers.map(async (viewer) => {
        const headers = { 'x-api-key': `key of ${viewer}` };
        const { data, errors } = await gateway.graphql('{ me { id seenBy reviewsSeenBy } }', { headers });
        assert.equal(errors, undefined);
        assert.deepEqual(data, { me: { id: '1', seenBy: viewer, reviewsSeenBy: viewer } });
      }),
    );
  }
});

test('a REST service sees who asks, and never whom the client claims to be', async (t) => {
  const gateway = await startGateway(t, { authentication: { apiKeys } });
  const service = await startServer(t, (request, response) => {
    response.end(JSON.stringify([request.headers['x-user-id'] ?? null, request.headers['x_user_id'] ?? null]));
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/echo' } }]);
  const ask = async (headers: Record<string, string>) => (await fetch(`${gateway.url}/echo`, { headers })).json();
  const forged = { 'x-user-id': 'admin', x_user_id: 'admin' };
  assert.deepEqual(await ask(forged), [null, null]);
  const answers = await Promise.all(viewers.map((viewer) => ask({ ...forged, 'x-api-key': `key of ${viewer}` })));
  assert.deepEqual(
    answers,
    viewers.map((viewer) => [viewer, null]),
  );
});

test('what stands in for an answer that does not come was given to the same viewer', async (t) => {
  const gateway = await startGateway(t, {
    authentication: { apiKeys },
    fields: { 'Query.me': { staleIfError: '1h', timeout: '5s' } },
  });
  const accounts = await startSubgraph(t, 'type Query { me: String }', {
    Query: { me: (_: unknown, __: unknown, { headers }: { headers: Record<string, string> }) => headers['x-user-id'] },
  });
  await registerGraphql(gateway, 'accounts', accounts.url);
  const ask = (viewer: string) => gateway.graphql('{ me }', { headers: { 'x-api-key': `key of ${viewer}` } });
  const known = viewers.slice(0, 10);
  await Promise.all(known.map(ask));
  await accounts.kill();
  await Promise.all(
    viewers.map(async (viewer) => {
      assert.deepEqual((await ask(viewer)).data, { me: known.includes(viewer) ? viewer : null });
    }),
  );
  assert.deepEqual((await gateway.graphql('{ me }')).data, { me: null });
});
