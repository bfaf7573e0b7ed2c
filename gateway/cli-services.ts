/** `selvage services`, `drain` and `deregister`. */

import { isReason } from '../subgraphs/client-request.ts';
import type { ExitCode } from './cli-admin.ts';
import type { CliCommand, CliInput } from './cli-command.ts';
import { field, fieldList, fieldText, formatReasonLines, formatTable, printable } from './cli-text.ts';

export const services: CliCommand = {
  summary: 'lists the services, or the instances of one, with health and leases',
  positionals: ['[NAME]'],
  async run({ call, positionals: [name], show }) {
    if (name === undefined) {
      const { body } = await call('GET', '/services');
      show(body, formatServices(fieldList(body, 'services')));
    } else {
      const { body } = await call('GET', `/services/${encodeURIComponent(name)}`);
      show(body, formatService(body));
    }
    return undefined;
  },
};

function formatServices(all: readonly unknown[]): string {
  if (all.length === 0) return 'There are no services\n';
  const rows = all.map((service) => {
    const instances = fieldList(service, 'instances');
    const healthy = instances.filter((instance) => fieldText(instance, 'state') === 'healthy');
    return [
      fieldText(service, 'name'),
      describeKind(service),
      `${healthy.length}/${instances.length}`,
      formatLease(instances),
      fieldText(service, 'origin'),
      fieldText(service, 'revision'),
      fieldList(service, 'quarantine').length > 0 ? 'quarantined' : '',
    ];
  });
  return formatTable(['NAME', 'KIND', 'HEALTHY', 'LEASE', 'FROM', 'REVISION', ''], rows);
}

function describeKind(service: unknown): string {
  const definition = field(service, 'definition');
  const routes = fieldList(definition, 'routes').length > 0 ? ['rest'] : [];
  const graphql = field(definition, 'graphql') === undefined ? [] : ['graphql'];
  const known = fieldText(field(service, 'schema'), 'kind');
  return [...(known === '' ? graphql : [known]), ...routes].join('+');
}

/** The lease that ends first. */
function formatLease(instances: readonly unknown[]): string {
  const left = instances
    .map((instance) => field(instance, 'leaseRemainingSeconds'))
    .filter((seconds) => typeof seconds === 'number');
  return left.length === 0 ? '-' : `${Math.round(Math.min(...left))} s`;
}

function formatService(service: unknown): string {
  const head = `${fieldText(service, 'name')}: ${describeKind(service)}, from ${fieldText(service, 'origin')}, revision ${fieldText(service, 'revision')}`;
  const quarantine = fieldList(service, 'quarantine').filter(isReason);
  const trouble =
    quarantine.length === 0 ? '' : `In quarantine, its last good schema serves:\n${formatReasonLines(quarantine)}`;
  const instances = fieldList(service, 'instances');
  if (instances.length === 0) return `${printable(head)}\n${trouble}It has no instances\n`;
  const rows = instances.map((instance) => [
    fieldText(instance, 'id'),
    fieldText(instance, 'url'),
    fieldText(instance, 'state'),
    fieldText(instance, 'breaker'),
    fieldText(instance, 'inFlight'),
    fieldText(instance, 'weight'),
    fieldText(instance, 'zone') || '-',
    fieldText(instance, 'version') || '-',
    formatLease([instance]),
    fieldText(instance, 'lastFailure'),
  ]);
  const columns = [
    'INSTANCE',
    'URL',
    'STATE',
    'BREAKER',
    'CALLS',
    'WEIGHT',
    'ZONE',
    'VERSION',
    'LEASE',
    'LAST FAILURE',
  ];
  return `${printable(head)}\n${trouble}${formatTable(columns, rows)}`;
}

export const drain: CliCommand = {
  summary: 'lets an instance end its calls and gives it no new ones',
  positionals: ['NAME', 'ID'],
  changes: true,
  async run({ call, positionals, show }) {
    const [name = '', id = ''] = positionals;
    const { body } = await call('POST', `${buildInstancePath(name, id)}/drain`);
    show(body, printableLine(`${name}/${id} takes no new calls; deregister it when it has ended those it has`));
    return undefined;
  },
};

export const deregister: CliCommand = {
  summary: 'removes an instance, or without ID the whole service',
  positionals: ['NAME', '[ID]'],
  changes: true,
  run: (input) => (input.positionals[1] === undefined ? removeService(input) : removeInstance(input)),
};

async function removeService({ call, positionals, show }: CliInput): Promise<ExitCode | undefined> {
  const [name = ''] = positionals;
  await call('DELETE', `/services/${encodeURIComponent(name)}`);
  show({ service: name, removed: true }, printableLine(`${name} is removed with all its instances`));
  return undefined;
}

async function removeInstance({ call, positionals, show }: CliInput): Promise<ExitCode | undefined> {
  const [name = '', id = ''] = positionals;
  await call('DELETE', buildInstancePath(name, id));
  show({ service: name, id, removed: true }, printableLine(`${name}/${id} is removed`));
  return undefined;
}

/** The path of an instance in the admin API. */
export function buildInstancePath(name: string, id: string): string {
  return `/services/${encodeURIComponent(name)}/instances/${encodeURIComponent(id)}`;
}

function printableLine(text: string): string {
  return `${printable(text)}\n`;
}
