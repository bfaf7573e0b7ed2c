/** The command line: `selvage`, `selvage check`, and so on. */
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { exitCodes } from './cli-admin.ts';
import { buildUsage, type CliCommand, runCommand } from './cli-command.ts';
import { describeFailure } from './cli-failure.ts';
import { graph, history, rollback } from './cli-graph.ts';
import { policies } from './cli-policies.ts';
import { register } from './cli-register.ts';
import { type ProcessEvents, runGateway } from './cli-run.ts';
import { deregister, drain, services } from './cli-services.ts';
import { environmentVariables, listFlagOverrides } from './config-environment.ts';
import { type LoadConfigOptions, loadConfig } from './config-file.ts';
import { GatewayConfig } from './config-schema.ts';
import type { Environment } from './config-yaml.ts';

/** The world around the command line. */
export interface CliWorld {
  /** The working directory. */
  readonly directory: string;
  readonly environment: Environment;
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: (text: string) => unknown;
  readonly stderr: (text: string) => unknown;
  readonly process: ProcessEvents;
}

const options = {
  config: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  'admin-host': { type: 'string' },
  'admin-port': { type: 'string' },
  workers: { type: 'string' },
  'log-level': { type: 'string' },
  generate: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

type Flags = { readonly [Name in keyof typeof options]?: string | boolean | undefined };
type Command = (flags: Flags, world: CliWorld) => Promise<number>;

const commands: Readonly<Record<string, Command>> = {
  start,
  check,
  demo,
  'print-config-schema': printConfigSchema,
  'hash-token': hashToken,
};

/** Those that talk to a gateway which runs. */
const adminCommands: Readonly<Record<string, CliCommand>> = {
  register,
  deregister,
  drain,
  services,
  graph,
  history,
  rollback,
  policies,
};

const help = `selvage: stitches GraphQL services into one endpoint and proxies REST routes

Usage: selvage [command] [flags]

Commands
  start                 runs the gateway (the default)
  check                 checks the configuration, prints every mistake, exits with 1 if there is one
  demo                  runs a gateway with demo services
  print-config-schema   prints the JSON Schema of the configuration
  hash-token            reads a token from standard input and prints its SHA-256; --generate makes a token

Commands that talk to a gateway which runs (each with --help, --json, --admin URL [SELVAGE_ADMIN], [SELVAGE_TOKEN])
${Object.entries(adminCommands)
  .map(([name, command]) => `  ${buildUsage(name, command).padEnd(22)}  ${command.summary}\n`)
  .join('')}
Flags
  --config FILE         configuration file [SELVAGE_CONFIG, else selvage.config.ts, selvage.yaml, ... in this directory]
  --host, --port        address of the public port [HOST, PORT]
  --admin-host, --admin-port
                        address of the admin port [ADMIN_HOST, ADMIN_PORT]
  --workers N           processes that answer requests, or auto for one per core [SELVAGE_WORKERS]
  --log-level LEVEL     debug, info, warn, error or silent [LOG_LEVEL]
  -h, --help            prints this
  -v, --version         prints the version

Other environment variables: ${Object.keys(environmentVariables)
  .filter((name) => !/HOST|PORT|LOG|WORKERS/.test(name))
  .join(', ')}. Order: defaults < file < environment < flags.
Signals: SIGTERM and SIGINT drain and stop (a second one stops at once), SIGHUP loads the configuration again.
Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 the gateway is not reachable or cannot do it now.
`;

/** Runs one command. Resolves with the exit code. */
export async function runCli(argv: readonly string[], world: CliWorld): Promise<number> {
  const [first = '', ...rest] = argv;
  // Ahead of the flags, because these commands have flags of their own, of which some are called the same.
  const adminCommand = Object.hasOwn(adminCommands, first) ? adminCommands[first] : undefined;
  if (adminCommand !== undefined) return await runCommand(first, adminCommand, rest, world);
  let flags: Flags;
  let positionals: string[];
  try {
    ({ values: flags, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true }));
  } catch (error) {
    // The parser's messages go on with advice about positional arguments, which helps nobody here.
    const message = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error);
    return refuse(world, message);
  }
  const name = positionals[0] ?? 'start';
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (flags.help === true) return print(world, help);
  if (flags.version === true) return print(world, `${await readVersion()}\n`);
  if (Object.hasOwn(adminCommands, name)) return refuse(world, `'${name}' must stand before its flags`);
  if (command === undefined) return refuse(world, `There is no command '${name}'`);
  if (positionals.length > 1) return refuse(world, `Unexpected argument '${positionals[1]}'`);
  if (flags.generate === true && name !== 'hash-token') return refuse(world, '--generate belongs to hash-token');
  try {
    return await command(flags, world);
  } catch (error) {
    world.stderr(`${describeFailure(error)}\n`);
    return 1;
  }
}

async function start(flags: Flags, world: CliWorld): Promise<number> {
  // The gateway brings all libraries; the other commands need none of them.
  const { createGateway } = await import('./gateway.ts');
  return await runGateway({
    config: buildLoadOptions(flags, world),
    createGateway,
    process: world.process,
    write: world.stdout,
  });
}

async function check(flags: Flags, world: CliWorld): Promise<number> {
  const { config, file } = await loadConfig(buildLoadOptions(flags, world));
  // Loaded when wanted: with them comes a good part of the gateway.
  if (config.plugins ?? config.graphql?.plugins) await (await import('./plugin-host.ts')).checkPlugins(config);
  const { findUnreachedInConfig } = await import('./route-check.ts');
  const warnings = findUnreachedInConfig(config).map(
    ({ service, label, why }) => `warning: no request reaches the route ${label} of ${service}: ${why}\n`,
  );
  return print(world, `${warnings.join('')}${file ?? 'no file, the defaults'}: the configuration is valid\n`);
}

async function demo(_flags: Flags, _world: CliWorld): Promise<number> {
  const { runDemo } = await import('../subgraphs/demo/run.ts');
  await runDemo({});
  return 0;
}

async function printConfigSchema(_flags: Flags, world: CliWorld): Promise<number> {
  const schema = { $schema: 'https://json-schema.org/draft/2020-12/schema', ...GatewayConfig };
  return print(world, `${JSON.stringify(schema, null, 2)}\n`);
}

async function hashToken(flags: Flags, world: CliWorld): Promise<number> {
  if (flags.generate === true) {
    // 256 bits: a token that cannot be guessed needs no slow hash.
    const token = `selvage_${randomBytes(32).toString('base64url')}`;
    return print(world, `token:  ${token}\nsha256: ${sha256(token)}\n`);
  }
  const token = (await readText(world.stdin)).trim();
  if (token === '') return refuse(world, 'There is no token on standard input');
  return print(world, `${sha256(token)}\n`);
}

function buildLoadOptions(flags: Flags, world: CliWorld): LoadConfigOptions {
  const texts = Object.entries(flags).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : []));
  return {
    directory: world.directory,
    environment: world.environment,
    file: typeof flags.config === 'string' ? flags.config : undefined,
    overrides: listFlagOverrides(Object.fromEntries(texts)),
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function readText(stream: AsyncIterable<Uint8Array | string>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

/** The manifest stands one directory up beside the sources, and two up beside the build. */
async function readVersion(): Promise<string> {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const manifest: unknown = JSON.parse(await readFile(new URL(place, import.meta.url), 'utf8'));
      if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
    } catch {
      // Not there: the next place.
    }
  }
  return 'unknown';
}

function print(world: CliWorld, text: string): number {
  world.stdout(text);
  return 0;
}

function refuse(world: CliWorld, message: string): number {
  world.stderr(`${message}. See selvage --help\n`);
  return exitCodes.usage;
}
