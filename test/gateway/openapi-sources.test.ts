import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenapiSources } from '../../gateway/openapi-sources.ts';
import type { Call } from '../../subgraphs/call.ts';
import { until } from '../support/registration.ts';

const asked = { method: 'GET', path: '/a', query: '', headers: {}, params: {} };

interface Said {
  readonly status: number;
  readonly body?: string;
  readonly etag?: string;
}

function createService() {
  const tags: (string | undefined)[] = [];
  const service: { says: Said; readonly tags: typeof tags; readonly call: Call } = {
    says: { status: 404 },
    tags,
    async call({ headers, receiver }) {
      tags.push(headers[headers.indexOf('if-none-match') + 1] === 'accept' ? undefined : headers.at(-1));
      const { status, body = '', etag } = service.says;
      let failure: Error | undefined;
      receiver.onHead(status, etag === undefined ? [] : ['ETag', etag], {
        resume() {},
        abort(reason) {
          failure = reason;
        },
      });
      receiver.onData(Buffer.from(body));
      if (failure !== undefined) throw failure;
      receiver.onEnd([]);
    },
  };
  return service;
}

const requiring = (name: string) =>
  JSON.stringify({
    openapi: '3.1.0',
    paths: { '/a': { get: { parameters: [{ in: 'query', name, required: true }], responses: {} } } },
  });

test('a document is asked for by its ETag, replaced by a new one, and outlives a bad one', async (t) => {
  const service = createService();
  const lines: string[] = [];
  const log = { info: (text: string) => lines.push(text), warn: (text: string) => lines.push(text) };
  const sources = new OpenapiSources({ call: service.call, log, intervalMs: 10 });
  t.after(() => sources[Symbol.dispose]());
  const openapi = { service: '/openapi.json' };
  const routes = [{ match: { path: '/a' }, validate: { openapi } }];
  const follow = (list: typeof routes) =>
    sources.follow({ services: [{ name: 'shop', definition: { routes: list } }] } as unknown as Parameters<
      OpenapiSources['follow']
    >[0]);
  const missing = () =>
    sources
      .find('shop', { openapi })
      ?.find('GET', '/a')
      ?.operation.validateHead(asked)
      .map(({ pointer }) => pointer);

  follow(routes);
  assert.equal(missing(), undefined);
  await until(() => lines.length === 1, 'a line');
  service.says = { status: 200, body: requiring('one'), etag: '"1"' };
  await until(() => missing()?.[0] === '/one', 'the first document');
  service.says = { status: 304 };
  const before = service.tags.length;
  await until(() => service.tags.length > before + 2, 'further looks');
  assert.equal(service.tags.at(-1), '"1"');
  assert.deepEqual(lines, ['an OpenAPI document cannot be used', 'the OpenAPI document is well again']);

  for (const bad of ['{', '{"openapi":"3.1.0","paths":{"/a":{"get":1}}}', '- a: b', `"${'x'.repeat(5_000_000)}"`]) {
    const told = lines.length;
    service.says = { status: 200, body: bad };
    await until(() => lines.length > told, 'a line');
    assert.deepEqual(missing(), ['/one']);
  }
  service.says = { status: 200, body: 'openapi: 3.1.0\npaths: { /a: { get: { responses: {} } } }' };
  await until(() => missing()?.length === 0, 'a document in YAML');

  follow([]);
  assert.equal(missing(), undefined);
});
