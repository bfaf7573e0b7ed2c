/**
 * What all policies together cost: policies.yaml against the same services without any, at both doors.
 * `node test/bench/policies.ts [--seconds 5] [--rounds 5] [--peer FOLDER]`; FOLDER is where fastify, @fastify/jwt,
 * @fastify/rate-limit, @fastify/http-proxy and ioredis are installed, which then do the same work at the REST door.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { parse } from 'yaml';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startRedis } from '../support/redis.ts';
import { formatTable, takeMedian } from './measure.ts';
import { cores, pin, runRequests, startBenchGateway, startService } from './processes.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    peer: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const connections = 50;

await using stack = new AsyncDisposableStack();
const folder = await mkdtemp(join(tmpdir(), 'selvage-policies-'));
stack.defer(() => rm(folder, { recursive: true, force: true }));
const redis = stack.use(await startRedis());
const service = stack.use(await startService('policies-service.ts'));
const serviceUrl = `http://127.0.0.1:${service.port}`;

const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
const jwksFile = join(folder, 'jwks.json');
const keyFile = join(folder, 'key.pem');
await writeFile(jwksFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'RS256' }] }));
await writeFile(keyFile, await exportSPKI(publicKey));
const token = await new SignJWT({ tenant: 'acme', scope: 'orders:read' })
  .setProtectedHeader({ alg: 'RS256', kid: 'bench' })
  .setIssuer('https://idp.example')
  .setAudience('bench')
  .setSubject('ada')
  .setIssuedAt()
  .setExpirationTime('1d')
  .sign(privateKey);

const instances = [{ url: serviceUrl }];
const schema = 'type Query { me: User } type User { id: ID! name: String username: String }';
const services: GatewayConfig['services'] = {
  accounts: { graphql: { path: '/graphql', schema, kind: 'federation' }, instances },
  bench: { routes: [{ match: { path: '/bench/*' }, rewrite: '/*' }], instances },
};
const written = readFileSync(new URL('policies.yaml', import.meta.url), 'utf8')
  .replaceAll('${REDIS_URL}', redis.url)
  .replaceAll('${JWKS_FILE}', jwksFile);
const configs: Readonly<Record<string, GatewayConfig>> = {
  on: { services, ...(parse(written) as GatewayConfig) },
  off: { services, logging: { access: false } },
};

/** Somebody who is measured. */
interface Contestant {
  readonly name: string;
  readonly url: string;
  readonly readCpuSeconds: () => number | Promise<number>;
  readonly doors: readonly Door[];
}

type Door = keyof typeof doors;
const doors = {
  'REST, GET of 23 bytes': { path: '/bench/json', body: undefined },
  'GraphQL, a small query': {
    path: '/graphql',
    body: JSON.stringify({ query: 'query Me { me { id name username } }' }),
  },
} as const;
const bothDoors = Object.keys(doors) as Door[];

async function startPeer(peerFolder: string, mode: string): Promise<Contestant> {
  const file = fileURLToPath(new URL('policies-peer.mjs', import.meta.url));
  const log = openSync(join(folder, `peer-${mode}.log`), 'a');
  const [command, argv] = pin(cores.gateway, process.execPath, [
    ...[file, peerFolder, mode, serviceUrl, redis.url, keyFile],
  ]);
  const env = { ...process.env, NODE_ENV: 'production' };
  const child = spawn(command, argv, { stdio: ['ignore', log, 'inherit', 'ipc'], env });
  stack.defer(() => void child.kill());
  const [message] = await once(child, 'message');
  const readCpuSeconds = (): number => {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  return {
    name: `fastify, ${mode}`,
    url: (message as { url: string }).url,
    readCpuSeconds,
    doors: bothDoors.slice(0, 1),
  };
}

const contestants: Contestant[] = [];
for (const [mode, config] of Object.entries(configs)) {
  const own = await mkdtemp(join(folder, 'gateway-'));
  const gateway = stack.use(await startBenchGateway(own, config));
  contestants.push({
    name: `policies ${mode}`,
    url: gateway.url,
    readCpuSeconds: gateway.readCpuSeconds,
    doors: bothDoors,
  });
}
if (values.peer !== undefined) for (const mode of ['on', 'off']) contestants.push(await startPeer(values.peer, mode));

interface Figures {
  readonly requestsPerSecond: number;
  readonly cpuMs: number;
  readonly p99Ms: number;
}

const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'x-debug': '1' };

async function measure({ url, name, readCpuSeconds }: Contestant, door: Door, forSeconds: number): Promise<Figures> {
  const { path, body } = doors[door];
  const before = await readCpuSeconds();
  const load = await runRequests({ url: url + path, headers, body, connections, seconds: forSeconds });
  if (load.failed > 0 || load.count === 0) throw new Error(`${name}, ${door}: ${load.failed} of ${load.count} failed`);
  const cpuMs = (((await readCpuSeconds()) - before) * 1_000) / load.count;
  return { requestsPerSecond: load.requestsPerSecond, cpuMs, p99Ms: load.p99Ms };
}

async function assertWork({ url, name, doors: own }: Contestant): Promise<void> {
  for (const door of own) {
    const { path, body } = doors[door];
    const ask = (given: Record<string, string>) =>
      fetch(url + path, { headers: given, ...(body !== undefined && { method: 'POST', body }) });
    const answer = await ask(headers);
    const text = await answer.text();
    const isGood = answer.status === 200 && !text.includes('errors') && (text.length === 23 || body !== undefined);
    if (!isGood) throw new Error(`${name}, ${door}: ${answer.status} ${text}`);
    if (name.endsWith('off')) continue;
    const { authorization: _, ...anonymous } = headers;
    const isLimited = [...answer.headers.keys()].some((key) => key.includes('ratelimit'));
    const isRewritten = answer.headers.get('x-served-by') === 'bench' && !answer.headers.has('x-internal-node');
    const refused = await ask(anonymous);
    const refusal = await refused.text();
    const isGuarded = refused.status === 401 || refusal.includes('UNAUTHENTICATED');
    // At the GraphQL door headers of services do not reach the client anyway.
    if (!isGuarded || !isLimited || !isRewritten) {
      throw new Error(`${name}, ${door} does not do its work: ${isGuarded} ${isLimited} ${isRewritten} ${refusal}`);
    }
  }
}

for (const contestant of contestants) await assertWork(contestant);
for (const door of bothDoors) {
  const figures = new Map<string, Figures[]>();
  const own = contestants.filter((contestant) => contestant.doors.includes(door));
  for (const contestant of own) await measure(contestant, door, 3);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const contestant of own) {
      const known = figures.get(contestant.name) ?? [];
      figures.set(contestant.name, [...known, await measure(contestant, door, seconds)]);
    }
  }
  const medianOf = (name: string, key: keyof Figures) => takeMedian((figures.get(name) ?? []).map((each) => each[key]));
  const ours = medianOf('policies on', 'requestsPerSecond');
  const oursCpu = medianOf('policies on', 'cpuMs');
  const rows = own.map(({ name }) => [
    name,
    medianOf(name, 'requestsPerSecond').toFixed(0),
    medianOf(name, 'cpuMs').toFixed(3),
    medianOf(name, 'p99Ms').toFixed(1),
    `${(ours / medianOf(name, 'requestsPerSecond')).toFixed(2)}x`,
    `${(oursCpu / medianOf(name, 'cpuMs')).toFixed(2)}x`,
  ]);
  console.log(
    formatTable([[door, 'req/s', 'CPU ms', 'p99 ms', 'req/s: policies on / this', 'CPU: policies on / this'], ...rows]),
  );
}
await stack.disposeAsync();
process.exit(0);
