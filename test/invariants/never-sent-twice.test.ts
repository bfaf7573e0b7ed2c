import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { createRandom } from '../support/random.ts';
import { federated, startSubgraph } from '../support/subgraph.ts';

// Invariant 4: a mutation or a non-idempotent REST request is never sent twice once any byte may have reached a service.

/** Reads the request's marker and then misbehaves: cuts the connection after `bytes` of the answer, or at once. */
async function startFaulty(t: TestContext, seen: Map<string, number>, bytesFor: () => number): Promise<string> {
  const answer =
    'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n{"data":{"count":1234567}} ';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (const [, marker] of text.matchAll(/marker-(\d+)-end/g)) {
        seen.set(marker ?? '', (seen.get(marker ?? '') ?? 0) + 1);
        text = '';
        const bytes = bytesFor();
        if (bytes >= answer.length) socket.write(answer);
        else if (bytes === 0) socket.resetAndDestroy();
        else socket.end(answer.slice(0, bytes));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

async function startFaultyService(t: TestContext) {
  const seen = new Map<string, number>();
  const random = createRandom(20261121);
  const bytesFor = () => (random() < 0.3 ? 1_000 : Math.floor(random() * 110));
  const urls = await Promise.all([0, 1, 2].map(() => startFaulty(t, seen, bytesFor)));
  const gateway = await startGateway(t, {
    policies: { circuitBreaker: { minimumCalls: 10_000 }, hedging: { budget: '100%', minimumDelay: '1ms' } },
  });
  const answer = await gateway.admin('PUT', '/services/faulty', {
    graphql: { schema: federated('type Query { count: Int } type Mutation { count(marker: String): Int }') },
    routes: [{ match: { path: '/faulty/*' } }],
    instances: urls.map((url) => ({ url })),
  });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return { gateway, seen };
}

test('a POST whose connection breaks at a random byte reaches one instance once', async (t) => {
  const { gateway, seen } = await startFaultyService(t);
  const outcomes = new Map<number | string, number>();
  for (let i = 0; i < 300; i++) {
    const outcome = await fetch(`${gateway.url}/faulty/x`, { method: 'POST', body: `marker-${i}-end` })
      .then((response) => response.text().then(() => response.status))
      .catch(() => 'truncated');
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  assert.ok(outcomes.size > 1, 'some failed and some did not');
  assert.deepEqual(
    [...seen].filter(([, times]) => times > 1),
    [],
  );
});

test('a mutation whose connection breaks at a random byte reaches one instance once', async (t) => {
  const { gateway, seen } = await startFaultyService(t);
  let failed = 0;
  for (let i = 0; i < 300; i++) {
    const { errors } = await gateway.graphql(`mutation { count(marker: "marker-${i}-end") }`);
    if (errors !== undefined) failed++;
  }
  assert.ok(failed > 0 && failed < 300);
  assert.deepEqual(
    [...seen].filter(([, times]) => times > 1),
    [],
  );
});

test('a GET is sent again, to another instance', async (t) => {
  const { gateway, seen } = await startFaultyService(t);
  for (let i = 0; i < 100; i++) {
    await fetch(`${gateway.url}/faulty/marker-${i}-end`)
      .then((response) => response.text())
      .catch(() => {});
  }
  assert.ok([...seen.values()].some((times) => times > 1));
});

test('a mutation that is slower than all queries is not hedged, and a slow query is', async (t) => {
  let slow = false;
  const pause = (value: number) => (slow ? new Promise((resolve) => setTimeout(resolve, 150, value)) : value);
  const sdl = 'type Query { count: Int } type Mutation { count(marker: String): Int }';
  const resolvers = { Query: { count: () => pause(1) }, Mutation: { count: () => pause(2) } };
  const services = [await startSubgraph(t, sdl, resolvers), await startSubgraph(t, sdl, resolvers)];
  const gateway = await startGateway(t, { policies: { hedging: { budget: '100%', minimumDelay: '1ms' } } });
  const answer = await gateway.admin('PUT', '/services/counter', {
    graphql: { schema: federated(sdl) },
    instances: services.map(({ url }) => ({ url })),
  });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const sent = (text: string) =>
    services.flatMap(({ requests }) => requests).filter(({ body }) => body.includes(text)).length;
  for (let i = 0; i < 40; i++) await gateway.graphql('{ count }');
  slow = true;
  for (let i = 0; i < 10; i++) await gateway.graphql(`mutation { count(marker: "marker-${i}-end") }`);
  for (let i = 0; i < 10; i++) assert.equal(sent(`marker-${i}-end`), 1);
  assert.equal(sent('slowQuery'), 0);
  for (let i = 0; i < 10; i++) await gateway.graphql('query slowQuery { slowQuery: count }');
  assert.ok(sent('slowQuery') > 10, `${sent('slowQuery')} requests for ten slow queries`);
});
