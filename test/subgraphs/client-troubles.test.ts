import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { register } from '../../subgraphs/client.ts';
import { parseRetryAfter } from '../../subgraphs/client-request.ts';
import { findUnusedPort, startAdminStandIn, startProgram } from '../support/demo.ts';
import { drain, putInstance, putService, remove, start, typesOf } from './client-fixture.ts';

test('a gateway whose store is away is left alone for as long as it asks, and then the service registers', async (t) => {
  const admin = await startAdminStandIn(t);
  admin.script = () => ({ status: 503, headers: { 'retry-after': '7' }, body: { detail: 'the store is away' } });
  const { registration, timers, events } = start(t, { admin: admin.url, random: () => 0.5 });
  await registration.ready;
  const timer = await timers.next();
  assert.equal(
    Math.round(timer.delayMs),
    7_700,
    'not before, and a little later by chance: all instances were told the same',
  );
  admin.script = () => undefined;
  timer.fire();
  await timers.next();
  assert.deepEqual(typesOf(events), ['refused', 'registered']);
});

test('a gateway that asks for years is not believed', async (t) => {
  const admin = await startAdminStandIn(t);
  admin.script = () => ({ status: 503, headers: { 'retry-after': '999999999' } });
  const { timers } = start(t, { admin: admin.url, random: () => 0 });
  assert.equal((await timers.next()).delayMs, 600_000);
});

test('Retry-After is seconds or a date, and anything else is no word', () => {
  assert.equal(parseRetryAfter('3'), 3_000);
  assert.equal(parseRetryAfter('Sat, 21 Nov 2026 10:00:05 GMT', Date.parse('2026-11-21T10:00:00Z')), 5_000);
  for (const word of [null, '', '0', '-1', 'soon', 'Sat, 21 Nov 2020 10:00:00 GMT']) {
    assert.equal(parseRetryAfter(word, Date.parse('2026-11-21T10:00:00Z')), undefined, String(word));
  }
});

for (const [status, longestMs] of [
  [422, 30_000],
  [401, 30_000],
  [503, 5_000],
] as const) {
  test(`a gateway that goes on answering ${status} is asked at most every ${longestMs / 1_000} seconds`, async (t) => {
    const admin = await startAdminStandIn(t);
    admin.script = () => ({ status });
    const { timers } = start(t, { admin: admin.url, leaseSeconds: 60, random: () => 1 });
    const waits: number[] = [];
    for (let round = 0; round < 12; round++) {
      const timer = await timers.next();
      waits.push(timer.delayMs);
      timer.fire();
    }
    assert.deepEqual(waits.slice(0, 4), [100, 200, 400, 800]);
    assert.equal(Math.max(...waits), longestMs);
  });
}

test('an instance with a short lease looks for its gateway more often', async (t) => {
  const admin = `http://127.0.0.1:${await findUnusedPort()}`;
  const { timers } = start(t, { admin, leaseSeconds: 3, random: () => 1 });
  let longestMs = 0;
  for (let round = 0; round < 8; round++) {
    const timer = await timers.next();
    longestMs = Math.max(longestMs, timer.delayMs);
    timer.fire();
  }
  assert.equal(longestMs, 1_000);
});

test('a gateway that answers 410 has forgotten, too', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, timers, events } = start(t, { admin: admin.url });
  await registration.ready;
  const answers = [{ status: 410 }];
  admin.script = () => answers.shift();
  (await timers.next()).fire();
  await timers.next();
  assert.deepEqual(admin.lines.slice(2), [putInstance, putService, putInstance]);
  assert.deepEqual(typesOf(events), ['registered', 'forgotten', 'registered']);
});

test('an instance of a service that is defined elsewhere sends no definition', async (t) => {
  const admin = await startAdminStandIn(t);
  admin.script = ({ path }) =>
    path.includes('/instances/') ? { status: 404, body: { detail: 'no service' } } : undefined;
  const { registration, timers, events } = start(t, { admin: admin.url, definition: undefined });
  await registration.ready;
  const [event] = events;
  assert.ok(event?.type === 'refused');
  assert.deepEqual([event.status, event.message], [404, 'no service']);
  admin.script = () => ({ status: 201 });
  (await timers.next()).fire();
  await timers.next();
  assert.deepEqual(admin.lines, [putInstance, putInstance]);
  assert.equal(registration.state, 'registered');
});

test('the token may come from a function, which is asked before every request', async (t) => {
  const admin = await startAdminStandIn(t);
  let count = 0;
  const { registration } = start(t, { admin: admin.url, token: async () => `token-${++count}\n` });
  await registration.ready;
  assert.deepEqual(
    admin.requests.map(({ authorization }) => authorization),
    ['Bearer token-1', 'Bearer token-2'],
  );
});

test('a token that no header may have, or that cannot be had, is told without the token', async (t) => {
  const admin = await startAdminStandIn(t);
  const tokens = [
    'se\ncret',
    'sécret',
    () => {
      throw new Error('the file is gone');
    },
  ];
  for (const token of tokens) {
    const { registration, events } = start(t, { admin: admin.url, token });
    await registration.ready;
    const [event] = events;
    assert.ok(event?.type === 'unreachable');
    assert.doesNotMatch(String(event.cause), /cret/);
  }
  assert.deepEqual(admin.lines, []);
});

test('without a gateway there is one warning and no trouble', async () => {
  const warned = once(process, 'warning');
  const registration = register({
    service: 'products',
    admin: undefined,
    instance: { url: 'http://127.0.0.1:8080' },
    definition: { graphql: {} },
  });
  await registration.ready;
  await registration.update();
  await registration.deregister();
  const [warning] = await warned;
  assert.deepEqual([warning.code, /products/.test(warning.message)], ['SELVAGE_NO_GATEWAY', true]);
});

test('several gateways may stand in one environment variable', async (t) => {
  const [one, other] = [await startAdminStandIn(t), await startAdminStandIn(t)];
  const { registration } = start(t, { admin: `${one.url}/, ${other.url},` });
  await registration.ready;
  assert.deepEqual(
    registration.gateways.map(({ admin }) => admin),
    [one.url, other.url],
  );
});

test('a gateway that is down disturbs no other: registered, renewed, updated and deregistered there', async (t) => {
  const good = await startAdminStandIn(t);
  const down = `http://127.0.0.1:${await findUnusedPort()}`;
  const { registration, timers } = start(t, { admin: [down, good.url], leaseSeconds: 30, random: () => 1 });
  await registration.ready;
  assert.equal(registration.state, 'registered');
  const waits = [await timers.next(), await timers.next()];
  const heartbeat = waits.find(({ delayMs }) => delayMs === 10_000);
  assert.ok(heartbeat);
  heartbeat.fire();
  await good.received(3);
  await registration.update({ instance: { weight: 5 } });
  await registration.deregister();
  assert.deepEqual(good.lines, [putService, putInstance, putInstance, putService, putInstance, drain, remove]);
});

test('a new schema registers at once, by the definition and the instance', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, events } = start(t, { admin: admin.url });
  await registration.ready;
  const definition = { graphql: { schema: 'type Query { b: Int }' } };
  await registration.update({ definition, instance: { version: '2' } });
  assert.deepEqual(admin.lines, [putService, putInstance, putService, putInstance]);
  assert.deepEqual(admin.requests[2]?.body, definition);
  assert.equal(admin.requests[3]?.body.version, '2');
  assert.equal(admin.requests[3]?.body.weight, 2, 'what the change does not name stays');
  assert.deepEqual(typesOf(events), ['registered', 'updated']);
});

test('a change that is refused leaves the service registered, is told, and is tried again ever more slowly', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, timers, events } = start(t, { admin: admin.url, leaseSeconds: 3, random: () => 1 });
  await registration.ready;
  await timers.next();
  admin.script = ({ path }) =>
    path.includes('/instances/') ? undefined : { status: 422, body: { detail: 'does not compose' } };
  await registration.update({ definition: { graphql: { schema: 'type Query { bad: Nothing }' } } });
  assert.equal(registration.state, 'registered');
  for (const delayMs of [100, 200, 400, 800, 1_000]) {
    const timer = await timers.next();
    assert.equal(timer.delayMs, delayMs);
    timer.fire();
  }
  // The fifth wait is 1600 ms; the lease needs a heartbeat in the middle of it, which does not carry the definition.
  const rest = await timers.next();
  assert.equal(rest.delayMs, 600);
  assert.equal(admin.lines.at(-1), putInstance);
  assert.equal(admin.lines.at(-2), putInstance);
  admin.script = () => undefined;
  rest.fire();
  await timers.next();
  assert.deepEqual(admin.lines.slice(-2), [putService, putInstance]);
  assert.deepEqual(typesOf(events), ['registered', ...Array(5).fill('refused'), 'updated']);
});

test('a change while a registration is on its way is not lost', async (t) => {
  const admin = await startAdminStandIn(t);
  const gate = Promise.withResolvers<void>();
  admin.script = ({ path }) => (path.includes('/instances/') ? undefined : { status: 201, after: gate.promise });
  const { registration } = start(t, { admin: admin.url });
  await admin.received(1);
  const updated = registration.update({ definition: { graphql: { path: '/new' } } });
  admin.script = () => ({ status: 200 });
  gate.resolve();
  await updated;
  assert.deepEqual(admin.lines, [putService, putInstance, putService, putInstance]);
  assert.deepEqual(admin.requests[2]?.body, { graphql: { path: '/new' } });
});

test('deregistering at a gateway whose store is away is tried again', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, timers, events } = start(t, { admin: admin.url });
  await registration.ready;
  await timers.next();
  let refusals = 1;
  admin.script = ({ method }) => (method === 'DELETE' && refusals-- > 0 ? { status: 503 } : undefined);
  const done = registration.deregister();
  (await timers.next()).fire();
  await done;
  assert.deepEqual(admin.lines.slice(2), [drain, remove, remove]);
  const last = events.at(-1);
  assert.equal(last?.type === 'deregistered' && last.confirmed, true);
});

const clientUrl = new URL('../../subgraphs/client.ts', import.meta.url).href;

test('neither a listener that rejects nor an onDrained that fails ends the service with an exception', async (t) => {
  const admin = await startAdminStandIn(t);
  const service = startProgram(
    t,
    `import { createServer } from 'node:http';
     import { register } from '${clientUrl}';
     const server = createServer();
     server.listen(0, '127.0.0.1');
     const registration = register({
       service: 'products', admin: process.env.ADMIN, instance: { id: 'p-1', url: 'http://127.0.0.1:8080' },
       definition: { graphql: {} },
       onEvent: async () => { throw new Error('a listener that rejects'); },
       onDrained: async () => { server.close(); throw new Error('an onDrained that fails'); },
     });
     await registration.ready;
     console.log('registered');`,
    { ADMIN: admin.url },
  );
  await service.printed(/registered/);
  service.child.kill('SIGTERM');
  assert.deepEqual(await service.ended, { code: 0, signal: null });
  assert.deepEqual(admin.lines.slice(-2), [drain, remove]);
  assert.match(service.output(), /SELVAGE_ON_DRAINED.*an onDrained that fails/);
});
