import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../subgraphs/client.ts';
import { findUnusedPort, startProgram } from '../support/demo.ts';
import { startGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startPlainGraphql } from '../support/subgraph.ts';

// selvage/client at a real gateway. The finer points of its timing stand in test/subgraphs/client*.test.ts.

const imports = `
  import { createServer } from 'node:http';
  import { once } from 'node:events';
  import { register } from '${new URL('../../subgraphs/client.ts', import.meta.url).href}';`;

/** A service process: any server of Node, registered with a route or a schema, which announces itself. */
const services = {
  'plain node:http': `${imports}
    const server = createServer(async (request, response) => {
      console.log('asked');
      await new Promise((resolve) => setTimeout(resolve, 600));
      response.end('done');
    });
    const definition = { routes: [{ match: { path: '/slow' } }] };`,
  'GraphQL Yoga': `${imports}
    import { createSchema, createYoga } from '${import.meta.resolve('graphql-yoga')}';
    const slow = async () => {
      console.log('asked');
      await new Promise((resolve) => setTimeout(resolve, 600));
      return 'done';
    };
    const schema = createSchema({ typeDefs: 'type Query { slow: String }', resolvers: { Query: { slow } } });
    const server = createServer(createYoga({ schema, logging: false }));
    const definition = { graphql: {} };`,
};

for (const [name, program] of Object.entries(services)) {
  test(`${name}: SIGTERM ends the calls in flight, leaves the rotation, and then the process`, async (t) => {
    const gateway = await startGateway(t);
    const service = startProgram(
      t,
      `${program}
       server.listen(0, '127.0.0.1');
       await once(server, 'listening');
       const instance = { id: 's-1', url: 'http://127.0.0.1:' + server.address().port };
       const registration = register({
         service: 's', admin: process.env.ADMIN, instance, definition, drainMs: 100, onDrained: () => void server.close(),
       });
       await registration.ready;
       console.log(registration.state);`,
      { ADMIN: gateway.adminUrl },
    );
    await service.printed(/^registered/m);
    const pending = name.includes('Yoga')
      ? gateway.graphql('{ slow }').then(({ data }) => data.slow)
      : fetch(`${gateway.url}/slow`).then((response) => response.text());
    await service.printed(/^asked/m);
    service.child.kill('SIGTERM');
    assert.equal(await pending, 'done', 'the call in flight got its answer');
    assert.deepEqual(await service.ended, { code: 0, signal: null });
    assert.deepEqual((await gateway.admin('GET', '/services/s')).body.instances, []);
  });
}

test('two gateways, of which one starts late and forgets everything once', async (t) => {
  const service = await startPlainGraphql(t, 'type Query { a: Int }', { Query: { a: () => 7 } });
  const early = await startGateway(t);
  const latePort = await findUnusedPort();
  await using registration = register({
    service: 'a',
    admin: [early.adminUrl, `http://127.0.0.1:${latePort}`],
    instance: { id: 'a-1', url: service.url },
    definition: { graphql: {} },
    leaseSeconds: 2,
    drainOnSigterm: false,
    onEvent: () => {},
  });
  await registration.ready;
  assert.deepEqual((await early.graphql('{ a }')).data, { a: 7 });
  for (const round of ['starts late', 'forgets everything']) {
    const late = await startGateway(t, { admin: { port: latePort } });
    await until(async () => (await late.graphql('{ a }')).data?.a === 7, `a gateway that ${round} knows the service`);
    await late.gateway.stop();
  }
  assert.deepEqual((await early.graphql('{ a }')).data, { a: 7 });
  await registration.deregister();
  assert.deepEqual((await early.admin('GET', '/services/a')).body.instances, []);
});

test('a schema that changes while the service runs is served at once, and a bad one changes nothing', async (t) => {
  const gateway = await startGateway(t);
  const refused = Promise.withResolvers<readonly { message: string }[]>();
  await using registration = register({
    service: 'a',
    admin: gateway.adminUrl,
    instance: { id: 'a-1', url: 'http://127.0.0.1:9' },
    definition: { graphql: { schema: 'type Query { a: Int }' } },
    drainOnSigterm: false,
    onEvent: (event) => event.type === 'refused' && refused.resolve(event.reasons),
  });
  await registration.ready;
  const readSdl = async () => (await gateway.admin('GET', '/graph/sdl')).body;
  await registration.update({ definition: { graphql: { schema: 'type Query { b: Int }' } } });
  assert.match(await readSdl(), /b: Int/);
  await registration.update({ definition: { graphql: { schema: 'type Query { c: Nothing }' } } });
  assert.match((await refused.promise)[0]?.message ?? '', /Nothing/);
  assert.equal(registration.state, 'registered');
  assert.match(await readSdl(), /b: Int/);
});

test('a program that only registers ends when its own work is done', async (t) => {
  const gateway = await startGateway(t);
  const program = `${imports}
    await register({ service: 's', admin: process.env.ADMIN, instance: { url: 'http://127.0.0.1:9' },
      definition: { routes: [{ match: { path: '/s' } }] } }).ready;`;
  const { ended } = startProgram(t, program, { ADMIN: gateway.adminUrl });
  assert.deepEqual(await ended, { code: 0, signal: null });
});
