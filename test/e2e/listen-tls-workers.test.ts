import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import { request as requestPlain } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { createAuthority, certificatesSkipReason as skip, type TestCertificate } from '../support/certificates.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { type GatewayProcess, makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

/** Processes start one after the other, while others keep the machine busy. */
const startPatienceMs = 60_000;
const servername = 'gateway.example';

async function setUp(t: TestContext, config: GatewayConfig = {}, listen: GatewayConfig['listen'] = {}) {
  const authority = await createAuthority(t);
  const issue = (name: string) => authority.issue(name, { usage: 'serverAuth', san: `DNS:${servername}` });
  const folder = await makeFolder(t);
  const files = { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  // Each file is replaced as a whole; between the two they do not fit.
  const put = async (certificate: string, key: string): Promise<void> => {
    for (const [from, to] of [
      [certificate, files.certificate],
      [key, files.key],
    ] as const) {
      await copyFile(from, `${to}.new`);
      await rename(`${to}.new`, to);
    }
  };
  const first = await issue('first');
  await put(first.certificateFile, first.keyFile);
  const rest = await startServer(t, (_incoming, response) => response.end('ok'));
  const gateway = await startGatewayProcess(t, folder, {
    workers: 2,
    services: { rest: { instances: [{ url: rest.url }], routes: [{ match: { path: '/a' } }] } },
    ...config,
    listen: { ...listen, tls: files },
  });
  const count = (message: string): number => gateway.lines.filter(({ msg }) => msg === message).length;
  await until(() => count('a worker serves') === 2, 'both serve', startPatienceMs);
  return { authority, issue, put, first, folder, gateway, count };
}

/** The serial numbers of the certificates that so many clients get. */
async function listSerials(url: string, clients = 8): Promise<Set<string>> {
  const port = Number(new URL(url).port);
  const serials = Array.from({ length: clients }, async () => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, servername });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  });
  return new Set(await Promise.all(serials));
}

/** Asks over a few connections that are kept, and over new ones, until it is told to end. Resolves with what failed. */
function load(t: TestContext, url: string, ca: string): () => Promise<{ answered: number; failures: unknown[] }> {
  let goesOn = true;
  let answered = 0;
  const failures: unknown[] = [];
  t.after(() => {
    goesOn = false;
  });
  const agents = [new Agent({ keepAlive: true, maxSockets: 1 }), new Agent({ keepAlive: true, maxSockets: 1 }), false];
  const running = agents.map(async (agent) => {
    while (goesOn) {
      try {
        const sent = request(`${url}/a`, { agent: agent as Agent, ca, servername }).end();
        const [response] = await once(sent, 'response');
        response.resume();
        await once(response, 'end');
        if (response.statusCode === 200) answered++;
        else failures.push(response.statusCode);
      } catch (error) {
        failures.push(error);
      }
    }
  });
  return async () => {
    goesOn = false;
    await Promise.all(running);
    for (const agent of agents) if (agent !== false) (agent as Agent).destroy();
    return { answered, failures };
  };
}

/** Where so many clients of plain HTTP are led to. */
async function listTargets(from: string, clients = 8): Promise<Set<string>> {
  const targets = Array.from({ length: clients }, async () => {
    const sent = requestPlain(from, { path: '/a?b', headers: { host: servername }, agent: false }).end();
    const [response] = await once(sent, 'response');
    response.resume();
    return `${response.statusCode} ${response.headers.location}`;
  });
  return new Set(await Promise.all(targets));
}

const redirects = ({ lines }: GatewayProcess) =>
  lines.filter(({ msg }) => msg === 'redirecting to HTTPS').map(({ url }) => String(url));

function isWithin(some: Set<string>, all: Set<string>): boolean {
  return [...some].every((one) => all.has(one));
}

test('certificates that change reach every worker, without a failed request, and bad ones none', {
  skip,
}, async (t) => {
  const { authority, issue, put, first, gateway, count } = await setUp(t);
  const old = await listSerials(gateway.url);
  assert.equal(old.size, 1);
  const session = await connectHttp2(t, gateway.url, { ca: authority.certificate, servername });
  const stop = load(t, gateway.url, authority.certificate);

  await put(first.certificateFile, authority.keyFile);
  await until(() => count('certificates are bad: the old ones serve on') === 2, 'both workers say so');
  assert.deepEqual(await listSerials(gateway.url), old);

  const second = await issue('second');
  await put(second.certificateFile, second.keyFile);
  await until(async () => !isWithin(await listSerials(gateway.url), old), 'a worker has it');
  await until(() => count('certificates were read again') === 2, 'both have it');
  const fresh = await listSerials(gateway.url, 12);
  assert.deepEqual([fresh.size, isWithin(fresh, old)], [1, false]);
  assert.equal((await askHttp2(session, '/a', { ':authority': servername })).status, 200, 'open connections go on');
  const { answered, failures } = await stop();
  assert.deepEqual(failures, []);
  assert.ok(answered > 0);
  const workers = new Set(gateway.lines.filter(({ msg }) => msg === 'request').map(({ worker }) => worker));
  assert.equal(workers.size, 2, 'both were asked');
});

test('a worker that takes the place of a dead one has the certificates of now, or waits for good ones', {
  skip,
}, async (t) => {
  const { authority, issue, put, gateway, count } = await setUp(t);
  const old = await listSerials(gateway.url);
  const second: TestCertificate = await issue('second');
  await put(second.certificateFile, second.keyFile);
  await until(() => count('certificates were read again') === 2, 'both have it');
  const kill = (index: number): void => {
    const served = gateway.lines.filter(({ msg }) => msg === 'a worker serves');
    process.kill(Number(served[index]?.['pid']), 'SIGKILL');
  };
  kill(0);
  await until(() => count('a worker serves') === 3, 'another one serves', startPatienceMs);
  const fresh = await listSerials(gateway.url, 12);
  assert.deepEqual([fresh.size, isWithin(fresh, old)], [1, false]);

  await put(second.certificateFile, authority.keyFile);
  kill(1);
  await until(() => count('a worker cannot start') > 0, 'there is nothing to start with', startPatienceMs);
  assert.deepEqual(await listSerials(gateway.url), fresh, 'the other one serves on');
  await put(second.certificateFile, second.keyFile);
  await until(() => count('a worker serves') === 4, 'it starts', startPatienceMs);
  assert.deepEqual(await listSerials(gateway.url), fresh);
});

test('plain HTTP is led to the port of HTTPS by every worker, also by those that come later', { skip }, async (t) => {
  const { authority, folder, gateway, count } = await setUp(t, {}, { redirect: { port: 0 } });
  const [from] = redirects(gateway);
  assert.ok(from !== undefined);
  assert.deepEqual(new Set(redirects(gateway)), new Set([from]), 'one port for all');
  const to = new Set([`308 https://${servername}:${new URL(gateway.url).port}/a?b`]);
  assert.deepEqual(await listTargets(from), to);

  const [victim] = gateway.lines.filter(({ msg }) => msg === 'a worker serves');
  process.kill(Number(victim?.['pid']), 'SIGKILL');
  await until(() => count('a worker serves') === 3, 'another one serves', startPatienceMs);
  assert.deepEqual(await listTargets(from), to);

  const stop = load(t, gateway.url, authority.certificate);
  const file = join(folder, 'selvage.json');
  const config = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...config, limits: { maxHeaderSize: '64kb' } }));
  await until(() => count('workers are replaced for settings that a process keeps') === 1, 'it begins');
  while (count('a worker was replaced') < 2) assert.deepEqual(await listTargets(from, 2), to);
  assert.deepEqual(await listTargets(from), to);
  assert.deepEqual(new Set(redirects(gateway)), new Set([from]));
  const { failures } = await stop();
  assert.deepEqual(failures, []);
  assert.equal(await gateway.end('SIGTERM'), 0);
  await assert.rejects(listTargets(from, 1), 'the port is closed');
});
