import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../gateway/config-file.ts';
import { findDefinitionMistakes } from '../../subgraphs/definition-check.ts';
import { compileHttpTemplate } from '../../subgraphs/http-template.ts';
import { compileOrders, startShop } from './orders.ts';

test('mistakes in the gRPC of a definition are told with their place', async () => {
  const descriptors = await compileOrders();
  const mistakesOf = (grpc: object, more: object = {}) =>
    findDefinitionMistakes({ grpc, ...more }).map(({ path, message }) => `${path}: ${message}`);
  assert.deepEqual(mistakesOf({ descriptors }), []);
  assert.deepEqual(mistakesOf({ services: ['a.B'] }), []);
  assert.match(mistakesOf({}).join(), /^\/grpc: .*nothing leads/);
  assert.match(mistakesOf({ descriptors: 'file:/etc/passwd' }).join(), /^\/grpc\/descriptors: files are read/);
  assert.match(mistakesOf({ protos: ['a.proto'] }).join(), /^\/grpc\/protos: files are read/);
  assert.match(mistakesOf({ descriptors: '!!!!' }).join(), /base64/);
  assert.match(mistakesOf({ descriptors: 'CgMKAWE=AAAA' }).join(), /\/grpc\/descriptors/);
  assert.match(mistakesOf({ descriptors, services: ['no.Such'] }).join(), /^\/grpc\/services\/0: .*no\.Such/);
  assert.match(mistakesOf({ descriptors }, { http2: false }).join(), /^\/http2: contradicts/);
});

test('a configuration names a .proto file, or a descriptor set', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'selvage-grpc-'));
  t.after(() => rm(directory, { recursive: true }));
  await copyFile(fileURLToPath(new URL('shop.proto', import.meta.url)), join(directory, 'shop.proto'));
  await writeFile(join(directory, 'shop.pb'), Buffer.from(await compileOrders(), 'base64'));
  const load = async (grpc: string) => {
    await writeFile(join(directory, 'selvage.yaml'), `services: { shop: { grpc: ${grpc} } }`);
    const { config } = await loadConfig({ directory, environment: {} });
    return config.services?.['shop']?.grpc;
  };
  const ofProtos = await load('{ protos: [shop.proto] }');
  const ofSet = await load('{ descriptors: "file:shop.pb" }');
  assert.equal(ofProtos?.descriptors, ofSet?.descriptors);
  assert.equal(ofProtos?.protos, undefined);
  await assert.rejects(load('{ descriptors: "file:none.pb" }'), /invalid|not valid|mistake/i);
});

test('templates of paths give routes, and what stands in them', () => {
  const match = (template: string, path: string) =>
    compileHttpTemplate(template)
      .match(path)
      ?.map(({ field, text }) => `${field.join('.')}=${text}`) ?? null;
  assert.deepEqual(match('/v1/{name=shelves/*/books/*}:read', '/v1/shelves/a/books/b:read'), [
    'name=shelves/a/books/b',
  ]);
  assert.equal(match('/v1/{name=shelves/*}:read', '/v1/shelves/a'), null);
  assert.deepEqual(match('/v1/{a.b}/x/{c=**}', '/v1/1/x/2/3'), ['a.b=1', 'c=2/3']);
  assert.equal(compileHttpTemplate('/v1/{name=files/**}').pattern, '/v1/files/*');
  assert.equal(compileHttpTemplate('/v1/{name=a/*}:b.c').pattern, '/v1/a/:p2(.+:b\\.c)');
  assert.throws(() => compileHttpTemplate(`/v1/{a}:${'x'.repeat(600)}`), { name: 'TemplateMistake' });
  for (const wrong of ['v1', '/v1/{', '/v1/{a=**}/b', '/v1/../x', '/v1//x', '/v1/a*', '/v1/{1}', '/v1/x?y']) {
    assert.throws(() => compileHttpTemplate(wrong), { name: 'TemplateMistake' }, wrong);
  }
});

test('a route of the definition holds for the method behind it', async (t) => {
  const { gateway } = await startShop(t, {
    service: { routes: [{ match: { path: '/v1/orders/:id', methods: ['GET'] }, authorize: { scopes: ['x'] } }] },
  });
  assert.equal((await fetch(`${gateway.url}/v1/orders/7`)).status, 401);
  assert.equal((await fetch(`${gateway.url}/v1/items/7`)).status, 200);
});

test('a route for some of the requests leaves the others to the route of the rule', async (t) => {
  const { gateway } = await startShop(t, {
    service: {
      routes: [
        {
          match: { path: '/v1/orders/:id', methods: ['GET'], headers: { 'x-inner': 'yes' } },
          authorize: { scopes: ['x'] },
        },
      ],
    },
  });
  const ask = async (headers: HeadersInit) => (await fetch(`${gateway.url}/v1/orders/7`, { headers })).status;
  assert.equal(await ask({ 'x-inner': 'yes' }), 401);
  assert.equal(await ask({}), 200);
});

test('another service cannot have a path of a method, nor take it by precedence', async (t) => {
  const { gateway } = await startShop(t);
  const claim = (match: object) =>
    gateway.admin('PUT', '/services/other', { routes: [{ match }], instances: [{ url: 'http://127.0.0.1:1' }] });
  const same = await claim({ path: '/v1/watch', methods: ['GET'] });
  assert.equal(same.status, 409);
  assert.match(JSON.stringify(same.body), /\/grpc/);
  const before = await claim({ path: '/v1/*', precedence: 5 });
  assert.equal(before.status, 409);
  assert.match(JSON.stringify(before.body), /of the service shop \(\/grpc\)/);
});
