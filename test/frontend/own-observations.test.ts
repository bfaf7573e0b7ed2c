import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { definePlugin, type RouteFacts } from '../../gateway/plugin.ts';
import { until } from '../support/registration.ts';
import { startJson, startShop } from './fixture.ts';

const deep = { accept: 'text/html' };

async function startAll(t: TestContext, more: object = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'own-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'index.html'), '<!doctype html>');
  await writeFile(join(folder, 'a.txt'), '0123456789');
  const parts = await startJson(t, ({ url }, response) =>
    url === '/sick' ? void response.writeHead(500).end('{}') : { url },
  );
  const part = (path: string) => ({ service: 'parts', path });
  const gateway = await startShop(t, {
    openapi: {},
    static: [{ path: '/app/*', folder, fallback: 'index.html' }],
    aggregate: {
      '/both': { parts: { good: part('/good'), sick: { ...part('/sick'), optional: true } } },
      '/needed': { parts: { good: part('/good'), sick: part('/sick') } },
    },
    rest: {
      'GET /rest/orders/:id': {
        document: 'query Order($id: ID!) { order(id: $id) { id note } }',
        select: '/order',
      },
      'GET /rest/gone': { document: '{ nothingOfTheKind }' },
    },
    ...more,
    services: {
      parts: {
        routes: [{ match: { path: '/parts/*' } }],
        instances: [{ url: parts.url }],
        retry: { attempts: 1 },
      },
    },
  });
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(gateway.url + path, { headers, redirect: 'manual' });
    await answer.text();
    return answer;
  };
  return { ...gateway, get, parts };
}

describe('routes that the gateway answers itself', () => {
  it('are counted by status as any, and by what became of them', async (t) => {
    const { get, admin } = await startAll(t);
    const etag = (await get('/app/a.txt')).headers.get('etag') ?? '';
    await get('/app/a.txt', { 'if-none-match': etag });
    await get('/app/a.txt', { range: 'bytes=2-4' });
    await get('/app/a.txt', { range: 'bytes=20-' });
    await get('/app/orders/7', deep);
    await get('/app/none.js');
    await get('/app');
    await get('/both');
    await get('/needed');
    await get('/rest/orders/7');
    await get('/rest/orders/partial');
    await get('/rest/orders/none');
    await get('/rest/gone');
    await get('/openapi.json');

    const read = async () => String((await admin('GET', '/metrics')).body);
    await until(async () => /name="GET \/openapi.json",status="200"/.test(await read()), 'the last request');
    const text = await read();
    const samples = (name: string, pattern: RegExp) =>
      [...text.matchAll(new RegExp(`^${name}\\{${pattern.source}\\} (\\d+)$`, 'gm'))]
        .map(([, ...cells]) => cells.join(' '))
        .sort();
    assert.deepEqual(samples('selvage_own_route_answers_total', /kind="(\w+)",route="([^"]+)",outcome="([a-z-]+)"/), [
      'aggregate GET /both partial 1',
      'aggregate GET /needed failed 1',
      'openapi GET /openapi.json whole 1',
      'rest GET /rest/gone failed 1',
      'rest GET /rest/orders/:id failed 1',
      'rest GET /rest/orders/:id partial 1',
      'rest GET /rest/orders/:id whole 1',
      'static GET /app/* failed 2',
      'static GET /app/* fallback 1',
      'static GET /app/* not-modified 1',
      'static GET /app/* range 1',
      'static GET /app/* redirect 1',
      'static GET /app/* whole 1',
    ]);
    assert.deepEqual(samples('selvage_aggregate_part_failures_total', /route="([^"]+)",part="(\w+)",code="(\w+)"/), [
      'GET /both sick DOWNSTREAM_SERVICE_ERROR 1',
      'GET /needed sick DOWNSTREAM_SERVICE_ERROR 1',
    ]);
    assert.deepEqual(samples('selvage_rest_route_fits', /route="([^"]+)"/), [
      'GET /rest/gone 0',
      'GET /rest/orders/:id 1',
    ]);
    assert.deepEqual(samples('selvage_requests_total', /door="rest",service="",name="GET \/app\/\*",status="(\d+)"/), [
      '200 2',
      '206 1',
      '304 1',
      '308 1',
      '404 1',
      '416 1',
    ]);
    assert.match(text, /selvage_request_duration_seconds_count\{door="rest",name="GET \/both"\} 1\n/);
  });

  it('are named to plugins by the section that they stand in, and have no service', async (t) => {
    const seen: string[] = [];
    const tell = ({ kind, service, route }: RouteFacts) => void seen.push(`${kind} ${service} ${route}`);
    const plugin = definePlugin({
      name: 'recorder',
      onRoute: tell,
      onCall: ({ service, path }) => void seen.push(`call ${service} ${path}`),
      onResponse: ({ name, service }) => void seen.push(`response ${service} ${name}`),
    });
    const { get, admin } = await startAll(t, { plugins: [{ plugin }] });
    await admin('PUT', '/services/plain', { routes: [{ match: { path: '/plain' }, respond: { status: 204 } }] });
    for (const path of ['/app/a.txt', '/both', '/rest/orders/7', '/openapi.json', '/plain']) await get(path);
    const routes = seen.filter((line) => !/^(call|response)/.test(line));
    assert.deepEqual(routes, [
      'static null GET /app/*',
      'aggregate null GET /both',
      'rest null GET /rest/orders/:id',
      'openapi null GET /openapi.json',
      'service plain ANY /plain',
    ]);
    assert.deepEqual(seen.slice(2, 6), [
      'aggregate null GET /both',
      'call parts /good',
      'call parts /sick',
      'response null GET /both',
    ]);
  });

  it('tell a part of an aggregate the name of its service where a rule for headers wants it', async (t) => {
    const headers = {
      request: [{ set: 'x-for', value: '{service}' }],
      response: [{ set: 'x-by', value: '{service}' }],
    };
    const { get, parts } = await startAll(t, {
      aggregate: { '/ruled': { parts: { one: { service: 'parts', path: '/one' } }, headers } },
    });
    const answer = await get('/ruled');
    assert.equal(parts.asked[0]?.headers['x-for'], 'parts');
    assert.equal(answer.headers.get('x-by'), null, 'of the whole there is no one service');
  });
});
