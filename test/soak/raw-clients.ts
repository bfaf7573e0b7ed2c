/** Clients that write bytes: several requests at once over one connection, a half-closed connection, WebSockets. */
import { connect } from 'node:net';
import { WebSocket } from 'ws';
import { ContentCheck, contentOf } from './content.ts';
import { choosePath, type Visit } from './rest-clients.ts';
import { judgeRefusal } from './verdict.ts';
import { below, Violation } from './world.ts';

interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  readonly isComplete: boolean;
}

/** Some GETs in one piece, answered in their order; or one, by a client that ends its side right behind it. */
export async function visitPipelined({ world, id }: Visit, isHalfClosed: boolean): Promise<string> {
  const { random } = world;
  const asked = Array.from({ length: isHalfClosed ? 1 : 2 + below(random, 4) }, () => choosePath(world));
  const { host } = new URL(world.url);
  const text = asked.map(({ path }, n) => `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nx-request-id: ${id}-${n}\r\n\r\n`);
  const answers = await talk(world.url, text.join(''), asked.length, isHalfClosed);
  let ending = 'whole';
  for (const [n, answer] of answers.entries()) {
    const { path, seed, size, isGoing } = asked[n] ?? { path: 'nothing', seed: 0, size: 0, isGoing: false };
    if (answer.status === 200) {
      const check = new ContentCheck(seed, size);
      check.take(answer.body);
      const wrong = check.judge(answer.isComplete);
      if (wrong !== null) throw new Violation(`answer ${n} of ${asked.length}, ${path}: ${wrong}`);
      world.tally.count('bytes received', check.received);
    }
    if (!answer.isComplete) return 'truncated';
    if (answer.status !== 200) {
      ending = judgeRefusal(answer.status, answer.headers, answer.body.toString(), isGoing);
    }
  }
  const last = answers.at(-1);
  if (answers.length < asked.length && last?.headers['connection'] !== 'close') {
    throw new Violation(`${answers.length} answers to ${asked.length} requests`);
  }
  return ending;
}

/** All answers, until the connection is closed or there are as many as were asked for. */
function talk(url: string, text: string, count: number, isHalfClosed: boolean): Promise<RawAnswer[]> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const whole: RawAnswer[] = [];
    let partial: RawAnswer | undefined;
    let pieces: Buffer[] = [];
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    const finish = (): void => {
      socket.destroy();
      resolve(partial === undefined ? whole : [...whole, partial]);
    };
    socket.on('error', () => {}).on('close', finish);
    socket.on('end', finish);
    socket.on('data', (piece) => {
      pieces.push(piece);
      try {
        const { answers, rest } = readAnswers(Buffer.concat(pieces));
        whole.push(...answers.filter(({ isComplete }) => isComplete));
        partial = answers.find(({ isComplete }) => !isComplete);
        pieces = [rest];
      } catch (violation) {
        reject(violation);
      }
      if (whole.length >= count) finish();
    });
    if (isHalfClosed) socket.end(text);
    else socket.write(text);
  });
}

/** The answers in what came over a connection, of which the last may not be complete, and the bytes from that one on. */
function readAnswers(bytes: Buffer): { answers: RawAnswer[]; rest: Buffer } {
  const answers: RawAnswer[] = [];
  let start = 0;
  for (let place = 0; place < bytes.length; start = place) {
    const end = bytes.indexOf('\r\n\r\n', place);
    const head = bytes.toString('latin1', place, end < 0 ? bytes.length : end);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? Number.NaN);
    if (end < 0 || Number.isNaN(status)) {
      if (end >= 0) throw new Violation(`no head of an answer: ${head.slice(0, 200)}`);
      break;
    }
    place = end + 4;
    if (status < 200) continue;
    const headers = Object.fromEntries(
      head
        .split('\r\n')
        .slice(1)
        .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = headers['content-length'];
    const { body, next } = length === undefined ? readChunks(bytes, place) : readLength(bytes, place, Number(length));
    answers.push({ status, headers, body, isComplete: next !== null });
    if (next === null) break;
    place = next;
  }
  return { answers, rest: bytes.subarray(start) };
}

interface RawBody {
  readonly body: Buffer;
  /** Where the next answer begins; null when this one is not complete. */
  readonly next: number | null;
}

function readLength(bytes: Buffer, from: number, length: number): RawBody {
  const end = from + length;
  return { body: bytes.subarray(from, end), next: end <= bytes.length ? end : null };
}

function readChunks(bytes: Buffer, from: number): RawBody {
  const pieces: Buffer[] = [];
  for (let place = from; ; ) {
    const end = bytes.indexOf('\r\n', place);
    const size = end < 0 ? Number.NaN : Number.parseInt(bytes.toString('latin1', place, end), 16);
    if (Number.isNaN(size)) return { body: Buffer.concat(pieces), next: null };
    if (size === 0) return { body: Buffer.concat(pieces), next: end + 4 <= bytes.length ? end + 4 : null };
    pieces.push(bytes.subarray(end + 2, end + 2 + size));
    if (bytes.length < end + 4 + size) return { body: Buffer.concat(pieces), next: null };
    place = end + 4 + size;
  }
}

/** Messages that come back as they are, until the client or somebody else has enough. */
export function visitSocket({ world, id }: Visit): Promise<string> {
  const { random } = world;
  const messages = Array.from({ length: 1 + below(random, 20) }, () =>
    contentOf(below(random, 1_000), 0, below(random, 40_000)),
  );
  const socket = new WebSocket(`${world.url.replace('http', 'ws')}/rest/ws`, { headers: { 'x-request-id': id } });
  return new Promise((resolve, reject) => {
    let echoed = 0;
    let refusal: string | null = null;
    socket.on('open', () => socket.send(messages[0] ?? ''));
    socket.on('message', (data) => {
      if (!(messages[echoed] ?? Buffer.alloc(0)).equals(data as Buffer)) {
        reject(new Violation(`WebSocket message ${echoed} came back as another one`));
        socket.terminate();
        return;
      }
      const next = messages[++echoed];
      if (next !== undefined) socket.send(next);
      else if (random() < 0.3) socket.terminate();
      else socket.close(1000);
    });
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (piece) => {
        body += piece;
      });
      response.on('error', () => {});
      response.on('close', () => {
        try {
          refusal = !response.complete
            ? 'truncated'
            : body === 'busy'
              ? 'busy service'
              : judgeRefusal(response.statusCode ?? 0, response.headers, body, false);
          resolve(refusal);
        } catch (violation) {
          reject(violation);
        }
      });
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(echoed === messages.length ? 'whole' : 'broken off'));
  });
}
