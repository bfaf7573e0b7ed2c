/** `selvage register`: once, as a check in a pipeline, or for as long as the service runs. */
import { buildStaticId } from '../subgraphs/definition-check.ts';
import { CliFailure, type ExitCode, exitCodes } from './cli-admin.ts';
import type { CliCommand, CliInput } from './cli-command.ts';
import { type DefinitionSource, openDefinition } from './cli-definition.ts';
import { runHeartbeat } from './cli-heartbeat.ts';
import { buildInstancePath } from './cli-services.ts';
import { field, fieldList, fieldText, formatChanges, printable } from './cli-text.ts';

export const register: CliCommand = {
  summary: 'registers an instance of a service, and the service where the gateway has none of this name',
  positionals: ['NAME'],
  changes: true,
  flags: {
    url: { value: 'URL', help: 'where the instance is: scheme, host and port' },
    sdl: { value: 'FILE', help: 'its schema; - reads it from standard input [else the instance is asked]' },
    path: { value: 'PATH', help: 'path of its GraphQL endpoint [/graphql]' },
    definition: { value: 'FILE', help: 'the whole definition of the service, JSON or YAML; - reads standard input' },
    id: { value: 'ID', help: 'name of the instance [host and port of the URL]' },
    version: { value: 'VERSION', help: 'what it runs; a new version makes the gateway look at the schema again' },
    zone: { value: 'ZONE', help: 'where it runs' },
    weight: { value: 'NUMBER', help: 'share of the load in relation to the others [1]' },
    lease: { value: 'SECONDS', help: 'the gateway forgets the instance when it hears nothing for so long [30]' },
    'dry-run': { help: 'only tells whether it would be accepted, and what it would change' },
    heartbeat: { help: 'goes on: renews the lease, registers again what was forgotten; drains at SIGTERM' },
    watch: { help: 'as --heartbeat, and registers again when the file of --sdl or --definition changes' },
    drain: { value: 'SECONDS', help: 'time between draining and deregistering at the end of a heartbeat [0]' },
  },
  remarks: `Of a service that the gateway has already only what is named is changed: --sdl and --path in its definition,
--definition all of it, and without them nothing but the instance.`,
  async run(input) {
    const source = openDefinition(input);
    const instance = readInstance(input);
    const lease = { leaseSeconds: input.number('lease') ?? 30, drainMs: (input.number('drain') ?? 0) * 1_000 };
    if (input.isOn('dry-run')) return await check(input, source, instance);
    if (instance === undefined) throw new CliFailure(exitCodes.usage, '--url is missing');
    if (input.isOn('heartbeat') || input.isOn('watch'))
      return await runHeartbeat(input, source, { ...instance, ...lease });
    return await registerOnce(input, source, { ...instance, ...lease });
  },
};

export interface CliInstance {
  readonly id: string;
  readonly url: string;
  readonly version?: string;
  readonly zone?: string;
  readonly weight?: number;
}

const maxTries = 5;

/** An instance with what `register` needs beside. */
export interface CliLease extends CliInstance {
  readonly leaseSeconds: number;
  readonly drainMs: number;
}

function readInstance({ text, number }: CliInput): CliInstance | undefined {
  const url = text('url');
  if (url === undefined) return undefined;
  if (!URL.canParse(url)) throw new CliFailure(exitCodes.usage, '--url must be a URL such as http://10.0.0.5:8080');
  const id = text('id') ?? buildStaticId({ url });
  const [version, zone, weight] = [text('version'), text('zone'), number('weight')];
  return {
    id,
    url,
    ...(version !== undefined && { version }),
    ...(zone !== undefined && { zone }),
    ...(weight !== undefined && { weight }),
  };
}

async function registerOnce(
  input: CliInput,
  source: DefinitionSource,
  { drainMs: _, id, ...registration }: CliLease,
): Promise<ExitCode | undefined> {
  const { call, show } = input;
  const [name = ''] = input.positionals;
  const service = await putDefinition(input, source);
  const made = (await call('PUT', buildInstancePath(name, id), { body: registration })).body;
  const head = `${name}/${id} is registered for ${registration.leaseSeconds} s; repeat this before they are over, or use --heartbeat`;
  const changes = [...fieldList(service, 'changes'), ...fieldList(made, 'changes')];
  show({ service, instance: made }, `${printable(head)}\n${formatGraph(made)}${formatChanges(changes)}`);
  return undefined;
}

/** Instances of a service often start together, and each reads what is there before it writes: whoever was late reads again. */
async function putDefinition({ call, positionals: [name = ''] }: CliInput, source: DefinitionSource): Promise<unknown> {
  for (let tries = 1; ; tries++) {
    const { definition, ifMatch } = await source.read();
    if (definition === undefined) return null;
    const accept = tries === maxTries ? [] : [412];
    const path = `/services/${encodeURIComponent(name)}`;
    const { status, body } = await call('PUT', path, { body: definition, ifMatch, accept });
    if (status !== 412) return body;
  }
}

/** The instance stands in the definition here, so that the gateway asks it for its schema and looks at its address. */
async function check(
  { call, positionals: [name = ''], show }: CliInput,
  source: DefinitionSource,
  instance: CliInstance | undefined,
): Promise<ExitCode | undefined> {
  const { definition, current } = await source.read();
  const wanted = definition ?? current;
  const named = fieldList(wanted, 'instances').filter((known) => fieldText(known, 'id') !== instance?.id);
  const instances = [...(instance === undefined ? [] : [instance]), ...named];
  const body = { ...(wanted as object), ...(instances.length > 0 && { instances }) };
  const { body: answer } = await call('PUT', `/services/${encodeURIComponent(name)}?dryRun=1`, { body });
  const unasked = fieldText(field(answer, 'unasked'), 'message');
  const changes = fieldList(answer, 'changes');
  const words =
    unasked === ''
      ? `${name} would be accepted, with ${changes.length === 1 ? '1 change' : `${changes.length} changes`} of the graph`
      : `${name} would be accepted, but its schema was not looked at: ${unasked}`;
  show(answer, `${printable(words)}\n${formatChanges(changes)}`);
  // A pipeline must not take a service that was down for one whose schema fits.
  return unasked === '' ? undefined : exitCodes.unreachable;
}

function formatGraph(answer: unknown): string {
  return `${printable(`graph ${fieldText(answer, 'graph')}, revision ${fieldText(answer, 'revision')}`)}\n`;
}
