/**
 * Invariant 4: a mutation or a non-idempotent REST request is never sent twice once any byte may have reached a
 * service. The services here break connections at random byte positions and count what reached them.
 */
import assert from 'node:assert/strict';
import type net from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { CallRequest } from '../../subgraphs/call.ts';
import type { Upstreams } from '../../subgraphs/upstreams.ts';
import { createRandom } from '../support/random.ts';
import { createRequestContext } from '../support/request-context.ts';
import { ask, balancing, closedPort, type RunningService, stage, startRawService, startService } from './stage.ts';

const body = 'x'.repeat(3_000);
const goodAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone';

/** What a service does to one connection, or one request on it. */
type Fault =
  | { readonly kind: 'none' }
  | { readonly kind: 'reset at accept' }
  | { readonly kind: 'reset in request' | 'end in request' | 'silence in request'; readonly atByte: number }
  | { readonly kind: 'reset in answer' | 'end in answer'; readonly atByte: number }
  | { readonly kind: 'status'; readonly status: number };

function chooseFault(random: () => number): Fault {
  const dice = Math.floor(random() * 12);
  const atByte = Math.floor(random() * 3_600);
  const early = Math.floor(random() * 300);
  if (dice === 0) return { kind: 'reset at accept' };
  if (dice === 1) return { kind: 'reset in request', atByte };
  if (dice === 2) return { kind: 'reset in request', atByte: early };
  if (dice === 3) return { kind: 'end in request', atByte };
  if (dice === 4) return { kind: 'silence in request', atByte: early };
  if (dice === 5) return { kind: 'reset in answer', atByte: Math.floor(random() * goodAnswer.length) };
  if (dice === 6) return { kind: 'end in answer', atByte: Math.floor(random() * goodAnswer.length) };
  if (dice === 7) return { kind: 'status', status: 502 + Math.floor(random() * 3) };
  return { kind: 'none' };
}

/** Counts, per request id, how often any of its bytes arrived and how often it arrived whole. */
class Ledger {
  readonly begun = new Map<string, number>();
  readonly whole = new Map<string, number>();

  static note(counts: Map<string, number>, id: string): void {
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
}

function startFaultyService(random: () => number, ledger: Ledger): Promise<RunningService> {
  return startRawService((socket) => {
    let fault = chooseFault(random);
    if (fault.kind === 'reset at accept') {
      socket.resetAndDestroy();
      return;
    }
    let bytes = '';
    let noted = false;
    socket.on('data', (chunk) => {
      bytes += chunk.toString('latin1');
      const id = /^[A-Z]+ \/(\d+) HTTP/.exec(bytes)?.[1];
      if (id !== undefined && !noted) {
        noted = true;
        Ledger.note(ledger.begun, id);
      }
      if ('atByte' in fault && fault.kind.endsWith('request') && bytes.length >= fault.atByte) {
        breakOff(socket, fault.kind);
      } else if (id !== undefined && isWhole(bytes)) {
        Ledger.note(ledger.whole, id);
        bytes = '';
        noted = false;
        answer(socket, fault);
        fault = chooseFault(random);
      }
    });
  });
}

function breakOff(socket: net.Socket, how: string): void {
  if (how.startsWith('reset')) socket.resetAndDestroy();
  else if (how.startsWith('end')) socket.destroy();
  else socket.pause();
}

function answer(socket: net.Socket, fault: Fault): void {
  if (fault.kind === 'status') socket.write(`HTTP/1.1 ${fault.status} Bad\r\nContent-Length: 0\r\n\r\n`);
  else if (fault.kind === 'reset in answer') {
    socket.write(goodAnswer.slice(0, fault.atByte), () => socket.resetAndDestroy());
  } else if (fault.kind === 'end in answer') socket.end(goodAnswer.slice(0, fault.atByte));
  else socket.write(goodAnswer);
}

function isWhole(bytes: string): boolean {
  return bytes.endsWith(`\r\n\r\n${body}`) || bytes.endsWith('\r\n0\r\n\r\n');
}

/** A body as the doors have it: whole, or a stream with and without a known length. */
function chooseBody(random: () => number): Pick<CallRequest, 'body' | 'headers'> {
  const dice = Math.floor(random() * 4);
  const stream = Readable.from([Buffer.from(body.slice(0, 1_000)), Buffer.from(body.slice(1_000))], {
    objectMode: false,
  });
  if (dice === 0) return { body: stream, headers: [] };
  if (dice === 1) return { body: stream, headers: ['content-length', String(body.length)] };
  return { body: dice === 2 ? body : Buffer.from(body), headers: [] };
}

async function run(
  upstreams: Upstreams,
  random: () => number,
  idempotent: boolean,
  calls: number,
): Promise<Set<string>> {
  const answered = new Set<string>();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < calls) {
      const id = String(next++);
      const request = { method: idempotent ? 'PUT' : 'POST', path: `/${id}`, idempotent, ...chooseBody(random) };
      const given = await ask(upstreams, request, createRequestContext()).catch(() => null);
      if (given?.status === 200) answered.add(id);
      // A reset at accept takes an instance out, until a probe finds that it does listen.
      if (upstreams.status('shop').every((instance) => instance.state !== 'healthy')) await upstreams.probe('shop');
    }
  };
  await Promise.all(Array.from({ length: 12 }, worker));
  return answered;
}

for (const seed of [1, 2, 3]) {
  test(`no service, and no two services, see a byte of the same POST twice (seed ${seed})`, async () => {
    const random = createRandom(seed);
    const ledger = new Ledger();
    await using first = await startFaultyService(random, ledger);
    await using second = await startFaultyService(random, ledger);
    const dead = `http://127.0.0.1:${await closedPort()}`;
    await using upstreams = stage(
      [dead, first.url, dead, second.url],
      {
        ...balancing('round-robin'),
        timeout: '150ms',
        retry: { attempts: 5, budget: '100%' },
        circuitBreaker: { minimumCalls: 10_000 },
      },
      { random },
    );
    const answered = await run(upstreams, random, false, 400);
    const repeated = [...ledger.begun].filter(([, count]) => count > 1);
    assert.deepEqual(repeated, []);
    for (const id of answered) assert.equal(ledger.whole.get(id), 1, `answered ${id}`);
    assert.ok(answered.size > 50, `${answered.size} answered`);
    assert.ok(answered.size < 400, 'there were faults');
  });
}

test('the same faults do lead to repetition where it is allowed, and a stream that was begun is never sent again', async () => {
  const random = createRandom(4);
  const ledger = new Ledger();
  await using first = await startFaultyService(random, ledger);
  await using second = await startFaultyService(random, ledger);
  await using upstreams = stage(
    [first.url, second.url],
    { timeout: '150ms', retry: { attempts: 5, budget: '100%' }, circuitBreaker: { minimumCalls: 10_000 } },
    { random },
  );
  const answered = await run(upstreams, random, true, 300);
  assert.ok([...ledger.begun.values()].some((count) => count > 1));
  assert.ok(answered.size > 120, `${answered.size} answered`);

  const streams = new Ledger();
  const always = (): number => 3.5 / 12;
  await using breaking = await startFaultyService(always, streams);
  await using alone = stage([breaking.url, breaking.url], { retry: { attempts: 5, budget: '100%' } });
  const source = Readable.from([Buffer.from(body), Buffer.from(body)], { objectMode: false });
  await assert.rejects(ask(alone, { method: 'PUT', path: '/1', body: source, idempotent: true }));
  assert.equal(streams.begun.get('1'), 1);
});

test('a POST that was sent is not repeated after a timeout, a 503 or a closed connection', async () => {
  for (const behaviour of ['silence', 'status', 'close'] as const) {
    let arrived = 0;
    const start = (): Promise<RunningService> =>
      startRawService((socket) => {
        socket.once('data', () => {
          arrived++;
          if (behaviour === 'status') socket.write('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n');
          if (behaviour === 'close') socket.destroy();
        });
      });
    await using first = await start();
    await using second = await start();
    await using upstreams = stage([first.url, second.url], {
      timeout: '100ms',
      retry: { attempts: 5, budget: '100%' },
    });
    const call = ask(upstreams, { method: 'POST', path: '/1', body, idempotent: false });
    if (behaviour === 'status') assert.equal((await call).status, 503);
    else await assert.rejects(call);
    assert.equal(arrived, 1, behaviour);
  }
});

test('a copy beside a request makes one attempt, even where nothing was sent or a repetition is allowed', async () => {
  let arrived = 0;
  await using busy = await startService((_request, response) => {
    arrived++;
    response.writeHead(503).end();
  });
  const dead = `http://127.0.0.1:${await closedPort()}`;
  const definition = {
    retry: { attempts: 5, budget: '100%' },
    circuitBreaker: { minimumCalls: 10_000 },
    serviceBreaker: { minimumCalls: 1 },
  };
  await using unreachable = stage([dead, dead], definition);
  const context = createRequestContext();
  await assert.rejects(ask(unreachable, { idempotent: true, aside: true }, context));
  assert.equal(context.attempts.length, 1);
  await using upstreams = stage([busy.url, busy.url], definition);
  for (let i = 1; i <= 3; i++) {
    assert.equal((await ask(upstreams, { idempotent: true, aside: true })).status, 503);
    assert.equal(arrived, i);
  }
  assert.equal(upstreams.serviceBreaker('shop'), 'closed', 'what copies meet opens no breaker for requests');
});
