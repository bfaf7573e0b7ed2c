/**
 * What all demo services have in common: a server of their own, registration, and a graceful end. Settings come from the
 * environment, so that every service runs alone as well: `node subgraphs/demo/products.ts`.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ClientEvent, type Registration, register, type ServiceDefinition } from '../client.ts';
import { formatReasons } from '../client-events.ts';

export interface DemoService {
  readonly name: string;
  /** What it registers with. */
  readonly definition: ServiceDefinition;
  /** Answers every request but `/health`. The argument names the instance that answers. */
  readonly createListener: (instance: string) => RequestListener;
}

export interface DemoServiceSettings {
  /** 0 takes a free one. */
  readonly port: number;
  readonly host: string;
  /** Where gateways find the instance. @default host and port */
  readonly url?: string | undefined;
  /** @default name of the service and port */
  readonly id?: string | undefined;
  /** Admin ports of the gateways. Without any, the service runs without registering. */
  readonly admin: readonly string[];
  readonly token?: string | undefined;
  readonly onEvent?: (event: ClientEvent) => void;
}

export interface RunningDemoService extends AsyncDisposable {
  readonly id: string;
  readonly url: string;
  readonly registration: Registration | null;
  /** Drains, deregisters, finishes what is in flight, closes. */
  stop(): Promise<void>;
}

/** Longer than any request of the demo takes, shorter than the patience of whoever sent SIGTERM. */
const finishMs = 5_000;

/** Starts one instance of a demo service in this process. */
export async function startDemoService(
  service: DemoService,
  settings: DemoServiceSettings,
): Promise<RunningDemoService> {
  const { server, nameInstance, close } = createDemoServer(service);
  const port = await listen(server, settings);
  const id = settings.id ?? `${service.name}-${port}`;
  nameInstance(id);
  const url = settings.url ?? `http://${formatHost(settings.host)}:${port}`;
  const registration = settings.admin.length === 0 ? null : registerInstance(service, settings, id, url);
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    // At first no gateway sends anything any more; only then may the port close.
    await registration?.deregister();
    await close();
  };
  return {
    id,
    url,
    registration,
    stop: () => (stopped ??= stop()),
    [Symbol.asyncDispose]: () => (stopped ??= stop()),
  };
}

function registerInstance(
  service: DemoService,
  { admin, token, onEvent }: DemoServiceSettings,
  id: string,
  url: string,
): Registration {
  return register({
    service: service.name,
    admin,
    token,
    instance: { id, url, version: '1.0.0' },
    definition: service.definition,
    maxRetryMs: 250, // everything is on one machine: nobody is flooded
    drainOnSigterm: false,
    ...(onEvent !== undefined && { onEvent }),
  });
}

/** A server that knows when the last request is answered. The default name of an instance has its port in it. */
function createDemoServer(service: DemoService) {
  let id = service.name;
  let listener: RequestListener | undefined;
  let inFlight = 0;
  let isClosing = false;
  const server = createServer((request, response) => {
    listener ??= service.createListener(id);
    response.setHeader('x-demo-instance', id);
    inFlight++;
    response.once('close', () => {
      inFlight--;
      cutWhenIdle();
    });
    if (request.url === '/health') answerHealth(request, response);
    else listener(request, response);
  });
  // `closeIdleConnections` would leave those that were opened in advance and never used.
  const cutWhenIdle = (): void => {
    if (isClosing && inFlight === 0) server.closeAllConnections();
  };
  const close = async (): Promise<void> => {
    isClosing = true;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const cut = setTimeout(() => server.closeAllConnections(), finishMs);
    cutWhenIdle();
    await closed;
    clearTimeout(cut);
  };
  const nameInstance = (name: string): void => {
    id = name;
  };
  return { server, nameInstance, close };
}

/** Runs a demo service as this process, until SIGTERM or SIGINT. */
export async function runDemoService(service: DemoService): Promise<void> {
  const running = await startDemoService(service, {
    ...readSettings(process.env),
    onEvent: (event) => console.log(describeEvent(event)),
  });
  console.log(`${running.id}: listening at ${running.url}, pid ${process.pid}`);
  const end = async (): Promise<void> => {
    await running.stop();
    console.log(`${running.id}: ended`);
    process.exit(0);
  };
  // Listeners that stay, or a second signal would end the process in the middle of it.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void end());
}

/** Settings from the environment: PORT, HOST, INSTANCE_URL, INSTANCE_ID, SELVAGE_ADMIN, SELVAGE_TOKEN. */
export function readSettings(environment: NodeJS.ProcessEnv): DemoServiceSettings {
  const { PORT, HOST, INSTANCE_URL, INSTANCE_ID, SELVAGE_ADMIN, SELVAGE_TOKEN } = environment;
  const port = Number(PORT ?? 0);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new RangeError(`PORT: expected a number from 0 to 65535, got ${JSON.stringify(PORT)}`);
  }
  return {
    port,
    host: HOST || '127.0.0.1',
    url: INSTANCE_URL || undefined,
    id: INSTANCE_ID || undefined,
    admin: (SELVAGE_ADMIN ?? 'http://127.0.0.1:4001').split(',').filter((url) => url.trim() !== ''),
    token: SELVAGE_TOKEN || undefined,
  };
}

function describeEvent(event: ClientEvent): string {
  const start = `${event.instance}: ${event.type} at ${event.admin}`;
  if (event.type === 'unreachable') return `${start}, next try in ${Math.round(event.retryInMs)} ms`;
  if (event.type !== 'refused') return start;
  return `${start} (${event.status}): ${event.message}, next try in ${Math.round(event.retryInMs)} ms${formatReasons(event.reasons)}`;
}

function answerHealth(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('{"status":"ok"}');
}

function listen(server: Server, { port, host }: DemoServiceSettings): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** What listens everywhere is found on loopback; anything else says INSTANCE_URL. */
function formatHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
