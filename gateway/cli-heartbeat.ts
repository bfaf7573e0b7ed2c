/** `selvage register --heartbeat`: the client library as a process of its own, for services that are not Node. */

import { type ClientEvent, register } from '../subgraphs/client.ts';
import type { ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { CliWorld } from './cli.ts';
import { CliFailure, type ExitCode, exitCodes } from './cli-admin.ts';
import type { CliInput } from './cli-command.ts';
import type { DefinitionSource } from './cli-definition.ts';
import type { CliLease } from './cli-register.ts';
import { formatReasonLines, printable } from './cli-text.ts';
import { watchConfig } from './config-watch.ts';

/** A terminal signals its whole group, and npm and `bin/selvage.js` pass signals on: that is one signal, not two. */
const sameSignalMs = 500;
const exitCodeOfImpatience = 130;
const gatewayRetryMs = 1_000;

/** Runs until a signal, then drains and deregisters. */
export async function runHeartbeat(
  input: CliInput,
  source: DefinitionSource,
  { leaseSeconds, drainMs, ...instance }: CliLease,
): Promise<ExitCode | undefined> {
  const isWatching = input.isOn('watch');
  if (isWatching && source.files.length === 0) {
    throw new CliFailure(exitCodes.usage, '--watch needs a file: --sdl FILE or --definition FILE');
  }
  const tell = createTeller(input);
  await using ending = listenForEnd(input.world.process);
  const definition = await readWhenReachable(source, tell, ending.ended);
  if (definition === 'ended') return undefined;
  await using registration = register({
    service: input.positionals[0] ?? '',
    admin: input.connection.admin,
    token: input.connection.token,
    instance,
    definition,
    leaseSeconds,
    drainMs,
    drainOnSigterm: false, // the process is ours
    onEvent: (event) => tell(event, describeEvent(event)),
  });
  const watches = await Promise.all(
    (isWatching ? source.files : []).map((file) =>
      watchConfig({
        file,
        load: () => source.reread(),
        onChange: (next) => registration.update(next === undefined ? {} : { definition: next as ServiceDefinition }),
        onError: (error) => tell({ type: 'unreadable', message: messageOf(error) }, `${messageOf(error)}\n`),
      }),
    ),
  );
  await ending.ended;
  for (const watch of watches) await watch.close();
  return undefined;
}

type Teller = (event: unknown, text: string) => void;

/** A line per event; what goes wrong goes where errors go. */
function createTeller({ isOn, world }: CliInput): Teller {
  return (event, text) => {
    if (isOn('json'))
      world.stdout(`${JSON.stringify(event, (_, value) => (value instanceof Error ? value.name : value))}\n`);
    else world.stdout(text);
  };
}

/** A process that starts before its gateway waits for it, as the library does. */
async function readWhenReachable(
  source: DefinitionSource,
  tell: Teller,
  ended: Promise<void>,
): Promise<ServiceDefinition | undefined | 'ended'> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      return (await source.read()).definition as ServiceDefinition | undefined;
    } catch (error) {
      if (!(error instanceof CliFailure) || error.exitCode !== exitCodes.unreachable) throw error;
      if (isFirst) tell({ type: 'unreachable', message: error.message }, `${printable(error.message)}; trying on\n`);
    }
    const { promise: rested, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, gatewayRetryMs);
    const isEnd = await Promise.race([rested.then(() => false), ended.then(() => true)]);
    clearTimeout(timer);
    if (isEnd) return 'ended';
  }
}

/** Resolves at the first signal, and keeps the process alive until then. The second signal ends it at once. */
function listenForEnd(process: CliWorld['process']): { readonly ended: Promise<void> } & AsyncDisposable {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const alive = setInterval(() => {}, 2 ** 30);
  let signalledAtMs: number | undefined;
  const onSignal = (): void => {
    if (signalledAtMs !== undefined && performance.now() - signalledAtMs >= sameSignalMs) {
      process.exit(exitCodeOfImpatience);
    }
    signalledAtMs ??= performance.now();
    resolve();
  };
  const signals = ['SIGTERM', 'SIGINT'];
  for (const signal of signals) process.on(signal, onSignal);
  return {
    ended,
    async [Symbol.asyncDispose]() {
      clearInterval(alive);
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

function describeEvent(event: ClientEvent): string {
  const who = printable(`${event.service}/${event.instance}`);
  if (event.type === 'refused') {
    const head = printable(`${who}: refused (${event.status}): ${event.message}`);
    return `${head}; trying again in ${seconds(event.retryInMs)}\n${formatReasonLines(event.reasons)}`;
  }
  if (event.type === 'unreachable') {
    return `${who}: ${event.admin} cannot be reached; trying again in ${seconds(event.retryInMs)}\n`;
  }
  if (event.type === 'deregistered' && !event.confirmed) {
    return `${who}: ${event.admin} could not be told; its lease will end\n`;
  }
  return `${who}: ${event.type} at ${event.admin}\n`;
}

function seconds(ms: number): string {
  return `${Math.max(0.1, Math.round(ms / 100) / 10)} s`;
}

function messageOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error));
}
