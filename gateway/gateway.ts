/**
 * The gateway, put together. This file only connects: who decides what stands in the folders below. It opens no port
 * before `start`.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { GatewayError } from '../policies/errors.ts';
import { createRateLimiter } from '../policies/rate-limit.ts';
import { createMemoryRateLimitStore } from '../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore } from '../policies/rate-limit-redis.ts';
import { createClientResolver } from '../policies/client-address.ts';
import { createAdmission } from '../schema/admission.ts';
import { createDiscovery } from '../schema/discovery.ts';
import { createSubgraphExecutor } from '../schema/subgraph-executor.ts';
import { createAddressPolicy } from '../subgraphs/address-policy.ts';
import { createFileStore } from '../subgraphs/file-store.ts';
import { createMemoryStore } from '../subgraphs/memory-store.ts';
import { createRegistry } from '../subgraphs/registry.ts';
import { createUpstreams } from '../subgraphs/upstreams.ts';
import { createAdminAccess } from './admin-access.ts';
import { buildAdminEndpoints } from './admin-api.ts';
import { createAdminServer } from './admin-server.ts';
import { buildSettings, parseConfig } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';
import { createDataPlane } from './data-plane.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createRequestRecorder } from './request-recorder.ts';
import { createPublicServer } from './server.ts';
import { drainServer } from './shutdown.ts';

export interface GatewayAddresses {
  /** Base URL of the public port. */
  readonly url: string;
  /** Base URL of the admin port. */
  readonly adminUrl: string;
}

export interface Gateway extends AsyncDisposable {
  /** Loads the registry, composes the graph and opens both ports. Services that are down do not hinder it. */
  start(): Promise<GatewayAddresses>;
  /** Drains and closes: at first unready, then without port, at last without requests. Resolves when all is closed. */
  stop(): Promise<void>;
}

/** Puts a gateway together without opening a port. Throws GatewayError BAD_REQUEST with all mistakes of the configuration. */
export function createGateway(config: GatewayConfig = {}): Gateway {
  const settings = buildSettings(parseConfig(config));
  const log = createLog(settings.log);
  const metrics = createMetrics();
  const upstreams = createUpstreams({
    defaults: settings.resilience,
    bodyIdleTimeoutMs: settings.limits.bodyIdleTimeoutMs,
    lookup: createAddressPolicy(settings.registrationAllow).lookup,
    observer: buildCallObserver(log, metrics),
  });
  const registry = createControlPlane(settings, log, upstreams);
  const limiter = createLimiter(settings, log, metrics);
  const dataPlane = createDataPlane(settings, log, upstreams, limiter);

  registry.subscribe((snapshot, admission) => {
    upstreams.apply(snapshot);
    dataPlane.publish(snapshot, admission);
    metrics.observeSnapshot(snapshot.revision, admission.graph.id);
  });
  let ready = false;
  const servers = createServers({ settings, log, metrics, registry, upstreams, dataPlane, isReady: () => ready });

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    ready = false;
    log.info('draining');
    const outcome = await drainServer(servers.publicServer, settings.shutdown, () => dataPlane.refuseKeptConnections());
    if (outcome === 'cut') log.warn('requests were cut at the end of the grace period');
    await drainServer(servers.adminServer, { delayMs: 0, graceMs: 1_000 }, () => {});
    await registry[Symbol.asyncDispose]();
    await upstreams[Symbol.asyncDispose]();
    await limiter.close();
    await log.close();
  };
  return {
    async start() {
      await registry.start(settings.services);
      const adminUrl = await listen(servers.adminServer, settings.admin);
      const url = await listen(servers.publicServer, settings.listen);
      ready = true;
      log.info('listening', { url, adminUrl });
      return { url, adminUrl };
    },
    stop: () => (stopping ??= stop()),
    [Symbol.asyncDispose]: () => (stopping ??= stop()),
  };
}
