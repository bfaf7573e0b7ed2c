/**
 * Mutated requests over raw sockets, the same ones for the same seed. By hand, for more of them:
 * `node test/http/fuzz.ts 10000 7` (number, seed).
 */
import assert from 'node:assert/strict';
import { createGateway } from '../../gateway/gateway.ts';
import { createRandom } from '../support/random.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { parseStrictly, type StrictMessages, type StrictRequest } from '../support/strict-http.ts';
import { findDifference, forwardedForm } from './forwarded-form.ts';

export interface FuzzResult {
  readonly sent: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** Requests that reached the service, with those that were broken off on the way. */
  readonly forwarded: number;
  /** Of these, those that still say which input they come from: method, target, all fields, body and trailers are the same. */
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
  `GET /api/%?a=%20b&c HTTP/1.1\r\n${host}Cookie: a=1; b=2\r\nX-Many: 1\r\nx-many: 2\r\nX-User-Id: root\r\nAuthorization: Basic YQ==\r\n\r\n`,
  `DELETE /api/% HTTP/1.1\r\n${host}Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nVia: 1.0 fred\r\nUser-Agent: fuzz/1 (a; b)\r\n\r\n`,
  `POST /api/% HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTrailer: X-Sum, Cookie\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\nCookie: late\r\nX-Other: 1\r\n\r\n`,
  `PATCH /api/% HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 0009\r\nX-Bytes: \xe4\xff\r\n\r\n{"a":"\xe4"}`,
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
  'x-user-id: root\r\n', 'X_User.Roles: admin\r\n', 'Connection: x-many, x-sum\r\n', 'Trailer: x-sum\r\n', 'X-Sum: 1\r\n', 'Cookie: c=3\r\n',
  'TE: trailers\r\n', 'Forwarded: for=1\r\n', 'Via: 1.1 a\r\n', 'X-Many: \xa0\r\n', 'X-Empty:\r\n', 'X-Request-Timeout-Ms: 9\r\n', '\t ',
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
        /^%(2e|2f|00|20)/.test(all.slice(at)) ? sign : `c${n}`,
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
  // The last ones were broken off a moment ago: their lines come with the ends of their connections.
  const isDecided = (request: StrictRequest): boolean => entries.some(({ id }) => id === idOf(request));
  const arrived = seen.flatMap(({ requests, unfinished }) =>
    unfinished === null ? requests : [...requests, unfinished],
  );
  await settle(() => arrived.every(isDecided), 'a decision on every request');
  const compared = compare(inputs, seen, entries, new URL(service.url).host);
  return {
    sent: inputs.length,
    statuses,
    forwarded: seen.flatMap(({ requests, unfinished }) => [...requests, ...(unfinished === null ? [] : [unfinished])])
      .length,
    compared,
  };
}

/**
 * What the service saw against what the gateway decided on, and against what was sent: every request that arrived, whole or
 * broken off, is one that an independent reader finds in the bytes of the client, to the last field and byte.
 */
function compare(
  inputs: readonly string[],
  seen: readonly StrictMessages[],
  entries: readonly Entry[],
  serviceHost: string,
): number {
  const decided = new Map(entries.map((entry) => [entry.id, entry]));
  const ids = new Set<string>();
  let compared = 0;
  const check = (request: StrictRequest, isWhole: boolean): void => {
    const text = JSON.stringify(request);
    const id = idOf(request);
    assert.ok(!ids.has(id), `${id} came twice`);
    ids.add(id);
    const entry = decided.get(id);
    assert.ok(entry !== undefined, `no decision on ${text}`);
    assert.deepEqual([request.method, request.target.split('?')[0]], [entry.method, entry.path]);
    assert.ok(entry.attempts === 1 || (!isWhole && entry.attempts === 0), `${entry.attempts} attempts of ${text}`);
    // Where the number was mutated away, any request may be the one.
    const number = /^\/api\/c(\d+)(?!\d)/.exec(request.target)?.[1];
    const input = number === undefined ? undefined : inputs[Number(number)];
    if (input === undefined) return;
    const { requests, unfinished } = parseStrictly(input, 'taken');
    const sources = unfinished === null ? requests : [...requests, unfinished];
    const differences = sources.map((source) =>
      isWhole && source === unfinished
        ? 'it is not whole'
        : findDifference(request, forwardedForm(source), serviceHost, isWhole),
    );
    assert.ok(differences.includes(null), `sent ${JSON.stringify(input)}, seen ${text}: ${differences.join('; ')}`);
    compared++;
  };
  for (const { requests, unfinished, rest } of seen) {
    // What is left is a request that was broken off: a head with an unfinished body, and never another head behind it.
    assert.ok(rest === '' || unfinished !== null, JSON.stringify(rest));
    for (const request of requests) check(request, true);
    if (unfinished !== null) check(unfinished, false);
  }
  return compared;
}

function idOf({ fields }: StrictRequest): string {
  return fields.find(({ name }) => name === 'x-request-id')?.value ?? '';
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
