/** Which processes the demo consists of, where they listen, and how the gateway is configured. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DemoChildOptions } from './child-process.ts';
import { findFreePort } from './free-port.ts';

export interface StageOptions {
  /** The public port, if it is free; 0 lets the system choose all ports. */
  readonly port: number;
  readonly adminPort: number;
  /** Address of the public port. */
  readonly host: string;
  /** For the configuration and the logs. */
  readonly folder: string;
  /** The gateway's program, without extension. */
  readonly gateway: URL;
}

export interface DemoStage {
  readonly url: string;
  readonly adminUrl: string;
  readonly tokensUrl: string;
  readonly gateway: DemoChildOptions;
  readonly tokens: DemoChildOptions;
  readonly services: readonly DemoChildOptions[];
}

/** Name, number of instances, port of the first one. */
const cast: readonly (readonly [service: string, instances: number, firstPort: number])[] = [
  ['accounts', 2, 4101],
  ['products', 3, 4201],
  ['reviews', 2, 4301],
  ['inventory', 1, 4401],
  ['orders', 1, 4501],
];
const tokensPort = 4010;
/** The `aud` of every token. */
export const tokenAudience = 'shop';
const loopback = '127.0.0.1';

/** Chooses the ports and writes the gateway's configuration. Starts nothing. */
export async function setStage(options: StageOptions): Promise<DemoStage> {
  const { folder, host } = options;
  const taken = new Set<number>();
  const findPort = (preferred: number, address = loopback): Promise<number> =>
    findFreePort(options.port === 0 ? 0 : preferred, address, taken);
  const port = await findPort(options.port, host);
  const adminPort = await findPort(options.adminPort);
  const tokens: DemoChildOptions = {
    name: 'tokens',
    port: await findPort(tokensPort),
    program: new URL('./tokens', import.meta.url),
    environment: {},
    folder,
  };
  const tokensUrl = `http://${loopback}:${tokens.port}`;
  const adminUrl = `http://${loopback}:${adminPort}`;
  const services: DemoChildOptions[] = [];
  for (const [service, instances, firstPort] of cast) {
    for (let number = 1; number <= instances; number++) {
      services.push({
        name: `${service}-${number}`,
        port: await findPort(firstPort + number - 1),
        program: new URL(`./${service}`, import.meta.url),
        environment: { SELVAGE_ADMIN: adminUrl, INSTANCE_ID: `${service}-${number}`, ...unset },
        folder,
      });
    }
  }
  const file = join(folder, 'selvage.json');
  await writeFile(file, JSON.stringify(buildConfig({ host, port, adminPort, tokensUrl }), null, 2));
  return {
    url: `http://${host === '0.0.0.0' || host === '::' ? loopback : host}:${port}`,
    adminUrl,
    tokensUrl,
    gateway: {
      name: 'gateway',
      port,
      program: options.gateway,
      argv: ['--config', file],
      environment: gatewayEnvironment,
      folder,
    },
    tokens: withPort(tokens),
    services: services.map(withPort),
  };
}

/** What the user's shell says about other services must not reach these. */
const unset = { HOST: undefined, INSTANCE_URL: undefined, SELVAGE_TOKEN: undefined };
/** The environment comes before the file, so what is settled there must not stand here. */
const gatewayEnvironment = {
  HOST: undefined,
  PORT: undefined,
  ADMIN_HOST: undefined,
  ADMIN_PORT: undefined,
  SELVAGE_STORE: undefined,
  SELVAGE_CONFIG: undefined,
  LOG_LEVEL: undefined,
};

function withPort(options: DemoChildOptions): DemoChildOptions {
  return { ...options, environment: { ...options.environment, PORT: String(options.port) } };
}

interface Places {
  readonly host: string;
  readonly port: number;
  readonly adminPort: number;
  readonly tokensUrl: string;
}

/** A configuration with a little of everything. No service stands in it: they all register themselves. */
function buildConfig({ host, port, adminPort, tokensUrl }: Places) {
  return {
    listen: { host, port },
    admin: { host: loopback, port: adminPort },
    store: 'memory',
    authentication: {
      jwt: [{ issuer: tokensUrl, audience: tokenAudience, jwksUri: `${tokensUrl}/jwks`, algorithms: ['ES256'] }],
    },
    policies: {
      timeout: '3s',
      rateLimit: [{ name: 'per-viewer', limit: 600, window: '1m', key: 'viewer' }],
    },
    graphql: { graphiql: true },
    shutdown: { grace: '5s' },
  };
}
