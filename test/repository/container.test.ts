import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { parseConfig } from '../../gateway/config.ts';
import { parseConfigText } from '../../gateway/config-yaml.ts';

interface ComposeService {
  readonly image: string;
  readonly restart: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly networks: readonly string[];
  readonly ports?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}

const root = new URL('../../', import.meta.url);

async function readCompose(): Promise<Compose> {
  return parse(await readFile(new URL('docker-compose.yml', root), 'utf8'), { merge: true });
}

/** The default of a variable as Compose interpolates it. */
function defaultOf(text: string, name: string): string {
  return new RegExp(`\\$\\{${name}:-([^}]*)\\}`).exec(text)?.[1] ?? assert.fail(`${name} has no default`);
}

describe('docker-compose.yml', () => {
  it('runs two gateways and as many instances of each demo service as it says', async () => {
    const names = Object.keys((await readCompose()).services);
    const counts = Object.groupBy(names, (name) => name.replace(/-\d+$/, ''));
    assert.deepEqual(Object.fromEntries(Object.entries(counts).map(([name, list]) => [name, list?.length])), {
      gateway: 2,
      redis: 1,
      accounts: 2,
      products: 3,
      reviews: 2,
      inventory: 1,
      orders: 2,
    });
  });

  it('gives each instance its own URL, and both gateways to register at', async () => {
    const { services } = await readCompose();
    for (const [name, service] of Object.entries(services).filter(([, { command }]) =>
      command?.[0]?.includes('demo'),
    )) {
      assert.equal(service.environment?.['INSTANCE_URL'], `http://${name}:4100`);
      assert.equal(service.environment?.['PORT'], '4100');
      const gateways = (service.environment?.['SELVAGE_ADMIN'] ?? '').split(',').map((url) => new URL(url).hostname);
      assert.deepEqual(gateways, ['gateway-1', 'gateway-2']);
      assert.deepEqual(service.command, [`subgraphs/demo/${name.replace(/-\d+$/, '')}.ts`]);
      assert.ok(service.healthcheck !== undefined);
    }
  });

  it('pins images, restarts what fails, and names only what exists', async () => {
    const { services } = await readCompose();
    for (const [name, service] of Object.entries(services)) {
      assert.match(service.image, /^[a-z/]+:\d+\.\d+\.\d+/, name);
      assert.equal(service.restart, 'unless-stopped', name);
      for (const other of Object.keys(service.depends_on ?? {})) assert.ok(services[other] !== undefined, other);
    }
  });

  it('publishes no admin port beyond the machine', async () => {
    const { services } = await readCompose();
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    assert.equal(ports.length, 4);
    for (const port of ports.filter((text) => text.endsWith(':4001'))) assert.ok(port.startsWith('127.0.0.1:'), port);
  });

  it('has a configuration that the gateway takes, with the hash of the token that services have', async () => {
    const { configs, services } = await readCompose();
    const content = configs['gateway']?.content ?? '';
    const { value, mistakes } = parseConfigText(content, 'compose', {});
    assert.deepEqual(mistakes, []);
    const [token] = parseConfig(value).admin?.tokens ?? [];
    const secret = defaultOf(services['accounts-1']?.environment?.['SELVAGE_TOKEN'] ?? '', 'SELVAGE_TOKEN');
    assert.equal(token?.sha256, createHash('sha256').update(secret).digest('hex'));
    const demo = new Set(Object.keys(services).map((name) => name.replace(/-\d+$/, '')));
    for (const name of token?.services ?? []) assert.ok(demo.has(name), name);
    assert.equal(token?.services?.length, demo.size - 2);
  });
});

describe('Dockerfile', () => {
  it('stands on the Node that the npm package `node` brings, in every stage', async () => {
    const text = await readFile(new URL('Dockerfile', root), 'utf8');
    const manifest = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));
    const images = [...text.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
    assert.deepEqual(images, Array(2).fill(`node:${manifest.dependencies.node}-bookworm-slim`));
  });

  it('does not run as root, and tells its health', async () => {
    const text = await readFile(new URL('Dockerfile', root), 'utf8');
    assert.match(text, /^USER node$/m);
    assert.match(text, /HEALTHCHECK .*\n.*\/health\/live/);
  });

  it('copies only what .dockerignore lets through', async () => {
    const text = await readFile(new URL('Dockerfile', root), 'utf8');
    const allowed = (await readFile(new URL('.dockerignore', root), 'utf8')).split('\n');
    const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) => (match[1] ?? '').split(' '));
    assert.ok(copied.length > 5);
    for (const name of copied) assert.ok(allowed.includes(`!${name}`), name);
  });
});
