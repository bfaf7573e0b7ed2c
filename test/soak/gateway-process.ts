/** The gateway as a process that is looked into: what it says, which sockets it has, what is on its heap. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import type { Tally } from './world.ts';

const mainFile = fileURLToPath(new URL('../../gateway/main.ts', import.meta.url));

/** What the gateway has while nobody asks it for anything. */
export interface Holdings {
  /** Of all its processes. */
  readonly sockets: number;
  readonly heapBytes: number;
  readonly externalBytes: number;
  /** Timers, sockets, requests and the like by type, as Node counts them. */
  readonly resources: Readonly<Record<string, number>>;
}

/** Lines of the log that say what chaos did, or tried. */
const expectedErrors = /"msg":"(?:the configuration was refused|many leases run out at once)/;
const inspectorTalk = /^(?:Debugger (?:listening|attached|ending)|For help, see:|Waiting for the debugger|$)/;
/** Without code: what V8 makes of functions as they become hot grows for minutes, and is nobody's leak. */
const measure = `(() => {
  const { getHeapSpaceStatistics } = process.getBuiltinModule('node:v8');
  const spaces = getHeapSpaceStatistics().filter(({ space_name }) => !/code|trusted/.test(space_name));
  const { external } = process.memoryUsage();
  const resources = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const heapBytes = spaces.reduce((sum, { space_used_size }) => sum + space_used_size, 0);
  return { heapBytes, externalBytes: external, resources };
})()`;

export class GatewayUnderSoak implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #file: string;
  readonly #tally: Tally;
  #addresses = Promise.withResolvers<{ url: string; adminUrl: string }>();
  #inspector = Promise.withResolvers<string>();

  private constructor(file: string, tally: Tally, logFile: string | undefined) {
    this.#file = file;
    this.#tally = tally;
    this.child = spawn(process.execPath, ['--inspect=127.0.0.1:0', mainFile, '--config', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_ENV: 'production' },
    });
    if (logFile !== undefined) this.child.stdout?.pipe(createWriteStream(logFile));
    eachLine(this.child.stdout, (line) => this.#readLog(line));
    eachLine(this.child.stderr, (line) => this.#readComplaint(line));
    this.child.once('exit', (code, signal) => {
      const error = new Error(`the gateway ended with ${code ?? signal}`);
      this.#addresses.reject(error);
      this.#inspector.reject(error);
    });
    this.#inspector.promise.catch(() => {});
  }

  /** The log goes to `logFile` as well, where there is one. */
  static async start(file: string, config: GatewayConfig, tally: Tally, logFile?: string) {
    await writeFile(file, JSON.stringify(config));
    const gateway = new GatewayUnderSoak(file, tally, logFile);
    return { gateway, ...(await gateway.#addresses.promise) };
  }

  /** Writes the file and sends SIGHUP. */
  async configure(text: string): Promise<void> {
    await writeFile(this.#file, text);
    this.child.kill('SIGHUP');
  }

  /** Open sockets of the process and of its children, by the kernel. */
  countSockets(): number {
    return this.#processes().reduce((sum, pid) => sum + listSockets(pid).length, 0);
  }

  /** After a garbage collection. The connection to the inspector is open for that time only, and not counted. */
  async measure(): Promise<Holdings> {
    const sockets = this.countSockets();
    const inspector = new WebSocket(await this.#inspector.promise);
    await once(inspector, 'open');
    let last = 0;
    const ask = (method: string, params: object = {}): Promise<unknown> => {
      const id = ++last;
      inspector.send(JSON.stringify({ id, method, params }));
      return new Promise((resolve) => {
        inspector.on('message', function hear(data) {
          const answer = JSON.parse(String(data));
          if (answer.id !== id) return;
          inspector.off('message', hear);
          resolve(answer.result?.result?.value);
        });
      });
    };
    for (let round = 0; round < 3; round++) await ask('HeapProfiler.collectGarbage');
    const rest = (await ask('Runtime.evaluate', { expression: measure, returnByValue: true })) as Omit<
      Holdings,
      'sockets'
    >;
    const closed = once(inspector, 'close');
    inspector.close();
    await closed;
    return { sockets, ...rest };
  }

  /** SIGTERM, and how it ended. */
  async stop(): Promise<number | string> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const [code, signal] = await exit;
    return (code ?? signal) as number | string;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }

  #processes(): number[] {
    const found: number[] = [];
    const waiting = [this.child.pid ?? 0];
    for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
      found.push(pid);
      const children = readOr(`/proc/${pid}/task/${pid}/children`, '').split(' ');
      waiting.push(...children.filter((child) => child !== '').map(Number));
    }
    return found;
  }

  #readLog(line: string): void {
    if (line.includes('"msg":"request"')) {
      if (line.includes('INTERNAL_SERVER_ERROR')) this.#tally.blame(`log: ${line}`);
      return;
    }
    const message = /"msg":"([^"]*)"/.exec(line)?.[1] ?? line;
    this.#tally.count(`log: ${message}`);
    if (message === 'listening') this.#addresses.resolve(JSON.parse(line));
    const isBad = /"level":"(?:error|fatal)"|INTERNAL_SERVER_ERROR|unexpected/.test(line);
    if (isBad && !expectedErrors.test(line)) this.#tally.blame(`log: ${line.slice(0, 2_000)}`);
  }

  #readComplaint(line: string): void {
    const url = /^Debugger listening on (ws:\S+)/.exec(line)?.[1];
    if (url !== undefined) this.#inspector.resolve(url);
    if (!inspectorTalk.test(line)) this.#tally.blame(`standard error: ${line}`);
  }
}

function eachLine(stream: NodeJS.ReadableStream | null, take: (line: string) => void): void {
  let text = '';
  stream?.on('data', (piece) => {
    text += piece;
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
}

function listSockets(pid: number): string[] {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder)
      .map((name) => linkOr(`${folder}/${name}`))
      .filter((target) => target.startsWith('socket:'));
  } catch {
    return [];
  }
}

function linkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return otherwise;
  }
}
