/** What the gateway of a soak is configured with, and how chaos changes that. */
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { balancingAlgorithms } from '../../subgraphs/load-balancing-options.ts';
import { federated } from '../support/subgraph.ts';
import { schemas } from './content.ts';
import { type ServiceKind, ServiceProcess } from './instances.ts';
import { pick } from './world.ts';

/** Three instances for REST, two for each subgraph. */
const kinds: readonly ServiceKind[] = ['rest', 'rest', 'rest', 'items', 'items', 'offers', 'offers'];

export function createProcesses(random: () => number): ServiceProcess[] {
  return kinds.map((kind) => new ServiceProcess(kind, random));
}

/** Health checks and breakers are quick, so that there is much going in and out. */
export function buildConfig(processes: readonly ServiceProcess[], workers: number): GatewayConfig {
  const instances = (kind: ServiceKind) => processes.filter((each) => each.kind === kind).map(({ url }) => ({ url }));
  const health = { interval: '1s', timeout: '1s' };
  const subgraph = (kind: 'items' | 'offers') => ({
    graphql: { kind: 'federation' as const, schema: federated(schemas[kind]) },
    instances: instances(kind),
    health,
  });
  return {
    store: 'memory',
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    shutdown: { delay: '0s', grace: '5s' },
    workers,
    limits: { bodyIdleTimeout: '3s' },
    policies: {
      timeout: '2s',
      deadline: '10s',
      retry: { attempts: 2, budget: '50%' },
      hedging: { budget: '10%' },
      circuitBreaker: { openFor: '500ms', minimumCalls: 20, failures: '60%' },
      outlierDetection: { interval: '2s', baseEjectionTime: '500ms', maxEjectionTime: '2s' },
    },
    services: {
      rest: {
        routes: [
          { match: { path: '/rest/ws' }, rewrite: '/ws', upgrade: {} },
          { match: { path: '/rest/*' }, rewrite: '/*' },
          { match: { path: '/cached/*' }, cache: { staleIfError: '2s' } },
        ],
        instances: instances('rest'),
        health,
      },
      items: subgraph('items'),
      offers: subgraph('offers'),
    },
  };
}

/** Another configuration, good or bad, whose answers are the same. */
export function varyConfig(config: GatewayConfig, random: () => number): string {
  if (random() < 0.2) return pick(random, ['', '{ "services": {', '{ "services": { "rest": { "routs": [] } } }']);
  return JSON.stringify({
    ...config,
    policies: {
      ...config.policies,
      timeout: pick(random, ['1s', '2s', '3s']),
      retry: { attempts: pick(random, [0, 1, 3]), budget: '50%' },
      ...(random() < 0.5 && { hedging: { budget: '0%' } }),
    },
    services: {
      ...config.services,
      rest: {
        ...config.services?.['rest'],
        loadBalancing: { algorithm: pick(random, balancingAlgorithms) },
      },
    },
  });
}
