/**
 * Instances out of the DNS. A and AAAA give addresses, SRV (RFC 2782) also ports, priorities and weights. Looked up again
 * when the TTL of the answer is over.
 */
import { Resolver } from 'node:dns/promises';
import { parseDurationMs } from '../../policies/units.ts';
import type { DiscoveryOptions } from './discovery-options.ts';
import { buildInstanceId, buildInstanceUrl, type DiscoveredInstance, DiscoveryError, type Watch } from './provider.ts';
import type { DnsLookup } from './service-discovery.ts';

interface Answer {
  readonly instances: readonly DiscoveredInstance[];
  /** Of the record that is over first; infinite where none tells. */
  readonly ttlSeconds: number;
}

interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

const shortestPauseMs = 1_000;
/** Targets of one SRV answer that are looked up. */
const maxTargets = 500;

export function createDnsWatch(options: DiscoveryOptions['dns'], lookup: DnsLookup): Watch {
  const intervalMs = parseDurationMs(lookup.interval ?? '30s');
  return async ({ signal, report, sleep }) => {
    while (!signal.aborted) {
      const { instances, ttlSeconds } = await look(options, lookup, signal);
      report(instances);
      await sleep(Math.max(shortestPauseMs, Math.min(intervalMs, ttlSeconds * 1_000)));
    }
  };
}

async function look(options: DiscoveryOptions['dns'], lookup: DnsLookup, signal: AbortSignal): Promise<Answer> {
  // A new one each time: it reads the system's servers anew, and one that is stopped disturbs nobody else.
  const resolver = new Resolver({ timeout: parseDurationMs(options?.timeout ?? '2s'), tries: 2 });
  if (options?.servers !== undefined) resolver.setServers(options.servers);
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel);
  try {
    return lookup.type === 'SRV' ? await lookUpServices(resolver, lookup) : await lookUpAddresses(resolver, lookup);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

async function lookUpAddresses(resolver: Resolver, { name, type, port, scheme = 'http' }: DnsLookup): Promise<Answer> {
  if (port === undefined) throw new DiscoveryError('a look-up of addresses needs a port');
  const records = await resolveAddresses(resolver, name, type === 'AAAA' ? 6 : 4);
  return {
    instances: records.map(({ address }) => ({
      id: buildInstanceId(address, port),
      url: buildInstanceUrl(scheme, address, port),
    })),
    ttlSeconds: Math.min(...records.map(({ ttl }) => ttl)),
  };
}

/** Those of the lowest priority that have addresses: the next ones are there in case they have none (RFC 2782). */
async function lookUpServices(resolver: Resolver, { name, scheme = 'http' }: DnsLookup): Promise<Answer> {
  const records = await orNone(resolver.resolveSrv(name));
  if (records.length > maxTargets) throw new DiscoveryError(`the DNS answered with more than ${maxTargets} targets`);
  // A target of "." says that the service is decidedly not there.
  const present = records.filter((record) => record.name !== '' && record.name !== '.');
  const priorities = [...new Set(present.map(({ priority }) => priority))].sort((a, b) => a - b);
  for (const priority of priorities) {
    const answer = await lookUpTargets(
      resolver,
      scheme,
      present.filter((record) => record.priority === priority),
    );
    if (answer.instances.length > 0) return answer;
  }
  return { instances: [], ttlSeconds: Number.POSITIVE_INFINITY };
}

async function lookUpTargets(resolver: Resolver, scheme: string, records: readonly SrvRecord[]): Promise<Answer> {
  const weightOf = createWeights(records);
  const answers = await Promise.all(
    records.map(async (record): Promise<Answer> => {
      const weight = weightOf(record);
      const { port } = record;
      const id = buildInstanceId(record.name, port);
      // A certificate is for a name, so the name is what is connected to.
      if (scheme === 'https') {
        const url = buildInstanceUrl(scheme, record.name.replace(/\.$/, ''), port);
        return { instances: [{ id, url, weight }], ttlSeconds: Number.POSITIVE_INFINITY };
      }
      const ipv4 = await resolveAddresses(resolver, record.name, 4);
      const addresses = ipv4.length > 0 ? ipv4 : await resolveAddresses(resolver, record.name, 6);
      return {
        instances: addresses.map(({ address }) => ({
          id: addresses.length === 1 ? id : buildInstanceId(record.name, address, port),
          url: buildInstanceUrl(scheme, address, port),
          weight,
        })),
        ttlSeconds: Math.min(...addresses.map(({ ttl }) => ttl)),
      };
    }),
  );
  return {
    instances: answers.flatMap(({ instances }) => instances),
    ttlSeconds: Math.min(...answers.map(({ ttlSeconds }) => ttlSeconds)),
  };
}

/** SRV weights go to 65535 and may be 0, for "hardly ever"; those of instances from 1 to 1000. */
function createWeights(records: readonly SrvRecord[]): (record: SrvRecord) => number {
  const largest = Math.max(...records.map(({ weight }) => weight));
  const scale = largest > 1_000 ? 1_000 / largest : 1;
  return ({ weight }) => Math.max(1, Math.round(weight * scale));
}

function resolveAddresses(resolver: Resolver, name: string, family: 4 | 6) {
  return orNone(family === 4 ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }));
}

/**
 * "There is no such name" and "it has no such record" are answers: that is how a headless service without ready pods
 * looks. No answer, a refusal and a failure of the server are none.
 */
async function orNone<T>(asked: Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await asked;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENODATA' || code === 'ENOTFOUND') return [];
    throw error;
  }
}
