/** Sessions: the service that made them says whose they are; one at a time, or many in one request. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { createAuthenticator } from '../../policies/authenticate.ts';
import { GatewayError } from '../../policies/errors.ts';
import type { SessionOptions } from '../../policies/session.ts';

interface Asked {
  readonly line: string;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

/** A session service; `answer` gets what was asked and says status and body. */
async function setUp(
  options: Omit<SessionOptions, 'url'> & { path?: string },
  answer: (asked: Asked) => [number, unknown],
) {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const one = { line: `${request.method} ${request.url}`, headers: request.headers, body };
    asked.push(one);
    const [status, said] = answer(one);
    response.writeHead(status).end(JSON.stringify(said));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { path = '/sessions/{session}', ...session } = options;
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const { authenticate } = createAuthenticator({ session: { ...session, url } });
  return {
    asked,
    byHeader: async (id: string) => await authenticate({ host: 'shop', 'x-session': id }),
    byCookie: async (cookie: string) => await authenticate({ host: 'shop', cookie, origin: 'https://shop' }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const isCoded = (code: string) => (error: unknown) => error instanceof GatewayError && error.code === code;
const header = 'x-session';

describe('a session', () => {
  it('is asked for by the template, and the answer is read where the operator says', async () => {
    const where = { id: '/user/id', scopes: '/user/may', roles: '/user/roles' };
    await using set = await setUp({ cookie: 'sid', ...where }, () => [
      200,
      { user: { id: 7, may: ['a'], roles: ['r'] } },
    ]);
    const viewer = await set.byCookie('sid=a/b');
    assert.deepEqual([viewer?.id, viewer?.kind, viewer?.issuer], ['7', 'session', 'session']);
    assert.deepEqual([[...(viewer?.scopes ?? [])], viewer?.roles], [['a'], ['r']]);
    assert.equal(set.asked[0]?.line, 'GET /sessions/a%2Fb');
  });

  it('can be passed on in a header or in a body, where it cannot become more than a value', async () => {
    const headers = { cookie: 'sid={session}' };
    const template = { header, method: 'POST' as const, headers, body: '{"id": {session}}', path: '/check' };
    await using set = await setUp(template, () => [200, { sub: 'ada' }]);
    await set.byHeader('x"; admin=1');
    assert.equal(set.asked[0]?.headers['cookie'], 'sid=x%22%3B%20admin=1');
    assert.deepEqual(JSON.parse(set.asked[0]?.body ?? ''), { id: 'x"; admin=1' });
  });

  it('cannot lead to another path of the service', async () => {
    await using set = await setUp({ header }, () => [200, { sub: 'root' }]);
    for (const id of ['.', '..']) await assert.rejects(set.byHeader(id), isCoded('UNAUTHENTICATED'));
    assert.equal(set.asked.length, 0);
    await set.byHeader('../admin?x#y');
    assert.equal(set.asked[0]?.line, 'GET /sessions/..%2Fadmin%3Fx%23y');
  });

  for (const status of [401, 403, 404, 410]) {
    it(`is not valid when the service answers ${status}: 401 in a header, nobody in a cookie`, async () => {
      await using set = await setUp({ header, cookie: 'sid' }, () => [status, {}]);
      await assert.rejects(set.byHeader('x'), isCoded('UNAUTHENTICATED'));
      assert.equal(await set.byCookie('sid=x'), null);
      assert.equal(set.asked.length, 1, 'the refusal is remembered, wherever the session comes from');
    });
  }

  for (const [what, status, body] of [
    ['fails', 500, {}],
    ['names nobody', 200, {}],
    ['answers no JSON object', 200, 'ada'],
  ] as const) {
    it(`is neither valid nor invalid when the service ${what}: 503`, async () => {
      await using set = await setUp({ header, cookie: 'sid' }, () => [status, body]);
      await assert.rejects(set.byHeader('x'), isCoded('SERVICE_UNAVAILABLE'));
      await assert.rejects(set.byCookie('sid=x'), isCoded('SERVICE_UNAVAILABLE'));
    });
  }

  it('that has ended is refused, whatever the service still says', async () => {
    await using set = await setUp({ header }, () => [200, { sub: 'ada', exp: 1_000 }]);
    await assert.rejects(set.byHeader('x'), isCoded('UNAUTHENTICATED'));
  });
});

describe('sessions in batches', () => {
  const template = { header, method: 'POST' as const, path: '/check', body: '{"ids": {sessions}}', maxBatchSize: 10 };

  it('are asked for together, each gets its own answer, and none is asked for twice', async () => {
    await using set = await setUp(template, ({ body }) => [
      200,
      JSON.parse(body).ids.map((id: string) => (id.startsWith('bad') ? null : { sub: `of-${id}` })),
    ]);
    const ids = ['a', 'b', 'bad-1', 'c', 'a', 'b'];
    const found = await Promise.all(
      ids.map((id) =>
        set.byHeader(id).then(
          (viewer) => viewer?.id,
          (error) => error.code,
        ),
      ),
    );
    assert.deepEqual(found, ['of-a', 'of-b', 'UNAUTHENTICATED', 'of-c', 'of-a', 'of-b']);
    assert.deepEqual(
      set.asked.map(({ body }) => JSON.parse(body).ids),
      [['a', 'b', 'bad-1', 'c']],
    );
  });

  it('are never larger than the service takes', async () => {
    await using set = await setUp(template, ({ body }) => [
      200,
      JSON.parse(body).ids.map((id: string) => ({ sub: id })),
    ]);
    const ids = Array.from({ length: 25 }, (_, i) => `s${i}`);
    const found = await Promise.all(ids.map(async (id) => (await set.byHeader(id))?.id));
    assert.deepEqual(found, ids);
    assert.deepEqual(set.asked.map(({ body }) => JSON.parse(body).ids.length).toSorted(), [10, 10, 5].toSorted());
  });

  it('whose answer is too short or no list make nobody a viewer', async () => {
    await using set = await setUp(template, ({ body }) => [
      200,
      JSON.parse(body)
        .ids.slice(1)
        .map(() => ({ sub: 'x' })),
    ]);
    const codes = await Promise.all(['a', 'b'].map((id) => set.byHeader(id).catch((error) => error.code)));
    assert.deepEqual(codes, ['SERVICE_UNAVAILABLE', 'SERVICE_UNAVAILABLE']);
  });
});
