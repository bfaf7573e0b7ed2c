import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest } from '../support/registration.ts';

// A route with a policy beside one without: no spelling of the path gets to the service around the policy.

/** What the client asks for, and the status; where it is 200, the service sees the very same path. */
const cases: [target: string, status: number][] = [
  ['/admin/users', 401],
  ['/%61dmin/users', 401],
  ['/admin%2Fusers', 400],
  ['/admin%2fusers', 400],
  ['/admin%5cusers', 400],
  ['/admin\\users', 400],
  ['//admin/users', 400],
  ['/open//admin/users', 400],
  ['/open/../admin/users', 400],
  ['/open/%2e%2e/admin/users', 400],
  ['/open/%2E./admin/users', 400],
  ['/open/..;/admin/users', 400],
  ['/./admin/users', 400],
  ['/admin;x/users', 400],
  ['/admin;x=1/users', 400],
  ['/;x/admin/users', 400],
  ['/admin%00/users', 400],
  ['/%c0%ae%c0%ae/admin/users', 400],
  ['/open/%e0%80%af/admin', 400],
  ['/admin%/users', 400],
  ['/admin%zz/users', 400],
  ['/%61dmin;x/users', 400],
  ['/admin%3bx/users', 400],
  ['/admin%3Bx=1/users', 400],
  ['/%3bx/admin/users', 400],
  ['/open/..%3b/admin/users', 400],
  ['/open/%2e%2e%3Bx/admin/users', 400],
  ['/open/.;x/admin/users', 400],
  ['/admin/;/users', 401],
  ['/admin/a;x/users', 401],
  ['/open;x/users', 200],
  ['/open%3bx/users', 200],
  ['/open/a;v=1,2;w', 200],
  ['/open/a%20b/%C3%A4', 200],
  ['/open/%252e%252e/admin/users', 200],
];

test('no spelling of a path steps around the policy of a route', async (t) => {
  const gateway = await startGateway(t);
  const seen: string[] = [];
  const service = await startRawService(t, (socket, text) => {
    seen.push(text.slice(text.lastIndexOf('GET ')).split(' ')[1] ?? '');
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  });
  await registerRest(gateway, 'app', service.url, [
    { match: { path: '/*' } },
    { match: { path: '/admin/*' }, authorize: { scopes: ['admin'] } },
  ]);
  for (const [target, status] of cases) {
    const bytes = `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const answer = await sendRaw(gateway.url, bytes, { until: /\r\n\r\n(ok|\{.*\})$/ });
    assert.deepEqual(answer.statuses, [status], target);
  }
  assert.deepEqual(
    seen,
    cases.filter(([, status]) => status === 200).map(([target]) => target),
  );
});

/** Routes, what is asked of them, and the status; `GET` unless another method stands in front. */
const meetings: Record<string, { readonly routes: object[]; readonly asked: Record<string, number> }> = {
  'a part of the path that may hold parameters holds them': {
    routes: [{ match: { path: '/items/:id' } }, { match: { path: '/items/:id/parts/:part' } }],
    asked: { '/items/7;v=1': 200, '/items/7;v=1/parts/8;w': 400, '/items/7/parts/8;w': 200, '/items;a/7': 404 },
  },
  'a path that no route has is not reached by an empty part': {
    routes: [{ match: { path: '/shop/items/:id' } }, { match: { path: '/shop/:kind/free' } }],
    asked: {
      '/shop/items/': 404,
      '/shop/items/;x': 400,
      '/shop/items/%3bx': 400,
      '/shop/;x/free': 400,
      '/shop/items/7;x': 200,
    },
  },
  'nothing is no value of a parameter': {
    routes: [{ match: { path: '/a/:id' }, authorize: { scopes: ['admin'] } }, { match: { path: '/*' } }],
    asked: { '/a/': 200, '/a/7': 401, '/a/;x': 400, '/a/7;x': 401 },
  },
  'a method that the path does not take is not reached by parameters': {
    routes: [{ match: { path: '/docs', methods: ['GET'] } }, { match: { path: '/:any(d.*)', methods: ['DELETE'] } }],
    asked: { 'DELETE /docs;x': 200, 'DELETE /docs': 200, '/docs;x': 405 },
  },
  'what is cut off from the first parameter on is another path, too': {
    routes: [{ match: { path: '/*' } }, { match: { path: '/secret' }, authorize: { scopes: ['admin'] } }],
    asked: {
      '/secret': 401,
      '/secret;': 400,
      '/secret;/x': 400,
      '/secret%3b/x': 400,
      '/x;/secret': 200,
      '/;/secret': 400,
    },
  },
  'a route that names a parameter itself may have it': {
    routes: [{ match: { path: '/cars;v=2/*' } }, { match: { path: '/n/:id(\\d+;v=\\d+)' } }],
    asked: { '/cars;v=2/7': 200, '/n/7;v=1': 200, '/n/7': 404, '/cars/7': 404 },
  },
  'a route by host and header is the same route, or it is refused': {
    routes: [{ match: { path: '/*' } }, { match: { path: '/in/*', host: 'a' }, authorize: { scopes: ['admin'] } }],
    asked: { '/in/x': 401, '/in;x/x': 400, '/out;x/x': 200 },
  },
};

for (const [title, { routes, asked }] of Object.entries(meetings)) {
  test(`with \`;\` in paths, ${title}`, async (t) => {
    const gateway = await startGateway(t);
    const service = await startRawService(t, (socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'),
    );
    await registerRest(gateway, 'app', service.url, routes);
    for (const [text, status] of Object.entries(asked)) {
      const [target = '', method = 'GET'] = text.split(' ').toReversed();
      const bytes = `${method} ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
      const answer = await sendRaw(gateway.url, bytes, { until: /\r\n\r\n(ok|\{.*\})$/ });
      assert.deepEqual(answer.statuses, [status], text);
      if (!target.includes(';')) continue;
      const path = target.split('?')[0] ?? '';
      const explained = await gateway.admin('POST', '/explain', { method, path, headers: { host: 'a' } });
      assert.equal(explained.body.outcome.passes, status === 200, `${text} as explained`);
    }
  });
}

test('no spelling of the path of the GraphQL door, or of what the gateway answers itself, goes to a service', async (t) => {
  const gateway = await startGateway(t, { openapi: { path: '/openapi.json' } });
  const service = await startRawService(t, (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
  await registerRest(gateway, 'app', service.url, [{ match: { path: '/*' } }]);
  const spellings = [
    '/graphql;',
    '/graphql;x=1',
    '/graphql%3bx',
    '/%67raphql',
    '/graph%71l;x',
    '/;x/graphql',
    '/graphql;/x',
  ];
  for (const target of [...spellings, '/openapi.json;x', '/openapi.json%3b', '/;/openapi.json']) {
    const bytes = `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const { statuses } = await sendRaw(gateway.url, bytes, { until: /\r\n\r\n(ok|\{.*\})$/ });
    assert.deepEqual(statuses, [400], target);
  }
  assert.deepEqual(service.received, []);
  const other = await sendRaw(gateway.url, 'GET /graphqls;x HTTP/1.1\r\nHost: a\r\n\r\n', { until: /ok$/ });
  assert.deepEqual(other.statuses, [200]);
});
