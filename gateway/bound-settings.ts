/** What a process takes from its settings when it starts to serve, and keeps. */
import type { Settings } from './config.ts';

/** Settings that a process takes when it starts to serve, and keeps: by name, with what they come from. */
function listBoundSettings(settings: Settings): Readonly<Record<string, unknown>> {
  const { listen, redisUrl, cache, limits, trustedProxies, log, workers, deadlineMs, graphql, authentication } =
    settings;
  return {
    listen,
    hosts: settings.hosts,
    serverTiming: settings.serverTiming,
    redisUrl,
    cache,
    limits,
    trustedProxies,
    log,
    workers,
    deadlineMs,
    'authentication.revocation': authentication.revocation,
    'authentication.managedApiKeys': authentication.managedApiKeys === true,
    'authentication.clientCertificateHeader': authentication.clientCertificateHeader,
    'graphql.path': graphql.path,
    'graphql.persistedOperations.apqMaxSize': graphql.persistedOperations.apqMaxBytes,
    'graphql.persistedOperations.apqTtl': graphql.persistedOperations.apqTtlMs,
    'graphql.subgraphErrors': graphql.subgraphErrors,
  };
}

/** Those that differ and would need another process to hold. */
export function findBoundSettings(before: Settings, after: Settings): readonly string[] {
  const [known, wanted] = [listBoundSettings(before), listBoundSettings(after)];
  return Object.keys(known).filter((name) => JSON.stringify(known[name]) !== JSON.stringify(wanted[name]));
}
