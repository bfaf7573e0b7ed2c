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
  ['/open;x/users', 200],
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
