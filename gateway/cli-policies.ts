/** `selvage policies`: named policies at run time. */
import { CliFailure, exitCodes } from './cli-admin.ts';
import type { CliCommand, CliInput } from './cli-command.ts';
import { parseInputObject, readInputText } from './cli-input-file.ts';
import { field, fieldList, fieldText, formatTable, printable } from './cli-text.ts';

const actions: Readonly<Record<string, (input: CliInput) => Promise<void>>> = {
  list,
  show,
  put,
  delete: remove,
  history,
  rollback,
};

export const policies: CliCommand = {
  summary: 'lists named policies; shows, puts, deletes one; its history; rollback',
  positionals: ['[ACTION]', '[NAME]', '[FILE]'],
  changes: true,
  flags: {
    'dry-run': { help: 'put, rollback, delete: only tells whether it would be accepted' },
    revision: { value: 'N', help: 'put, rollback, delete: only if the policy is still at this revision' },
  },
  remarks: `Actions: list (the default), show NAME, put NAME FILE (JSON or YAML, - for standard input), delete NAME,
history NAME, rollback NAME REVISION.`,
  async run(input) {
    const [name = 'list', ...rest] = input.positionals;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      throw new CliFailure(exitCodes.usage, `policies knows ${Object.keys(actions).join(', ')}, and not '${name}'`);
    }
    const needed = name === 'list' ? 0 : name === 'put' || name === 'rollback' ? 2 : 1;
    const missing = ['NAME', name === 'put' ? 'FILE' : 'REVISION'][rest.length];
    if (rest.length < needed) throw new CliFailure(exitCodes.usage, `${missing} is missing`);
    if (rest.length > needed) throw new CliFailure(exitCodes.usage, `Unexpected argument '${rest[needed]}' of ${name}`);
    await action(input);
    return undefined;
  },
};

async function list({ call, show: print }: CliInput): Promise<void> {
  const { body } = await call('GET', '/policies');
  const rows = fieldList(body, 'policies').map((policy) => [
    fieldText(policy, 'name'),
    fieldText(policy, 'revision'),
    fieldText(policy, 'at'),
    fieldText(policy, 'author'),
    describeBindings(field(policy, 'bind')),
  ]);
  const text = rows.length === 0 ? 'There are no policies of the admin API\n' : '';
  print(body, text || formatTable(['NAME', 'REVISION', 'AT', 'AUTHOR', 'FOR'], rows));
}

/** `gateway, services a b, fields Query.c`. */
function describeBindings(bind: unknown): string {
  const parts = ['services', 'routes', 'types', 'fields'].map((level) => {
    const bound = fieldList(bind, level).map((entry) =>
      typeof entry === 'string' ? entry : `${fieldText(entry, 'service')}:${fieldText(entry, 'path')}`,
    );
    return bound.length === 0 ? '' : `${level} ${bound.join(' ')}`;
  });
  return [field(bind, 'gateway') === true ? 'gateway' : '', ...parts].filter((part) => part !== '').join(', ');
}

async function show(input: CliInput): Promise<void> {
  const { body } = await input.call('GET', pathOf(input));
  // JSON, to be changed in an editor and put again.
  input.show(body, `${JSON.stringify(field(body, 'definition'), null, 2)}\n`);
}

async function put(input: CliInput): Promise<void> {
  const [, , file = ''] = input.positionals;
  const body = parseInputObject(await readInputText(input.world, file, file), file, 'PUT /policies/NAME');
  await change(input, 'PUT', '', body);
}

async function rollback(input: CliInput): Promise<void> {
  const [, , to = ''] = input.positionals;
  if (!/^\d{1,15}$/.test(to)) {
    throw new CliFailure(exitCodes.usage, `REVISION must be one of selvage policies history, and not '${to}'`);
  }
  await change(input, 'POST', '/rollback', { to: Number(to) });
}

async function change(input: CliInput, method: string, path: string, body: object): Promise<void> {
  const { body: answer } = await input.call(method, `${pathOf(input)}${path}${queryOf(input)}`, {
    body,
    ifMatch: ifMatchOf(input),
  });
  const revision = `revision ${fieldText(answer, 'revision')}`;
  const isNew = fieldText(answer, 'created') === 'true';
  const isOther = fieldText(answer, 'changed') === 'true';
  const verb = isNew ? 'new' : isOther ? 'changed' : 'as it was';
  const is = input.isOn('dry-run') ? 'would be' : 'is';
  const name = fieldText(answer, 'policy');
  input.show(answer, `${printable(`${name} ${is} ${verb}${input.isOn('dry-run') ? '' : `, ${revision}`}`)}\n`);
}

async function remove(input: CliInput): Promise<void> {
  const [, name = ''] = input.positionals;
  await input.call('DELETE', `${pathOf(input)}${queryOf(input)}`, { ifMatch: ifMatchOf(input) });
  const isDry = input.isOn('dry-run');
  input.show({ policy: name, removed: !isDry }, `${printable(name)} ${isDry ? 'would be' : 'is'} removed\n`);
}

async function history(input: CliInput): Promise<void> {
  const { body } = await input.call('GET', `${pathOf(input)}/history`);
  const rows = fieldList(body, 'versions').map((version) => [
    fieldText(version, 'revision'),
    fieldText(version, 'at'),
    fieldText(version, 'author'),
    describeBindings(field(field(version, 'definition'), 'bind')),
  ]);
  input.show(body, formatTable(['REVISION', 'AT', 'AUTHOR', 'FOR'], rows));
}

function pathOf({ positionals }: CliInput): string {
  return `/policies/${encodeURIComponent(positionals[1] ?? '')}`;
}

function queryOf({ isOn }: CliInput): string {
  return isOn('dry-run') ? '?dryRun=1' : '';
}

function ifMatchOf({ number }: CliInput): string | undefined {
  const revision = number('revision');
  return revision === undefined ? undefined : `"${revision}"`;
}
