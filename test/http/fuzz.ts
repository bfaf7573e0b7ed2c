/**
 * Mutated requests over raw sockets, the same ones for the same seed. By hand, for more of them:
 * `node test/http/fuzz.ts 10000 7` (number, seed).
 */
import assert from 'node:assert/strict';
import { createGateway } from '../../gateway/gateway.ts';
import { createRandom } from '../support/random.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { parseStrictly, type StrictRequest } from '../support/strict-http.ts';

export interface FuzzResult {
  readonly sent: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** Requests that reached the service. */
  readonly forwarded: number;
  /** Of these, those whose input was valid to the letter, so that method, target and body could be compared. */
  readonly compared: number;
}

const concurrency = 16;
const host = 'Host: shop.example\r\n';

/** Requests to begin with; `%` is the number of the case. */
const samples: readonly string[] = [
  `GET /api/% HTTP/1.1\r\n${host}Accept: */*\r\n\r\n`,
  `HEAD /api/%?q=1 HTTP/1.1\r\n${host}\r\n`,
  `POST /api/% HTTP/1.1\r\n${host}Content-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world`,
  `PUT /api/% HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n`,
  `GET /api/%/a HTTP/1.1\r\n${host}\r\nGET /api/%/b HTTP/1.1\r\n${host}\r\n`,
  `POST /api/%/a HTTP/1.1\r\n${host}Content-Length: 44\r\n\r\nGET /api/%/smuggled HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\nGET /api/%/b HTTP/1.1\r\n${host}\r\n`,
  `GET http://shop.example/api/% HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
  `POST /api/% HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
  `OPTIONS /api/% HTTP/1.0\r\n${host}Max-Forwards: 3\r\n\r\n`,
];

/** What attacks are made of. */
const tokens: readonly string[] = [
  '\r\n', '\n', '\r', '\0', ' ', '\t', '\x0b', ':', ';', ',', '/', '//', '/../', '%2e%2e/', '%2f', '%00', '#', '?', '*', '@',
  '\r\n\r\n', 'Content-Length: 0\r\n', 'Content-Length: 5\r\n', 'Content-Length : 5\r\n', 'Content-Length: 5, 5\r\n',
  'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding : chunked\r\n', 'Transfer-Encoding: xchunked\r\n',
  'Transfer-Encoding: identity, chunked\r\n', 'Transfer-Encoding:\x0bchunked\r\n', ' folded\r\n', 'Host: evil.example\r\n',
  'Connection: content-length\r\n', 'Connection: close, host\r\n', 'Expect: 100-continue\r\n', 'Upgrade: h2c\r\n',
  '0\r\n\r\n', '5;a=b\r\n', 'ffffffffffffffff\r\n', 'GET /api/%/smuggled HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.0', 'HTTP/2.0',
  'TRACE', 'CONNECT', '\xff', '\x7f', 'X-Forwarded-For: 1\r\n', 'x_request_id: 1\r\n',
]; // biome-ignore format: a list to look over

function mutate(text: string, random: () => number): string {
  const below = (limit: number): number => Math.floor(random() * limit);
  let result = text;
  for (let left = 1 + below(3); left > 0; left--) {
    const at = below(result.length + 1);
    const to = Math.min(result.length, at + 1 + below(12));
    const lines = result.split('\r\n');
    const line = below(lines.length);
    const token = tokens[below(tokens.length)] ?? '';
    const kinds = [
      () => result.slice(0, at) + token + result.slice(at),
      () => result.slice(0, at) + token + result.slice(to),
      () => result.slice(0, at) + result.slice(to),
      () => result.slice(0, to) + result.slice(at),
      () => result.slice(0, at) + String.fromCharCode(below(256)) + result.slice(at + 1),
      () => [...lines.slice(0, line + 1), ...lines.slice(line)].join('\r\n'),
      () => [...lines.slice(0, line), token.replace(/\r\n$/, ''), ...lines.slice(line)].join('\r\n'),
      () => result.slice(0, at),
    ];
    result = kinds[below(kinds.length)]?.() ?? result;
  }
  return result;
}

interface Entry {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly attempts: number;
}

/** Sends `count` mutated requests. Throws at the first thing that must not be. */
export async function runFuzz(count: number, seed: number): Promise<FuzzResult> {
  await using stack = new AsyncDisposableStack();
  const random = createRandom(seed);
  const service = await startRawService(
    { after: (end: unknown) => stack.defer(() => void (end as () => void)()) } as never,
    (socket, text) => {
      const { requests, rest } = parseStrictly(text);
      const answered = answeredOn.get(socket) ?? 0;
      const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
      if (rest === '') for (let i = answered; i < requests.length; i++) socket.write(ok);
      if (rest === '') answeredOn.set(socket, requests.length);
    },
  );
  const answeredOn = new WeakMap<object, number>();
  const entries: Entry[] = [];
  const faults: string[] = [];
  const gateway = createGateway(
    {
      store: 'memory',
      listen: { host: '127.0.0.1', port: 0 },
      admin: { host: '127.0.0.1', port: 0 },
      shutdown: { delay: '0s', grace: '1s' },
      services: {
        echo: {
          routes: [{ match: { path: '/api/*' } }],
          instances: [{ id: 'one', url: service.url }],
          retry: { attempts: 0 },
        },
      },
    },
    {
      logDestination: {
        write(text: string) {
          for (const line of text.split('\n')) {
            if (line === '') continue;
            const entry = JSON.parse(line);
            if (entry.path !== undefined && entry.method !== undefined) entries.push(entry);
            else if (entry.level === 'error' || entry.level >= 50) faults.push(line);
          }
        },
      },
    },
  );
  const { url } = await gateway.start();
  stack.defer(() => gateway.stop());
  const before = countSockets();
  const inputs: string[] = [];
  const statuses: Record<string, number> = {};
  for (let n = 0; n < count; n++) {
    const sample = samples[Math.floor(random() * samples.length)] ?? '';
    inputs.push(
      mutate(sample, random).replaceAll('%', (sign, at: number, all: string) =>
        /^%(2e|2f|00)/.test(all.slice(at)) ? sign : `c${n}`,
      ),
    );
  }
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < inputs.length) {
      const answer = await sendRaw(url, inputs[next++] ?? '', { silenceMs: 60 });
      const key = answer.statuses.join('+') || 'none';
      statuses[key] = (statuses[key] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  await settle(() => countSockets() <= before + 2 * service.sockets.size, 'sockets are closed on both sides');
  await settle(() => service.sockets.size <= concurrency, 'no more connections to the service than there were calls');
  assert.deepEqual(faults, [], 'nothing failed unexpectedly');
  const seen = service.received.map((text) => parseStrictly(text));
  const compared = compare(inputs, seen, entries);
  return { sent: inputs.length, statuses, forwarded: seen.flatMap(({ requests }) => requests).length, compared };
}

/** What the service saw against what the gateway decided on, and against what was sent where that can be said. */
function compare(
  inputs: readonly string[],
  seen: readonly { requests: StrictRequest[]; rest: string }[],
  entries: readonly Entry[],
): number {
  const decided = new Map(entries.map((entry) => [entry.id, entry]));
  const strict = inputs.map((input) => parseStrictly(input));
  const ids = new Set<string>();
  let compared = 0;
  for (const { requests, rest } of seen) {
    // A request that was broken off on the way: a head with an unfinished body, and never another head behind it.
    assert.ok(rest === '' || /^[A-Z-]+ \/api\/\S* HTTP\/1\.1\r\n/.test(rest), JSON.stringify(rest));
    for (const request of requests) {
      const named = request.headers.filter(([name]) => name === 'x-request-id').map(([, value]) => value);
      assert.equal(named.length, 1, JSON.stringify(request));
      const id = named[0] ?? '';
      assert.ok(!ids.has(id), `${id} came twice`);
      ids.add(id);
      const entry = decided.get(id);
      assert.ok(entry !== undefined, `no decision on ${JSON.stringify(request)}`);
      assert.deepEqual([request.method, request.target.split('?')[0]], [entry.method, entry.path]);
      assert.equal(entry.attempts, 1);
      for (const name of ['host', 'via', 'x-forwarded-for']) {
        assert.equal(
          request.headers.filter(([key]) => key === name).length,
          1,
          `${name} of ${JSON.stringify(request)}`,
        );
      }
      const number = Number(/^\/api\/c(\d+)(?![0-9])/.exec(request.target)?.[1] ?? Number.NaN);
      const source = strict[number];
      if (source === undefined || source.rest !== '') continue;
      compared++;
      const matches = source.requests.some(
        ({ method, target, body }) =>
          method === request.method &&
          target.replace(/^http:\/\/[^/]*/i, '') === request.target &&
          body === request.body,
      );
      assert.ok(matches, `sent ${JSON.stringify(inputs[number])}, seen ${JSON.stringify(request)}`);
    }
  }
  return compared;
}

function countSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
}

async function settle(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 15_000;
  while (!condition()) {
    assert.ok(performance.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

if (import.meta.main) {
  const [count = '10000', seed = '1'] = process.argv.slice(2);
  console.log(JSON.stringify({ seed: Number(seed), ...(await runFuzz(Number(count), Number(seed))) }, null, 2));
}
