/** `selvage graph`, `history` and `rollback`. */
import { isReason } from '../subgraphs/client-request.ts';
import { CliFailure, exitCodes } from './cli-admin.ts';
import type { CliCommand, CliInput } from './cli-command.ts';
import { fieldList, fieldText, formatChanges, formatReasonLines, formatTable, printable } from './cli-text.ts';

export const graph: CliCommand = {
  summary: 'shows the graph that serves, or prints its schema or the supergraph',
  positionals: ['[sdl|supergraph]'],
  async run(input) {
    const [what] = input.positionals;
    if (what === undefined) await showGraph(input);
    else if (what === 'sdl' || what === 'supergraph') {
      const { text } = await input.call('GET', `/graph/${what}`);
      // As it is, to the byte: what is printed goes into files and other tools.
      input.show({ [what]: text }, text.endsWith('\n') || text === '' ? text : `${text}\n`);
    } else throw new CliFailure(exitCodes.usage, `graph knows 'sdl' and 'supergraph', and not '${what}'`);
    return undefined;
  },
};

async function showGraph({ call, show }: CliInput): Promise<void> {
  const { body } = await call('GET', '/graph');
  const names = fieldList(body, 'services').map(String);
  const quarantined = fieldList(body, 'quarantined').map((entry) => {
    const reasons = fieldList(entry, 'reasons').filter(isReason);
    const serving = fieldText(entry, 'serving');
    const head = `${fieldText(entry, 'service')} is in quarantine${serving === '' ? '' : ` (serving: ${serving})`}`;
    return `${printable(head)}:\n${formatReasonLines(reasons)}`;
  });
  const head = `graph ${fieldText(body, 'id')}, revision ${fieldText(body, 'revision')}`;
  show(body, `${printable(head)}\nservices: ${printable(names.join(', ')) || 'none'}\n${quarantined.join('')}`);
}

export const history: CliCommand = {
  summary: 'lists the generations of the graph: who made them, when and why',
  positionals: [],
  async run({ call, show }) {
    const { body } = await call('GET', '/graph/history');
    const entries = Array.isArray(body) ? body : listEntries(body);
    const rows = entries.map((entry) => [
      fieldText(entry, 'number'),
      fieldText(entry, 'at'),
      fieldText(entry, 'author'),
      countChanges(entry),
      (fieldText(entry, 'id') || fieldText(entry, 'graph')).slice(0, 12),
      [fieldText(entry, 'action'), fieldList(entry, 'targets').join(', '), fieldText(entry, 'reason')]
        .filter((part) => part !== '')
        .join(' '),
    ]);
    const text = rows.length === 0 ? 'There is no history yet\n' : '';
    show(body, text || formatTable(['NUMBER', 'AT', 'AUTHOR', 'CHANGES', 'GRAPH', 'WHAT'], rows));
    return undefined;
  },
};

/** The list, whatever it is called. */
function listEntries(body: unknown): readonly unknown[] {
  const lists = ['entries', 'history', 'generations'].map((key) => fieldList(body, key));
  return lists.find((list) => list.length > 0) ?? [];
}

function countChanges(entry: unknown): string {
  const changes = fieldList(entry, 'changes');
  const breaking = changes.filter((change) => fieldText(change, 'criticality') === 'breaking').length;
  const count = fieldText(entry, 'changeCount') || fieldText(entry, 'changes') || String(changes.length);
  return breaking === 0 ? count : `${count} (${breaking} breaking)`;
}

export const rollback: CliCommand = {
  summary: 'makes the services what they were at a generation of the history',
  positionals: ['NUMBER'],
  changes: true,
  flags: {
    'dry-run': { help: 'only tells what it would change' },
    force: { help: 'also when that takes away what clients use' },
  },
  async run({ call, positionals: [number = ''], show, isOn }) {
    if (!/^\d{1,15}$/.test(number)) {
      throw new CliFailure(exitCodes.usage, `NUMBER must be a number of selvage history, and not '${number}'`);
    }
    const isDry = isOn('dry-run');
    const { body } = await call('POST', `/graph/rollback${isDry ? '?dryRun=1' : ''}`, {
      body: { to: Number(number), ...(isOn('force') && { force: true }) },
    });
    show(body, `${isDry ? 'would be ' : ''}${formatRollback(number, body)}`);
    return undefined;
  },
};

function formatRollback(number: string, body: unknown): string {
  const generation = fieldText(body, 'generation') || fieldText(body, 'number');
  const graphId = fieldText(body, 'graph') || fieldText(body, 'id');
  const head = [
    `rolled back to ${number}`,
    generation !== '' && `this is generation ${generation}`,
    graphId !== '' && `graph ${graphId}`,
  ].filter((part) => part !== false);
  const services = [
    ['as they were', 'restored'],
    ['there again', 'recreated'],
    ['out of the graph', 'takenOut'],
    ['left to the configuration', 'configured'],
  ].map(([words, key = '']) => {
    const names = fieldList(body, key).map(String);
    return names.length === 0 ? '' : `  ${words}: ${printable(names.join(', '))}\n`;
  });
  return `${printable(head.join(', '))}\n${services.join('')}${formatChanges(fieldList(body, 'changes'))}`;
}
