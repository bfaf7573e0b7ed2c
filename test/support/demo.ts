/** What the tests of the client library and of the demo share: a stand-in for the admin port, and child processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

export interface AdminRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape
  readonly body: any;
}

export interface AdminAnswer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** The answer waits for this. */
  readonly after?: Promise<unknown>;
}

export interface AdminStandIn {
  readonly url: string;
  readonly requests: readonly AdminRequest[];
  /** `PUT /services/x` and so on, in order of arrival. */
  readonly lines: readonly string[];
  /** Decides about the next requests; `undefined` leaves it to the usual answer. */
  script: (request: AdminRequest) => AdminAnswer | undefined;
  /** Resolves when so many requests have come in all. */
  received(count: number): Promise<void>;
}

/** A real server that speaks as much of the admin API as a registration needs. It closes when the test ends. */
export async function startAdminStandIn(t: TestContext, port = 0): Promise<AdminStandIn> {
  const requests: AdminRequest[] = [];
  const services = new Map<string, Set<string>>();
  let waiting: { count: number; resolve: () => void }[] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { method = '', url: path = '' } = request;
    const body = text === '' ? undefined : JSON.parse(text);
    const received = { method, path, authorization: request.headers.authorization, body };
    requests.push(received);
    for (const { count, resolve } of waiting) if (requests.length >= count) resolve();
    waiting = waiting.filter(({ count }) => requests.length < count);
    const answer = standIn.script(received) ?? answerAsUsual(services, method, path);
    await answer.after;
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(answer.status === 204 ? undefined : JSON.stringify(answer.body ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const standIn: AdminStandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get lines() {
      return requests.map(({ method, path }) => `${method} ${path}`);
    },
    script: () => undefined,
    received(count) {
      if (requests.length >= count) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ count, resolve }));
    },
  };
  return standIn;
}

function answerAsUsual(services: Map<string, Set<string>>, method: string, path: string): AdminAnswer {
  const [, , name = '', , id, action] = path.split('/');
  const instances = services.get(name);
  if (id === undefined) {
    if (method !== 'PUT') return { status: 405 };
    if (instances === undefined) services.set(name, new Set());
    return { status: instances === undefined ? 201 : 200 };
  }
  if (instances === undefined) return { status: 404, body: { detail: `There is no service ${name}` } };
  if (method === 'PUT') {
    const status = instances.has(id) ? 200 : 201;
    instances.add(id);
    return { status };
  }
  if (!instances.has(id)) return { status: 404 };
  if (action === 'drain') return { status: 200 };
  instances.delete(id);
  return { status: 204 };
}

/** A port of loopback that nobody listens on. */
export async function findUnusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface DemoProcess {
  readonly child: ChildProcess;
  /** Everything that it wrote so far, both streams. */
  readonly output: () => string;
  /** Resolves with the first match of a pattern in the output. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** Starts a file of this repository as a process of its own; it is killed when the test ends. */
export function startProcess(t: TestContext, file: string, environment: NodeJS.ProcessEnv = {}): DemoProcess {
  return startNode(t, [fileURLToPath(new URL(`../../${file}`, import.meta.url))], environment);
}

/** The same with the program given as text, which can import by the URL in `import.meta.url` of the caller. */
export function startProgram(t: TestContext, program: string, environment: NodeJS.ProcessEnv = {}): DemoProcess {
  return startNode(t, ['--input-type=module', '--eval', program], environment);
}

function startNode(t: TestContext, argv: readonly string[], environment: NodeJS.ProcessEnv): DemoProcess {
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined, ...environment };
  const child = spawn(process.execPath, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  let lookers: (() => void)[] = [];
  const take = (chunk: Buffer): void => {
    output += chunk;
    for (const look of lookers) look();
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  return {
    child,
    output: () => output,
    printed(pattern) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(output);
          if (match === null) return;
          lookers = lookers.filter((other) => other !== look);
          resolve(match);
        };
        lookers.push(look);
        ended.then(() => reject(new Error(`ended before it printed ${pattern}: ${output}`)), reject);
        look();
      });
    },
    ended,
  };
}
