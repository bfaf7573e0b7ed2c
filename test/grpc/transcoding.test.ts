import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import { until } from '../support/registration.ts';
import { startShop } from './orders.ts';

type Shop = Awaited<ReturnType<typeof startShop>>;

async function send({ gateway }: Shop, method: string, path: string, body?: string, headers: HeadersInit = {}) {
  const sent = { 'content-type': 'application/json', ...headers };
  const response = await fetch(gateway.url + path, { method, ...(body !== undefined && { body }), headers: sent });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text === '' ? 'null' : text) };
}

test('paths, queries and bodies become messages, and messages JSON', async (t) => {
  const shop = await startShop(t);
  const got = await send(
    shop,
    'GET',
    '/v1/orders/a%20b?full=true&tags=x&tags=y&like.sku=s&since=2030-01-02T03:04:05.5Z&state=PAID',
    undefined,
    {
      'grpc-metadata-team': 'blue',
      'grpc-metadata-x-user-id': 'forged',
    },
  );
  assert.equal(got.status, 200, got.text);
  assert.equal(got.headers.get('content-type'), 'application/json');
  assert.equal(got.headers.get('grpc-metadata-x-head'), 'yes');
  assert.deepEqual(got.json, {
    orderId: 'a b',
    totalCents: '9007199254740993',
    items: [{ sku: 'a', quantity: 2 }],
    state: 'PAID',
  });
  const [call] = shop.seen;
  assert.deepEqual(
    { ...call?.message, since: undefined },
    {
      orderId: 'a b',
      full: true,
      tags: ['x', 'y'],
      like: { sku: 's' },
      since: undefined,
      state: 'PAID',
    },
  );
  assert.deepEqual(call?.message.since, { seconds: '1893553445', nanos: 500_000_000 });
  assert.deepEqual(call?.metadata.get('team'), ['blue']);
  assert.deepEqual(call?.metadata.get('x-user-id'), []);

  const created = await send(shop, 'POST', '/v1/shelves/red%20one/orders?dry_run=true', '{"orderId":"9","gift":true}');
  assert.deepEqual(created.json, { orderId: '9', gift: true });
  assert.deepEqual(shop.seen[1]?.message, {
    shelf: 'shelves/red one',
    order: shop.seen[1]?.message.order,
    dryRun: true,
  });
  assert.deepEqual((await send(shop, 'GET', '/v1/shelves/s1/orders/7')).json.orderId, '7');
  assert.deepEqual((await send(shop, 'GET', '/v1/items/7')).json, [{ sku: 'a', quantity: 2 }]);
  assert.deepEqual((await send(shop, 'DELETE', '/v1/orders/7')).json, {});
  assert.deepEqual((await send(shop, 'OPTIONS', '/v1/probe?name=n')).json, { text: 'n' });
  assert.deepEqual((await send(shop, 'GET', '/v1/files/a/b%20c/d')).json, { text: 'files/a/b c/d' });
});

test('verbs tell methods apart', async (t) => {
  const shop = await startShop(t);
  await send(shop, 'POST', '/v1/orders/7:cancel', '{}');
  await send(shop, 'POST', '/v1/orders/7:approve', '{"item":{"sku":"s"}}');
  assert.deepEqual(
    shop.seen.map(({ method, message }) => [method, message.name]),
    [
      ['Cancel', 'orders/7'],
      ['Approve', 'orders/7'],
    ],
  );
  assert.equal((await send(shop, 'POST', '/v1/orders/7:other', '{}')).status, 405);
});

test('every kind of field survives the way there and back', async (t) => {
  const shop = await startShop(t);
  const order = {
    orderId: '1',
    state: 'OPEN',
    items: [{ sku: 'ü', quantity: 4_294_967_295 }, {}],
    totalCents: '-9223372036854775808',
    big: '18446744073709551615',
    seal: 'AP8Q',
    gift: true,
    weight: 1.5e-7,
    createdAt: '2030-01-31T23:59:59.000000001Z',
    lead: '-1.500s',
    extra: { a: [1, null, { b: 'c' }], d: false, e: '', __proto: 0 },
    attachment: { '@type': 'type.googleapis.com/shop.v1.Item', sku: 'in', quantity: 1 },
    mask: 'orderId,items.sku',
    note: '',
    counts: { one: 1, __proto__x: -2 },
    rank: 0,
    card: '',
    signed: ['-1', '9223372036854775807'],
    ratio: 0.1,
    anything: [true, 'x'],
    limit: '5',
    parent: { orderId: 'p', anything: null },
    history: ['PAID', 7],
    stamp: '12',
    list: [1, 'two'],
  };
  const replaced = await send(shop, 'PUT', '/v1/orders/1', JSON.stringify(order));
  assert.equal(replaced.status, 200, replaced.text);
  assert.deepEqual(replaced.json, order);
  const loose = await send(
    shop,
    'PATCH',
    '/v1/orders/1',
    '{"total_cents": 12, "big": "7", "items": [{"quantity": 1e3}], "weight": "NaN", "state": 2, "note": null, "seal": "-_8"}',
  );
  assert.deepEqual(loose.json, {
    orderId: '1',
    totalCents: '12',
    big: '7',
    items: [{ quantity: 1000 }],
    weight: 'NaN',
    state: 'PAID',
    seal: '+/8=',
  });
});

test('what does not fit is refused with its place, and never reaches the service', async (t) => {
  const shop = await startShop(t);
  const refuse = async (body: string | Buffer, expected: RegExp, path?: string) => {
    const response = await fetch(`${shop.gateway.url}/v1/orders/1`, {
      method: 'PUT',
      body: body as string,
      headers: { 'content-type': 'application/json' },
    });
    const problem = (await response.json()) as { reasons: { path: string; message: string }[]; detail: string };
    assert.equal(response.status, 400, JSON.stringify(problem));
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
    assert.match(JSON.stringify(problem), expected);
    if (path !== undefined) assert.equal(problem.reasons[0]?.path, path);
  };
  await refuse('{"items":[{},{"qty":1}]}', /no such field/, '/items/1/qty');
  await refuse('{"totalCents":"9223372036854775808"}', /whole number/, '/totalCents');
  await refuse('{"big":-1}', /whole number/, '/big');
  await refuse('{"items":[{"quantity":1.5}]}', /whole number/, '/items/0/quantity');
  await refuse(`{"big":${'9'.repeat(100_000)}}`, /whole number/, '/big');
  await refuse('{"weight":1e999}', /number/, '/weight');
  await refuse('{"gift":"true"}', /true or false/, '/gift');
  await refuse('{"card":1}', /a text/, '/card');
  await refuse('{"seal":"?"}', /base64/, '/seal');
  await refuse('{"state":"LOST"}', /STATE_UNKNOWN, OPEN, PAID/, '/state');
  await refuse('{"card":"a","invoice":"b"}', /only one/, '/invoice');
  await refuse('{"totalCents":"1","total_cents":"2"}', /is the field/, '/total_cents');
  await refuse('{"card":"a","card":"b"}', /twice/);
  await refuse('{"createdAt":"yesterday"}', /a time/, '/createdAt');
  await refuse('{"createdAt":"2030-02-30T00:00:00Z"}', /a time/, '/createdAt');
  await refuse('{"lead":"1"}', /a duration/, '/lead');
  await refuse('{"items":{}}', /a list/, '/items');
  await refuse('{"byNumber":{"x":{}}}', /whole number/, '/byNumber/x');
  await refuse('{"attachment":{"@type":"type.googleapis.com/none.Such"}}', /known here/, '/attachment/@type');
  await refuse('[]', /an object/, '');
  await refuse('{"card":"\\ud800"}', /half characters/, '/card');
  await refuse(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /UTF-8/);
  await refuse('{"card":', /no JSON/);
  await refuse('{"card":"a\nb"}', /no JSON/);
  await refuse('{"a":1}x', /no JSON/);
  await refuse(`${'{"parent":'.repeat(50_000)}{}${'}'.repeat(50_000)}`, /nested deeper/);
  await refuse(`${'['.repeat(50_000)}`, /nested deeper/);
  const wrongQuery = await send(shop, 'GET', '/v1/orders/1?nothing=1&full=maybe&since=x&full=true');
  assert.equal(wrongQuery.status, 400);
  assert.deepEqual(
    wrongQuery.json.reasons.map(({ path }: { path: string }) => path),
    ['/nothing', '/full', '/full', '/since'],
  );
  assert.equal((await send(shop, 'GET', '/v1/orders/%ff')).status, 400);
  assert.equal((await send(shop, 'PUT', '/v1/orders/1', 'x=1', { 'content-type': 'text/plain' })).status, 415);
  assert.equal((await send(shop, 'POST', '/shop.v1.Orders/Get', '{}')).status, 415);
  assert.equal(shop.seen.length, 0);
});

test('statuses of gRPC are those of HTTP, as a problem with details', async (t) => {
  const shop = await startShop(t, {
    behaviour: {
      Read: (_call: unknown, done: (error: object) => void) => {
        const metadata = new Metadata();
        // google.rpc.Status { code: 5, details: [Any of shop.v1.Item { sku: "gone" }, Any of a type unknown here] }
        const item = Buffer.from('\n\x04gone');
        const any = (url: string, value: Buffer) =>
          Buffer.concat([Buffer.from([0x0a, url.length]), Buffer.from(url), Buffer.from([0x12, value.length]), value]);
        const details = [any('t.io/shop.v1.Item', item), any('t.io/x.Y', item)];
        const wrapped = details.map((each) => Buffer.concat([Buffer.from([0x1a, each.length]), each]));
        metadata.set('grpc-status-details-bin', Buffer.concat([Buffer.from([0x08, 5]), ...wrapped]));
        done({ code: 5, details: 'gone', metadata });
      },
    },
  });
  const expected = [0, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
  for (let code = 1; code <= 16; code++) {
    const answer = await send(shop, 'GET', `/v1/orders/fail-${code}`);
    assert.equal(answer.status, expected[code], `code ${code}`);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(answer.json.detail, `nö fail-${code}`);
  }
  const gone = await send(shop, 'GET', '/v1/files/x');
  assert.equal(gone.status, 404);
  assert.equal(gone.json.code, 'NOT_FOUND');
  assert.deepEqual(gone.json.details, [
    { '@type': 't.io/shop.v1.Item', sku: 'gone' },
    { '@type': 't.io/x.Y', value: 'CgRnb25l' },
  ]);
});

test('a method that streams is a line a message, or an event each; its failure is told where it happens', async (t) => {
  const shop = await startShop(t);
  const lines = await fetch(`${shop.gateway.url}/v1/watch?count=3`);
  assert.equal(lines.headers.get('content-type'), 'application/x-ndjson');
  assert.equal(
    await lines.text(),
    '{"result":{"text":"note 1"}}\n{"result":{"text":"note 2"}}\n{"result":{"text":"note 3"}}\n',
  );
  const events = await fetch(`${shop.gateway.url}/v1/watch?count=2`, { headers: { accept: 'text/event-stream' } });
  assert.equal(events.headers.get('content-type'), 'text/event-stream');
  assert.equal(await events.text(), 'data: {"text":"note 1"}\n\ndata: {"text":"note 2"}\n\n');
  const broken = await (await fetch(`${shop.gateway.url}/v1/watch?count=3&fail_after=1`)).text();
  const [first, second] = broken
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(first, { result: { text: 'note 1' } });
  assert.equal(second.error.code, 'DATA_LOSS');
  const empty = await fetch(`${shop.gateway.url}/v1/watch`);
  assert.deepEqual([empty.status, await empty.text()], [200, '']);
});

test('a client that leaves cancels the stream, and a deadline ends it', async (t) => {
  const shop = await startShop(t);
  const leaving = new AbortController();
  const asked = fetch(`${shop.gateway.url}/v1/watch?count=-1`, { signal: leaving.signal }).catch(() => null);
  await until(() => shop.seen.length === 1, 'the call arrives');
  leaving.abort();
  await asked;
  await until(() => shop.seen[0]?.cancelled === true, 'the service is told');
  const late = await send(shop, 'GET', '/v1/watch?count=-1', undefined, { 'grpc-timeout': '300m' });
  assert.equal(late.status, 504);
});

test('answers have defaults and names of the file where that is wished', async (t) => {
  const shop = await startShop(t, { grpc: { json: { emitDefaults: true, fieldNames: 'proto' } } });
  const { json } = await send(shop, 'GET', '/v1/orders/7');
  assert.equal(json.order_id, '7');
  assert.equal(json.gift, false);
  assert.equal(json.big, '0');
  assert.deepEqual(json.counts, {});
  assert.deepEqual(json.signed, []);
  assert.equal('rank' in json, false);
  assert.equal('parent' in json, false);
});
