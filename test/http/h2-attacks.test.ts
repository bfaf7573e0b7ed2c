import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { ClientHttp2Session } from 'node:http2';
import { type TestContext, test } from 'node:test';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import {
  buildFrame,
  connectRaw,
  endHeaders,
  endStream,
  frameTypes,
  literalField,
  type RawHttp2Client,
  type RawHttp2Options,
  requestFields,
  uint32,
} from '../support/http2-frames.ts';
import { type GatewayProcess, makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

// The gateway is a process of its own: what an attack costs it is its own memory.

/** More than heap and buffers of an honest load come to, and a fraction of what each attack asks for. */
const toleratedGrowthKb = 200_000;
const whole = endHeaders | endStream;
const get = requestFields('/a');

interface Arena {
  readonly gateway: GatewayProcess;
  /** A client that asks all the while. */
  readonly honest: ClientHttp2Session;
  /** Requests that reached the gateway since the last time. */
  countRequests(path: string): number;
  readMetric(name: string): Promise<number>;
}

async function setUp(t: TestContext): Promise<Arena> {
  const rest = await startServer(t, (incoming, response) => {
    if (incoming.url === '/hang') return;
    if (incoming.url === '/large') response.end(Buffer.alloc(4_000_000));
    else incoming.resume().on('end', () => response.end('ok'));
    incoming.on('error', () => {});
  });
  const gateway = await startGatewayProcess(t, await makeFolder(t), {
    listen: { http2: { clear: true } },
    limits: { clientIdleTimeout: '1s' },
    services: { rest: { instances: [{ url: rest.url }], routes: [{ match: { path: '/*' } }] } },
  });
  const honest = await connectHttp2(t, gateway.url);
  let seen = 0;
  return {
    gateway,
    honest,
    countRequests(path) {
      const fresh = gateway.lines.slice(seen);
      seen += fresh.length;
      return fresh.filter((line) => line.msg === 'request' && line['path'] === path).length;
    },
    async readMetric(name) {
      const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
      const line = text.split('\n').find((one) => one.startsWith(`${name} `));
      return Number(line?.slice(name.length + 1) ?? 0);
    },
  };
}

async function residentKb({ gateway }: Arena): Promise<number> {
  const status = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

const malformed = 'selvage_malformed_requests_total{code="BAD_REQUEST"}';

interface Attack {
  readonly title: string;
  readonly options?: RawHttp2Options;
  readonly count: number;
  readonly perWrite?: number;
  readonly build: (at: number) => Buffer;
  /** Requests on paths other than that of the honest client that may begin. @default 0 */
  readonly requests?: readonly [path: string, atMost: number];
}

const streamOf = (at: number): number => 2 * at + 1;
const cancel = uint32(8);
const oneSetting = Buffer.from([0, 3, 0, 0, 0, 9]);

/** Whoever does one of these is cut off. */
const attacks: readonly Attack[] = [
  {
    title: 'streams that are reset at once (CVE-2023-44487)',
    count: 20_000,
    build: (at) =>
      Buffer.concat([
        buildFrame('headers', streamOf(at), requestFields('/reset'), whole),
        buildFrame('reset', streamOf(at), cancel),
      ]),
    requests: ['/reset', 400],
  },
  {
    title: 'streams that the gateway is made to reset, by a window that does not grow (CVE-2025-8671)',
    count: 5_000,
    build: (at) =>
      Buffer.concat([
        buildFrame('headers', streamOf(at), requestFields('/hang'), whole),
        buildFrame('windowUpdate', streamOf(at), uint32(0)),
      ]),
    requests: ['/hang', 400],
  },
  {
    title: 'the same by data behind the end of the stream',
    count: 5_000,
    build: (at) =>
      Buffer.concat([
        buildFrame('headers', streamOf(at), requestFields('/hang'), whole),
        buildFrame('data', streamOf(at), Buffer.from('x')),
      ]),
    requests: ['/hang', 400],
  },
  {
    title: 'CONTINUATION without end (CVE-2024-28182)',
    count: 20_000,
    build: (at) =>
      at === 0 ? buildFrame('headers', 1, get, endStream) : buildFrame('continuation', 1, literalField('a', 'b')),
  },
  {
    title: 'SETTINGS whose acknowledgements nobody reads (CVE-2019-9515)',
    options: { reads: false },
    count: 100_000,
    build: () => buildFrame('settings', 0, oneSetting),
  },
  {
    title: 'SETTINGS with a hundred values each',
    count: 5_000,
    build: () => buildFrame('settings', 0, Buffer.alloc(600, oneSetting)),
  },
  {
    title: 'PING whose answers nobody reads (CVE-2019-9512)',
    options: { reads: false },
    count: 300_000,
    perWrite: 1_000,
    build: () => buildFrame('ping', 0, Buffer.alloc(8)),
  },
  {
    title: 'empty DATA without an end (CVE-2019-9518)',
    count: 50_000,
    build: (at) =>
      at === 0 ? buildFrame('headers', 1, requestFields('/empty', 'POST'), endHeaders) : buildFrame('data', 1),
    requests: ['/empty', 1],
  },
  {
    title: 'PRIORITY of ever more streams (CVE-2019-9513)',
    count: 300_000,
    perWrite: 1_000,
    build: (at) => buildFrame('priority', streamOf(at), Buffer.from([0, 0, 0, 0, 1])),
  },
  {
    title: 'heads without a field',
    count: 5_000,
    build: (at) => buildFrame('headers', streamOf(at), Buffer.alloc(0), whole),
  },
  {
    title: 'resets of streams that never were',
    count: 5_000,
    build: (at) => buildFrame('reset', streamOf(at), cancel),
  },
  {
    title: 'a window beyond 2^31-1 (RFC 9113 section 6.9.1)',
    count: 2,
    build: () => buildFrame('windowUpdate', 0, uint32(0x7fffffff)),
  },
];

test('whoever floods a connection is cut off, others are served meanwhile, and metrics tell', async (t) => {
  const arena = await setUp(t);
  const asked = await ask(arena);
  assert.equal(asked.status, 200);
  const startKb = await residentKb(arena);
  for (const attack of attacks) {
    await t.test(attack.title, async (t) => {
      arena.countRequests('/');
      const before = await arena.readMetric(malformed);
      const client = await connectRaw(t, arena.gateway.url, attack.options);
      const served = serveMeanwhile(arena);
      await client.flood(attack.count, attack.build, attack.perWrite);
      await until(client.isClosed, 'the connection is ended');
      assert.ok((await served()) > 0);
      assert.equal((await arena.readMetric(malformed)) - before, 1, 'it is counted');
      if (attack.requests !== undefined) {
        const [path, atMost] = attack.requests;
        const begun = arena.countRequests(path);
        assert.ok(begun <= atMost, `${begun} requests were begun`);
      }
    });
  }
  const growthKb = (await residentKb(arena)) - startKb;
  assert.ok(growthKb < toleratedGrowthKb, `grown by ${growthKb} kB`);
});

test('what a client may go on with costs no memory, and keeps nobody else waiting', async (t) => {
  const arena = await setUp(t);
  await ask(arena);
  const startKb = await residentKb(arena);
  const assertModest = async (): Promise<void> => {
    const growthKb = (await residentKb(arena)) - startKb;
    assert.ok(growthKb < toleratedGrowthKb, `grown by ${growthKb} kB`);
  };

  await t.test('a small table entry that is named 16,000 times in each head is 64 MB that nobody makes', async (t) => {
    const client = await connectRaw(t, arena.gateway.url);
    const served = serveMeanwhile(arena);
    arena.countRequests('/');
    const bomb = literalField('x-bomb', 'v'.repeat(4_000), true);
    // RFC 7541 section 2.3.3: 62 is the newest entry of the dynamic table.
    const fuse = Buffer.concat([get, Buffer.alloc(16_000, 0xbe)]);
    await client.flood(200, (at) =>
      buildFrame('headers', streamOf(at), at === 0 ? Buffer.concat([get, bomb]) : fuse, whole),
    );
    await until(() => listResets(client).length === 199, 'every such stream is reset');
    assert.ok((await served()) > 0);
    await assertModest();
  });

  await t.test('a head beyond limits.maxHeaderSize is 431, one of twice the size ends its stream', async () => {
    const value = (bytes: number) => ({ 'x-large': 'v'.repeat(bytes) });
    assert.equal((await askHttp2(arena.honest, '/a', value(10_000))).status, 200);
    assert.equal((await askHttp2(arena.honest, '/a', value(20_000))).status, 431);
    await assert.rejects(askHttp2(arena.honest, '/a', value(40_000)));
    assert.equal((await ask(arena)).status, 200);
  });

  await t.test('answers for which there is no window stay at their services, and are given up', async (t) => {
    const noWindow = [4, 0] as const;
    const client = await connectRaw(t, arena.gateway.url, { settings: [noWindow] });
    const served = serveMeanwhile(arena);
    const before = await arena.readMetric('selvage_slow_clients_total{kind="reader"}');
    await client.flood(100, (at) => buildFrame('headers', streamOf(at), requestFields('/large'), whole));
    await until(() => countFrames(client, 'headers') === 100, 'the heads of 400 MB');
    await assertModest();
    await until(() => listResets(client).length === 100, 'all of them are reset');
    assert.equal((await arena.readMetric('selvage_slow_clients_total{kind="reader"}')) - before, 100);
    assert.equal(client.dataBytes(), 0);
    assert.ok((await served()) > 0);
  });

  await t.test('PING and WINDOW_UPDATE without end, whose answers are read', async (t) => {
    const client = await connectRaw(t, arena.gateway.url);
    const served = serveMeanwhile(arena);
    for (let round = 1; round <= 20 && !client.isClosed(); round++) {
      await client.flood(100, () => buildFrame('ping', 0, Buffer.alloc(8)));
      await until(() => client.isClosed() || countFrames(client, 'ping') === 100 * round, 'the answers');
    }
    await client.flood(100_000, () => buildFrame('windowUpdate', 0, uint32(1)), 1_000);
    assert.ok((await served()) > 0);
    await assertModest();
  });

  await t.test('streams beyond maxConcurrentStreams are refused', async (t) => {
    const client = await connectRaw(t, arena.gateway.url);
    await client.flood(150, (at) => buildFrame('headers', streamOf(at), requestFields('/hang'), whole), 150);
    await until(() => client.isClosed() || listResets(client).length >= 50, 'those beyond');
    assert.deepEqual(new Set(listResets(client)), new Set([7]));
    assert.equal((await ask(arena)).status, 200);
  });
});

function ask({ honest }: Arena) {
  return askHttp2(honest, '/a');
}

/** Asks on and on. The result ends it, with how many were answered; it rejects when one was not. */
function serveMeanwhile(arena: Arena): () => Promise<number> {
  let goesOn = true;
  const running = (async () => {
    let count = 0;
    do {
      assert.equal((await ask(arena)).status, 200);
      count++;
    } while (goesOn);
    return count;
  })();
  running.catch(() => {});
  return () => {
    goesOn = false;
    return running;
  };
}

function countFrames({ received }: RawHttp2Client, type: keyof typeof frameTypes): number {
  return received.filter((frame) => frame.type === frameTypes[type]).length;
}

/** Codes of the resets that came. */
function listResets({ received }: RawHttp2Client): number[] {
  return received.filter(({ type }) => type === frameTypes.reset).map(({ payload }) => payload.readUInt32BE(0));
}
