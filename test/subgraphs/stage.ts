/** What tests of the call need: services on real sockets, a snapshot that names them, and a client. */
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import type { Attempt, RequestContext } from '../../policies/request-context.ts';
import { BufferedAnswer } from '../../subgraphs/buffered-answer.ts';
import type { CallRequest } from '../../subgraphs/call.ts';
import type { BalancingAlgorithm } from '../../subgraphs/load-balancing-options.ts';
import type { ServiceDefinition } from '../../subgraphs/service-definition.ts';
import type { Instance, Service, Snapshot } from '../../subgraphs/snapshot.ts';
import { createUpstreams, type Upstreams, type UpstreamsOptions } from '../../subgraphs/upstreams.ts';
import { createRequestContext } from '../support/request-context.ts';

export interface RunningService extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Stops listening and cuts every connection, as a killed process does. */
  kill(): Promise<void>;
}

/** An HTTP service on a free port, or on the given one. */
export async function startService(handler: http.RequestListener, port = 0): Promise<RunningService> {
  const server = http.createServer({ keepAliveTimeout: 60_000 }, handler);
  return await listen(server, port);
}

/** A service that speaks bytes. */
export async function startRawService(onConnection: (socket: net.Socket) => void, port = 0): Promise<RunningService> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  });
  return await listen(server, port);
}

async function listen(server: net.Server, port: number): Promise<RunningService> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  let killed: Promise<void> | undefined;
  const kill = (): Promise<void> => {
    killed ??= new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.resetAndDestroy();
    });
    return killed;
  };
  return { url: `http://127.0.0.1:${bound}`, port: bound, kill, [Symbol.asyncDispose]: kill };
}

/** A port at which nothing listens. */
export async function closedPort(): Promise<number> {
  const service = await startRawService(() => {});
  await service.kill();
  return service.port;
}

let revision = 0;

export function snapshotOf(...services: Service[]): Snapshot {
  return { revision: ++revision, services };
}

export function serviceOf(
  name: string,
  instances: readonly (string | Partial<Instance>)[],
  definition: ServiceDefinition = {},
): Service {
  return {
    name,
    definition,
    schema: null,
    quarantine: null,
    instances: instances.map((given, index) => ({
      id: String.fromCharCode(97 + index),
      weight: 1,
      origin: 'static',
      draining: false,
      url: '',
      ...(typeof given === 'string' ? { url: given } : given),
    })),
    revision: ++revision,
    origin: 'config',
  };
}

/** Upstreams with one service, `shop`. */
export function stage(
  instances: readonly (string | Partial<Instance>)[],
  definition: ServiceDefinition = {},
  options: Partial<UpstreamsOptions> = {},
): Upstreams {
  const upstreams = createUpstreams({ defaults: {}, bodyIdleTimeoutMs: 5_000, ...options });
  upstreams.apply(snapshotOf(serviceOf('shop', instances, definition)));
  return upstreams;
}

/** A definition that balances so. */
export function balancing(algorithm: BalancingAlgorithm): ServiceDefinition {
  return { loadBalancing: { algorithm } };
}

/** One call to `shop`, buffered: a GET unless told otherwise. */
export async function ask(
  upstreams: Upstreams,
  request: Partial<CallRequest> = {},
  context: RequestContext = createRequestContext(),
): Promise<BufferedAnswer> {
  const answer = new BufferedAnswer(10_000_000);
  await upstreams.call({ ...getRequest, receiver: answer, ...request }, context);
  return answer;
}

export const getRequest = {
  service: 'shop',
  method: 'GET',
  path: '/',
  headers: [],
  body: null,
  idempotent: true,
} as const;

export const postRequest = { method: 'POST', body: '{"buy":1}', idempotent: false } as const;

export function outcomes(attempts: readonly Attempt[]): string[] {
  return attempts.map((attempt) => `${attempt.instance} ${attempt.outcome}`);
}

/** Waits for something that must come to be true. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
