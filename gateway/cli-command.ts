/** What a command of the command line is that talks to a gateway: its flags, its help, and how it is run. */
import { parseArgs } from 'node:util';
import type { CliWorld } from './cli.ts';
import {
  type AdminCall,
  type AdminConnection,
  CliFailure,
  createAdminCall,
  type ExitCode,
  exitCodes,
  parseConnection,
} from './cli-admin.ts';
import { formatReasonLines, printable } from './cli-text.ts';

export interface CliFlag {
  readonly help: string;
  /** Name of the value; without it the flag is on or off. */
  readonly value?: string;
}

export interface CliInput {
  readonly positionals: readonly string[];
  /** The text of a flag. */
  text(name: string): string | undefined;
  /** A flag that is a whole number. */
  number(name: string): number | undefined;
  isOn(name: string): boolean;
  readonly call: AdminCall;
  readonly connection: AdminConnection;
  readonly world: CliWorld;
  /** Prints text for people, or with `--json` the answer for machines. */
  show(answer: unknown, text: string): void;
}

export interface CliCommand {
  readonly summary: string;
  /** `NAME`, `[ID]`: what stands behind the command. */
  readonly positionals: readonly string[];
  readonly flags?: Readonly<Record<string, CliFlag>>;
  /** Whether it changes something, so that a reason can be given for it. */
  readonly changes?: boolean;
  /** Further lines of the help. */
  readonly remarks?: string;
  /** Resolves with the exit code where it is not 0. */
  run(input: CliInput): Promise<ExitCode | undefined>;
}

const commonFlags: Readonly<Record<string, CliFlag>> = {
  admin: { value: 'URL', help: 'admin port of the gateway [SELVAGE_ADMIN, else http://127.0.0.1:4001]' },
  token: { value: 'TOKEN', help: 'bearer token; the variable is not seen in the list of processes [SELVAGE_TOKEN]' },
  json: { help: 'prints the answer as JSON, errors too' },
  help: { help: 'prints this' },
};

const reasonFlag: Readonly<Record<string, CliFlag>> = {
  reason: { value: 'TEXT', help: 'why; it stands in the audit log and in the history' },
};

/** All flags of a command, its own first. */
function listFlags({ flags, changes = false }: CliCommand): Readonly<Record<string, CliFlag>> {
  return { ...flags, ...(changes && reasonFlag), ...commonFlags };
}

/** Runs one command. Resolves with the exit code. Never rejects. */
export async function runCommand(
  name: string,
  command: CliCommand,
  argv: readonly string[],
  world: CliWorld,
): Promise<number> {
  const isJson = argv.includes('--json');
  try {
    const input = parseInput(name, command, argv, world);
    if (input === 'help') {
      world.stdout(buildHelp(name, command));
      return exitCodes.ok;
    }
    return (await command.run(input)) ?? exitCodes.ok;
  } catch (error) {
    if (!(error instanceof CliFailure)) throw error;
    if (isJson) world.stdout(`${JSON.stringify(error.problem, null, 2)}\n`);
    else world.stderr(describe(name, error));
    return error.exitCode;
  }
}

function describe(name: string, { exitCode, message, reasons }: CliFailure): string {
  if (exitCode === exitCodes.usage) return `${printable(message)}. See selvage ${name} --help\n`;
  if (reasons.length === 0) return `${printable(message)}\n`;
  return `${printable(message).replace(/\.$/, '')}:\n${formatReasonLines(reasons)}`;
}

function parseInput(name: string, command: CliCommand, argv: readonly string[], world: CliWorld): CliInput | 'help' {
  const { values, positionals } = parseFlags(listFlags(command), argv);
  if (values['help'] === true) return 'help';
  const text = (flag: string): string | undefined => {
    const value = values[flag];
    return typeof value === 'string' ? value : undefined;
  };
  const least = command.positionals.filter((positional) => !positional.startsWith('[')).length;
  const missing = command.positionals[positionals.length];
  if (positionals.length < least) throw new CliFailure(exitCodes.usage, `${missing} is missing`);
  if (positionals.length > command.positionals.length) {
    const unexpected = positionals[command.positionals.length];
    throw new CliFailure(exitCodes.usage, `Unexpected argument '${unexpected}' of ${name}`);
  }
  const { environment } = world;
  const connection = parseConnection(
    text('admin') ?? (environment['SELVAGE_ADMIN'] || 'http://127.0.0.1:4001'),
    text('token') ?? environment['SELVAGE_TOKEN'],
  );
  return {
    positionals,
    text,
    number: (flag) => parseNumber(flag, text(flag)),
    isOn: (flag) => values[flag] === true,
    call: createAdminCall(connection, text('reason')),
    connection,
    world,
    show: (answer, lines) => world.stdout(values['json'] === true ? `${JSON.stringify(answer, null, 2)}\n` : lines),
  };
}

function parseFlags(flags: Readonly<Record<string, CliFlag>>, argv: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(flags).map(([flag, { value }]) => [
      flag,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        ...(flag === 'help' && { short: 'h' }),
      },
    ]),
  );
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (error) {
    // The parser's messages go on with advice about positional arguments, which helps nobody here.
    throw new CliFailure(
      exitCodes.usage,
      error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error),
    );
  }
}

function parseNumber(flag: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,9}$/.test(value)) throw new CliFailure(exitCodes.usage, `--${flag} must be a whole number`);
  return Number(value);
}

/** `register NAME`, as in the list of commands. */
export function buildUsage(name: string, { positionals }: CliCommand): string {
  return [name, ...positionals].join(' ');
}

function buildHelp(name: string, command: CliCommand): string {
  const { summary, remarks } = command;
  const flags = Object.entries(listFlags(command))
    .map(([flag, { value, help }]) => `  ${`--${flag}${value === undefined ? '' : ` ${value}`}`.padEnd(22)}${help}\n`)
    .join('');
  return `${buildUsage(`selvage ${name}`, command)} [flags]: ${summary}
${remarks === undefined ? '' : `\n${remarks}\n`}
Flags
${flags}
Exit codes: 0 done, 1 refused (with reasons), 2 wrong usage, 3 the gateway is not reachable or cannot do it now.
`;
}
