/** Clients of the REST door. Each makes one visit and says in a word how it ended; what must not be, it throws. */
import { createHash, hash } from 'node:crypto';
import type { Agent } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContentCheck, checksumOf, contentOf } from './content.ts';
import { type Ending, exchange } from './exchange.ts';
import { judgeRefusal, parseJson } from './verdict.ts';
import { below, pick, Violation, type World } from './world.ts';

export interface Visit {
  readonly world: World;
  /** The client's connection, kept between visits; false for a new one. */
  readonly agent: Agent | false;
  /** `x-request-id`: what the gateway's log says of the request. */
  readonly id: string;
}

/** Sizes of bodies: nothing, a few bytes, around the marks where buffers end, up to 5 MB. */
export function chooseSize(random: () => number): number {
  const most = pick(random, [0, 1, 100, 4_096, 4_097, 16_384, 65_536, 65_537, 300_000, 300_000, 1_048_576, 5_242_880]);
  return random() < 0.5 ? most : below(random, most + 1);
}

/** A path whose answer is known. In calm there is no service that comes and goes. */
export function choosePath({ random, isCalm }: World): { path: string; seed: number; size: number; isGoing: boolean } {
  const seed = below(random, 1_000);
  const size = chooseSize(random);
  const framing = pick(random, ['length', 'chunked']);
  const dice = random();
  if (dice < 0.15) {
    const few = seed % 8;
    return {
      path: `/cached/${few}?seed=${few}&size=${few * 20_000}&framing=length`,
      seed: few,
      size: few * 20_000,
      isGoing: false,
    };
  }
  const isGoing = !isCalm && dice < 0.25;
  return {
    path: `/${isGoing ? 'passing' : 'rest'}/body?seed=${seed}&size=${size}&framing=${framing}`,
    seed,
    size,
    isGoing,
  };
}

export type Pace = 'steady' | 'slow' | 'leaving';

/** A GET, by a client that reads as fast as it can, slowly, or not to the end. */
export async function visitBody({ world, agent, id }: Visit, pace: Pace, method = 'GET'): Promise<string> {
  const { random } = world;
  const { path, seed, size, isGoing } = choosePath(world);
  const check = new ContentCheck(seed, method === 'HEAD' ? 0 : size);
  let text = '';
  const ending = await exchange({
    url: world.url + path,
    agent,
    method,
    headers: { 'x-request-id': id },
    leaveAfterMs: pace === 'leaving' ? random() * 120 : undefined,
    onPiece(piece, status) {
      if (status !== 200) text += piece;
      else check.take(piece);
      return pace === 'slow' ? sleep(random() * 40) : undefined;
    },
  });
  const wrong = check.judge(ending.isComplete && ending.status === 200);
  if (wrong !== null) throw new Violation(`${method} ${path}: ${wrong}`);
  world.tally.count('bytes received', check.received);
  return judgeEnding(ending, text, isGoing, method === 'HEAD');
}

/** A body that the service answers with its checksum. */
export async function visitUpload({ world, agent, id }: Visit, pace: Pace): Promise<string> {
  const { random } = world;
  const seed = below(random, 1_000);
  const size = chooseSize(random);
  let text = '';
  const ending = await exchange({
    url: `${world.url}/rest/upload`,
    agent,
    method: pick(random, ['POST', 'PUT']),
    headers: { 'x-request-id': id, ...(random() < 0.5 && { 'content-length': String(size) }) },
    body: Readable.from(sendPieces(seed, size, pace === 'slow' ? () => sleep(random() * 20) : undefined)),
    leaveAfterMs: pace === 'leaving' ? random() * 120 : undefined,
    onPiece(piece) {
      text += piece;
    },
  });
  world.tally.count('bytes sent', size);
  if (ending.isComplete && ending.status === 200) {
    const answer = parseJson(text) as { bytes: number; sha1: string };
    // A service that gives up early tells of what it has had so far.
    const isWhole = answer.bytes === size;
    const expected = isWhole ? checksumOf(seed, size) : hash('sha1', contentOf(seed, 0, Math.min(size, answer.bytes)));
    if (answer.sha1 !== expected) throw new Violation(`upload of ${size} bytes of ${seed} arrived as ${text}`);
    if (!isWhole && world.isCalm) throw new Violation(`upload of ${size} bytes arrived in part: ${text}`);
  }
  return judgeEnding(ending, text, false);
}

async function* sendPieces(seed: number, size: number, pause?: () => Promise<void>): AsyncGenerator<Buffer> {
  for (let place = 0; place < size; place += 65_536) {
    yield contentOf(seed, place, Math.min(size, place + 65_536));
    await pause?.();
  }
}

/** A stream of events: all in order, none twice. */
export async function visitEvents({ world, agent, id }: Visit, pace: Pace): Promise<string> {
  const { random } = world;
  const seed = below(random, 1_000);
  const count = below(random, 60);
  const sum = createHash('sha1');
  let text = '';
  const ending = await exchange({
    url: `${world.url}/rest/events?seed=${seed}&size=${count}`,
    agent,
    headers: { 'x-request-id': id, accept: 'text/event-stream' },
    leaveAfterMs: pace === 'leaving' ? random() * 500 : undefined,
    onPiece(piece) {
      sum.update(piece);
      text += piece;
    },
  });
  if (ending.status === 200) {
    const expected = Array.from({ length: count }, (_, n) => `data: ${n} ${hash('sha1', `${seed} ${n}`)}\n\n`).join('');
    const isRight = ending.isComplete ? text === expected : expected.startsWith(text);
    if (!isRight) throw new Violation(`events of ${seed}: ${text.length} of ${expected.length} bytes, or others`);
  }
  return judgeEnding(ending, text, false);
}

/** How an exchange ended, in a word. */
function judgeEnding(ending: Ending, text: string, isGoing: boolean, isHead = false): string {
  if (ending.hasLeft) return 'left';
  if (ending.status === 0) throw new Violation(`no answer: ${ending.error}`);
  if (!ending.isComplete) return 'truncated';
  if (ending.status === 200) return 'whole';
  // The body of a refusal to HEAD is not sent.
  if (isHead && text === '') return `refused ${ending.status}`;
  return judgeRefusal(ending.status, ending.headers, text, isGoing);
}
