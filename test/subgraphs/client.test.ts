import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type AdminStandIn, findUnusedPort, startAdminStandIn, startProgram } from '../support/demo.ts';
import { drain, putInstance, putService, remove, start, typesOf } from './client-fixture.ts';

test('a service registers the definition, then the instance, with the bearer token', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, events } = start(t, { admin: admin.url, token: 'secret', leaseSeconds: 9 });
  assert.equal(registration.state, 'registering');
  await registration.ready;
  assert.equal(registration.state, 'registered');
  assert.deepEqual(admin.lines, [putService, putInstance]);
  assert.deepEqual(admin.requests[0]?.body, { graphql: { path: '/graphql' } });
  assert.deepEqual(admin.requests[1]?.body, { url: 'http://127.0.0.1:8080', weight: 2, leaseSeconds: 9 });
  assert.ok(admin.requests.every(({ authorization }) => authorization === 'Bearer secret'));
  assert.deepEqual(typesOf(events), ['registered']);
});

test('the lease is renewed three times per lease, with jitter, by the instance call alone', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, timers, events } = start(t, { admin: admin.url, leaseSeconds: 30, random: () => 0.5 });
  await registration.ready;
  for (let beat = 1; beat <= 3; beat++) {
    const timer = await timers.next();
    assert.equal(timer.delayMs, 9_000);
    timer.fire();
    await admin.received(2 + beat);
  }
  assert.deepEqual(admin.lines.slice(2), [putInstance, putInstance, putInstance]);
  assert.deepEqual(typesOf(events), ['registered']);
});

test('a gateway that has forgotten the service gets the definition again', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, timers, events } = start(t, { admin: admin.url });
  await registration.ready;
  let isForgotten = true;
  admin.script = ({ path }) => {
    if (!isForgotten || !path.includes('/instances/')) return undefined;
    isForgotten = false;
    return { status: 404 };
  };
  (await timers.next()).fire();
  await timers.next();
  assert.deepEqual(admin.lines.slice(2), [putInstance, putService, putInstance]);
  assert.deepEqual(typesOf(events), ['registered', 'forgotten', 'registered']);
});

test('a refusal is told with its reasons and tried again, with growing and bounded waits', async (t) => {
  const admin = await startAdminStandIn(t);
  const refusal = {
    status: 422,
    body: { detail: 'does not compose', reasons: [{ message: 'Product.upc has two types', service: 'products' }] },
  };
  admin.script = () => refusal;
  const { registration, timers, events } = start(t, { admin: admin.url, random: () => 1, maxRetryMs: 500 });
  await registration.ready;
  assert.equal(registration.state, 'registering');
  for (const delayMs of [100, 200, 400, 500, 500]) {
    const timer = await timers.next();
    assert.equal(timer.delayMs, delayMs);
    timer.fire();
  }
  const last = await timers.next();
  admin.script = () => undefined;
  last.fire();
  await timers.next();
  assert.equal(registration.state, 'registered');
  assert.deepEqual(typesOf(events), [...Array(6).fill('refused'), 'registered']);
  const [first] = events;
  assert.ok(first?.type === 'refused');
  assert.deepEqual(
    [first.status, first.message, first.reasons[0]?.message, first.attempt, first.retryInMs, first.service],
    [422, 'does not compose', 'Product.upc has two types', 1, 100, 'products'],
  );
});

test('an instance that is refused does not send the definition again', async (t) => {
  const admin = await startAdminStandIn(t);
  admin.script = ({ path }) => (path.includes('/instances/') ? { status: 422 } : undefined);
  const { registration, timers } = start(t, { admin: admin.url });
  await registration.ready;
  admin.script = () => undefined;
  (await timers.next()).fire();
  await timers.next();
  assert.deepEqual(admin.lines, [putService, putInstance, putInstance]);
  assert.equal(registration.state, 'registered');
});

test('a gateway that starts later than the service is found', async (t) => {
  const port = await findUnusedPort();
  const { registration, timers, events } = start(t, { admin: `http://127.0.0.1:${port}` });
  await registration.ready;
  assert.equal(registration.state, 'registering');
  assert.deepEqual(typesOf(events), ['unreachable']);
  const timer = await timers.next();
  const admin = await startAdminStandIn(t, port);
  timer.fire();
  await timers.next();
  assert.equal(registration.state, 'registered');
  assert.deepEqual(admin.lines, [putService, putInstance]);
});

test('a definition that comes from the configuration file does not hinder the instance', async (t) => {
  const admin = await startAdminStandIn(t);
  admin.script = ({ path }) => ({ status: path.includes('/instances/') ? 201 : 409 });
  const { registration, events } = start(t, { admin: admin.url });
  await registration.ready;
  assert.deepEqual(admin.lines, [putService, putInstance]);
  assert.deepEqual(typesOf(events), ['registered']);
});

test('a definition that conflicts with another service is told as what it is', async (t) => {
  const admin = await startAdminStandIn(t);
  admin.script = ({ path }) =>
    path.includes('/instances/') ? { status: 404 } : { status: 409, body: { detail: 'the route is taken' } };
  const { registration, events } = start(t, { admin: admin.url });
  await registration.ready;
  const [event] = events;
  assert.ok(event?.type === 'refused');
  assert.deepEqual([event.status, event.message], [409, 'the route is taken']);
});

test('each gateway has a registration of its own', async (t) => {
  const [good, bad] = [await startAdminStandIn(t), await startAdminStandIn(t)];
  bad.script = () => ({ status: 503 });
  const { registration } = start(t, { admin: [good.url, `${bad.url}/`, good.url] });
  await registration.ready;
  assert.equal(registration.state, 'registered');
  assert.deepEqual(registration.gateways, [
    { admin: good.url, state: { status: 'registered' } },
    { admin: bad.url, state: { status: 'retrying', attempt: 1 } },
  ]);
  assert.deepEqual(good.lines, [putService, putInstance]);
});

test('deregistering drains, waits, removes, and ends the heartbeat', async (t) => {
  const admin = await startAdminStandIn(t);
  const { registration, timers, events } = start(t, { admin: admin.url, drainMs: 700 });
  await registration.ready;
  const heartbeat = await timers.next();
  const done = registration.deregister();
  assert.equal(registration.deregister(), done);
  const wait = await timers.next();
  assert.deepEqual([wait.delayMs, wait.keepsAlive], [700, true]);
  assert.deepEqual(admin.lines.slice(2), [drain]);
  assert.equal(registration.state, 'deregistering');
  wait.fire();
  await done;
  assert.equal(registration.state, 'deregistered');
  assert.ok(heartbeat.isCancelled());
  assert.deepEqual(admin.lines.slice(2), [drain, remove]);
  assert.deepEqual(events.at(-1), {
    type: 'deregistered',
    admin: admin.url,
    confirmed: true,
    service: 'products',
    instance: 'p-1',
  });
});

test('a registration on its way is waited for, so that it cannot arrive after the deregistration', async (t) => {
  const admin = await startAdminStandIn(t);
  const gate = Promise.withResolvers<void>();
  admin.script = ({ method, path }) =>
    method === 'PUT' && path.includes('/instances/') ? { status: 201, after: gate.promise } : undefined;
  const { registration } = start(t, { admin: admin.url });
  await admin.received(2);
  const done = registration.deregister();
  admin.script = () => ({ status: 200 });
  gate.resolve();
  await done;
  assert.deepEqual(admin.lines, [putService, putInstance, drain, remove]);
});

test('a gateway that is away does not hold the deregistration up', async (t) => {
  const { registration, events } = start(t, { admin: `http://127.0.0.1:${await findUnusedPort()}`, drainMs: 60_000 });
  await registration.ready;
  await registration.deregister();
  assert.deepEqual(typesOf(events), ['unreachable', 'draining', 'deregistered']);
});

test('nothing that a gateway answers, and no listener that fails, disturbs the service', async (t) => {
  const admin = await startAdminStandIn(t);
  const bodies = [
    '"a string"',
    'null',
    '[]',
    '{"reasons":"none","detail":7}',
    '{"reasons":[null,{"message":1}]}',
    '<html>',
  ];
  const answers = bodies.map((body) => () => Promise.resolve(new Response(body, { status: 500 })));
  const { registration, timers } = start(t, {
    admin: admin.url,
    fetch: (url, init) => answers.shift()?.() ?? globalThis.fetch(url, init),
    onEvent() {
      throw new Error('a listener that fails');
    },
  });
  for (const _ of bodies) (await timers.next()).fire();
  await timers.next();
  assert.equal(registration.state, 'registered');
});

test('the id of an instance is host and port of its URL unless it is given', async (t) => {
  const admin = await startAdminStandIn(t);
  const idOf = (url: string) => start(t, { admin: admin.url, instance: { url } }).registration.id;
  assert.equal(idOf('http://10.0.0.5:8080'), '10.0.0.5:8080');
  assert.equal(idOf('https://products.example'), 'products.example:443');
  assert.equal(idOf('http://[::1]:8080'), '0::1:8080');
  assert.match(idOf('no url'), /^[0-9a-f-]{36}$/);
});

const clientUrl = new URL('../../subgraphs/client.ts', import.meta.url).href;

/** A service process that registers at ADMIN; `body` is what else it does. */
function programWith(options: string, body: string): string {
  return `
    import { createServer } from 'node:http';
    import { register } from '${clientUrl}';
    const server = createServer();
    server.listen(0, '127.0.0.1');
    const instance = { id: 'p-1', url: 'http://127.0.0.1:8080' };
    const registration = register({
      service: 'products', admin: process.env.ADMIN, instance, definition: { graphql: {} }, ${options}
    });
    await registration.ready;
    ${body}
    console.log('registered');`;
}

async function startService(t: TestContext, options: string, body = '') {
  const admin = await startAdminStandIn(t);
  const service = startProgram(t, programWith(options, body), { ADMIN: admin.url });
  await service.printed(/registered/);
  return { admin, service };
}

function assertDeregistered(admin: AdminStandIn): void {
  assert.deepEqual(admin.lines.slice(-2), [drain, remove]);
}

test('SIGTERM deregisters the service and then has its usual effect', async (t) => {
  const { admin, service } = await startService(t, '');
  service.child.kill('SIGTERM');
  assert.deepEqual(await service.ended, { code: null, signal: 'SIGTERM' });
  assertDeregistered(admin);
});

test('a service that listens for the signal itself decides about its end', async (t) => {
  const own = `process.once('SIGINT', async () => { await registration.deregister(); process.exit(7); });`;
  const { admin, service } = await startService(t, '', own);
  service.child.kill('SIGINT');
  assert.deepEqual(await service.ended, { code: 7, signal: null });
  assertDeregistered(admin);
});

test('onDrained closes the server, and the process ends by itself', async (t) => {
  const { admin, service } = await startService(t, 'drainMs: 50, onDrained: () => server.close()');
  service.child.kill('SIGTERM');
  assert.deepEqual(await service.ended, { code: 0, signal: null });
  assertDeregistered(admin);
});

test('two registrations in one process both deregister before the signal takes effect', async (t) => {
  const other = `await register({
    service: 'reviews', admin: process.env.ADMIN, instance: { id: 'r-1', url: instance.url }, definition: { graphql: {} },
    drainMs: 100 }).ready;`;
  const { admin, service } = await startService(t, '', other);
  service.child.kill('SIGTERM');
  assert.deepEqual(await service.ended, { code: null, signal: 'SIGTERM' });
  const removed = admin.lines.filter((line) => line.startsWith('DELETE'));
  assert.deepEqual(removed, [remove, 'DELETE /services/reviews/instances/r-1']);
});

test('a registration alone keeps no process alive', async (t) => {
  const { service } = await startService(t, '', 'server.close();');
  assert.deepEqual(await service.ended, { code: 0, signal: null });
});

test('a service that does not listen gets one warning per series of failures', async (t) => {
  const admin = await startAdminStandIn(t);
  admin.script = () => ({ status: 422, body: { detail: 'does not compose', reasons: [{ message: 'because' }] } });
  const service = startProgram(t, programWith('', ''), { ADMIN: admin.url });
  await admin.received(3);
  await service.printed(/because/);
  service.child.kill('SIGTERM');
  await service.ended;
  assert.equal(service.output().split('does not compose').length - 1, 1);
  assert.match(service.output(), /SELVAGE_REFUSED.*products\/p-1.*\(422\).*\n {2}because/);
});
