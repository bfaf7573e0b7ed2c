import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Departure, RequestContext, Viewer } from '../../policies/request-context.ts';
import { createRequestSharing, describeAsker } from '../../schema/request-sharing.ts';

class ManualDeparture implements Departure {
  happened = false;
  #listener: (() => void) | undefined;
  subscribe(listener: () => void): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  }
  leave(): void {
    this.happened = true;
    this.#listener?.();
  }
}

interface Asker extends RequestContext {
  readonly departure: ManualDeparture;
}

function buildContext(given: Partial<RequestContext> = {}): Asker {
  const departure = new ManualDeparture();
  return {
    id: 'test',
    headers: {},
    viewer: null,
    deadlineAtMs: 1_000,
    attempts: [],
    ...given,
    departure,
  } as unknown as Asker;
}

/** A service that answers when it is told to. */
function buildService() {
  const calls: { context: RequestContext; answer: PromiseWithResolvers<number> }[] = [];
  const start = (context: RequestContext): Promise<number> => {
    const answer = Promise.withResolvers<number>();
    calls.push({ context, answer });
    return answer.promise;
  };
  return { calls, start };
}

test('requests that are the same share one flight, those after it have their own', async () => {
  const { calls, start } = buildService();
  const sharing = createRequestSharing<number>(() => 0);
  const ask = (content: string) => sharing.share('a', content, buildContext(), start);
  const answers = [ask('x'), ask('x'), ask('y')];
  assert.equal(calls.length, 2);
  calls[0]?.answer.resolve(1);
  calls[1]?.answer.resolve(2);
  assert.deepEqual(await Promise.all(answers), [1, 1, 2]);
  void ask('x');
  assert.equal(calls.length, 3);
});

test('a failure is shared, and gone with its flight', async () => {
  const { calls, start } = buildService();
  const sharing = createRequestSharing<number>(() => 0);
  const ask = () => sharing.share('a', 'x', buildContext(), start);
  const answers = [ask(), ask()];
  calls[0]?.answer.reject(new Error('no'));
  for (const answer of answers) await assert.rejects(answer, /no/);
  const next = ask();
  calls[1]?.answer.resolve(3);
  assert.equal(await next, 3);
});

test('who leaves takes nothing from the others; when all have left the flight is given up', async () => {
  const { calls, start } = buildService();
  const sharing = createRequestSharing<number>(() => 0);
  const [first, second] = [buildContext(), buildContext()];
  void sharing.share('a', 'x', first, start);
  void sharing.share('a', 'x', second, start);
  let givenUp = 0;
  calls[0]?.context.departure.subscribe(() => {
    givenUp += 1;
  });
  first.departure.leave();
  assert.equal(givenUp, 0);
  const third = buildContext();
  void sharing.share('a', 'x', third, start);
  assert.equal(calls.length, 1);
  second.departure.leave();
  third.departure.leave();
  assert.equal(givenUp, 1);
  const fourth = sharing.share('a', 'x', buildContext(), start);
  assert.equal(calls.length, 2, 'nobody joins what is being given up');
  calls[1]?.answer.resolve(4);
  assert.equal(await fourth, 4);
});

test('nobody joins a flight whose deadline is much nearer, or later, than its own', () => {
  const { calls, start } = buildService();
  const sharing = createRequestSharing<number>(() => 0);
  const ask = (deadlineAtMs: number) => void sharing.share('a', 'x', buildContext({ deadlineAtMs }), start);
  ask(1_000);
  ask(1_100);
  assert.equal(calls.length, 1);
  ask(1_200);
  assert.equal(calls.length, 2);
  ask(1_000);
  assert.equal(calls.length, 3);
});

test('two askers are the same only when services see no difference between them', () => {
  const viewer = (given: Partial<Viewer>): Viewer => ({
    id: 'u',
    kind: 'jwt',
    issuer: 'https://a.example',
    scopes: new Set(['s']),
    roles: ['r'],
    claims: {},
    ...given,
  });
  const askers: Partial<RequestContext>[] = [
    { viewer: null },
    { viewer: viewer({}) },
    { viewer: viewer({ id: 'v' }) },
    { viewer: viewer({ kind: 'api-key', issuer: undefined }) },
    { viewer: viewer({ issuer: undefined }) },
    { viewer: viewer({ issuer: 'https://b.example' }) },
    { viewer: viewer({ scopes: new Set(['s', 't']) }) },
    { viewer: viewer({ scopes: new Set() }) },
    { viewer: viewer({ roles: [] }) },
    { viewer: null, headers: { 'x-tenant': '1' } },
    { viewer: null, headers: { 'x-tenant': '1', 'x-other': '2' } },
    { viewer: null, headers: { 'x-tenant': '', 'x-other': '1' } },
    { viewer: null, headers: { 'x-other': '1' } },
  ];
  const described = askers.map((asker) => describeAsker(buildContext(asker), ['x-tenant', 'x-other']));
  assert.equal(new Set(described).size, askers.length);
  const [one, other] = [{}, { 'x-more': '1' }].map((headers) => describeAsker(buildContext({ headers }), ['x-tenant']));
  assert.equal(one, other, 'what no service gets makes no difference');
});
