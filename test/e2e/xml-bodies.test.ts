import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const xmlHead = '<?xml version="1.0" encoding="UTF-8"?>';

async function startRoute(t: TestContext, transform: object, answer = '', type = 'application/xml') {
  const seen: { type: string | undefined; body: string }[] = [];
  const current = { answer };
  const service = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ type: request.headers['content-type'], body });
    response.writeHead(200, { 'content-type': type });
    response.end(current.answer);
  });
  const gateway = await startGateway(t);
  await registerRest(gateway, 'soap', service.url, [{ match: { path: '/x' }, transform }]);
  const send = async (body: string, contentType: string) => {
    const got = await fetch(`${gateway.url}/x`, { method: 'POST', headers: { 'content-type': contentType }, body });
    return { status: got.status, type: got.headers.get('content-type'), text: await got.text() };
  };
  return { send, seen, current };
}

test('JSON becomes XML for the service, and its XML becomes JSON for the client', async (t) => {
  const { send, seen } = await startRoute(
    t,
    { request: { to: 'xml', xml: { root: 'order' } }, response: { from: 'xml', xml: { lists: ['r.item'] } } },
    `${xmlHead}<!-- c --><r a="1 &amp; 2"><item>007</item><e/><t x="1">text<![CDATA[ &amp; <b>]]></t><n>1</n><n>2</n></r>`,
    'text/xml; charset=utf-8',
  );
  const body = JSON.stringify({
    '@id': 'a"<',
    item: [{ n: 1 }, { n: true }],
    note: 'x < y & z',
    none: null,
    '#text': 't',
  });
  const answer = await send(body, 'application/json');
  assert.deepEqual(seen, [
    {
      type: 'application/xml',
      body: `${xmlHead}<order id="a&#34;&#60;"><item><n>1</n></item><item><n>true</n></item><note>x &#60; y &#38; z</note><none></none>t</order>`,
    },
  ]);
  assert.deepEqual([answer.status, answer.type], [200, 'application/json']);
  assert.deepEqual(JSON.parse(answer.text), {
    r: { '@a': '1 & 2', item: ['007'], e: null, t: { '@x': '1', '#text': 'text &amp; <b>' }, n: ['1', '2'] },
  });
});

test('XML becomes JSON for the service, with numbers where that is said', async (t) => {
  const transform = { request: { from: 'xml', unwrap: 'a', xml: { numbers: true } } };
  const { send, seen } = await startRoute(t, transform);
  await send(
    '<a>\n <n>1.50</n> <z>007</z><b>true</b><big>12345678901234567890</big><s> x </s><u>&#x263a;</u></a>',
    'application/soap+xml',
  );
  assert.deepEqual(seen, [
    { type: 'application/json', body: '{"n":1.5,"z":"007","b":true,"big":12345678901234567890,"s":" x ","u":"☺"}' },
  ]);
});

test('what is no harmless XML is refused: document types, entities, depth, numbers of elements, two roots', async (t) => {
  const { send, seen } = await startRoute(t, { request: { from: 'xml' } });
  const laughs = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>';
  const bad = [
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    '<?xml version="1.0"?><!doctype a><a/>',
    laughs,
    '<a>&x;</a>',
    '<a>&</a>',
    '<a b="&x;"/>',
    '<a>&#0;</a>',
    '<a>&#xD800;</a>',
    '<a><b></a>',
    '<a/><b/>',
    'text',
    '<a b="1" b="2"/>',
    '<a>'.repeat(100) + '</a>'.repeat(100),
    `<a>${'<b/>'.repeat(60_000)}</a>`,
    '<__proto__><x>1</x></__proto__>',
    '<a><__proto__><x>1</x></__proto__></a>',
    `<a>${'<'.repeat(100_000)}</a>`,
    `<a ${'b '.repeat(100_000)}/>`,
  ];
  for (const body of bad) {
    const answer = await send(body, 'application/xml');
    assert.equal(answer.status, 400, `${body.slice(0, 60)} ${answer.text}`);
    assert.doesNotMatch(answer.text, /root:|passwd/);
  }
  assert.equal(seen.length, 0);
  for (const name of ['toString', 'hasOwnProperty', 'valueOf']) {
    assert.equal((await send(`<${name}><b>1</b></${name}>`, 'application/xml')).status, 200);
    assert.equal(seen.at(-1)?.body, `{"${name}":{"b":"1"}}`);
  }
});

test('malformed XML of a service is a 502, and so is JSON that XML cannot say', async (t) => {
  const { send, current } = await startRoute(t, { response: { from: 'xml' } }, '<a><secret></a>');
  assert.equal((await send('{}', 'application/json')).status, 502);
  current.answer = '<!DOCTYPE a [<!ENTITY x "secret">]><a>&x;</a>';
  const answer = await send('{}', 'application/json');
  assert.equal(answer.status, 502);
  assert.doesNotMatch(answer.text, /secret/);
  const other = await startRoute(t, { response: { to: 'xml' } }, '{"a><b": 1}', 'application/json');
  assert.equal((await other.send('{}', 'application/json')).status, 502);
  const request = await startRoute(t, { request: { to: 'xml' } });
  assert.equal((await request.send('{"a":{"x y": 1}}', 'application/json')).status, 400);
  assert.equal((await request.send('{"a":"\\u0000"}', 'application/json')).status, 400);
  assert.equal(request.seen.length, 0);
});
