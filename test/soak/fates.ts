/** What becomes of an answer of a service whose network, host and code are all bad. */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export type Fate =
  | { readonly kind: 'well' }
  /** The head comes late, or later than anybody waits. */
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'busy' }
  /** No HTTP at all. */
  | { readonly kind: 'noise' }
  /** The connection ends, with FIN or RST, after a share of the body; without any of it at a share of 0. */
  | { readonly kind: 'cut'; readonly reset: boolean; readonly share: number }
  | { readonly kind: 'stall'; readonly ms: number; readonly share: number };

/** In the order of the dice: weights in per mille. */
export function chooseFate(random: () => number): Fate {
  const dice = random() * 1_000;
  const reset = random() < 0.5;
  const share = random();
  if (dice < 30) return { kind: 'slow', ms: random() * 1_000 };
  if (dice < 40) return { kind: 'slow', ms: 1_000 + random() * 4_000 };
  if (dice < 65) return { kind: 'cut', reset, share: 0 };
  if (dice < 125) return { kind: 'cut', reset, share };
  if (dice < 145) return { kind: 'stall', ms: random() * 1_500, share };
  if (dice < 150) return { kind: 'stall', ms: 3_000 + random() * 4_000, share };
  if (dice < 175) return { kind: 'busy' };
  if (dice < 180) return { kind: 'noise' };
  return { kind: 'well' };
}

/** The pieces of a body, made as they are sent. */
export interface AnswerBody {
  readonly bytes: number;
  slice(from: number, to: number): Buffer;
}

const pieceBytes = 65_536;

/** Sends an answer as far as its fate lets it. Without `content-length` it is chunked. */
export async function answerWith(
  fate: Fate,
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
  body: AnswerBody,
): Promise<void> {
  if (fate.kind === 'slow') await sleep(fate.ms);
  if (response.destroyed) return;
  if (fate.kind === 'busy') {
    response.writeHead(503, { 'content-type': 'text/plain', 'retry-after': '1' }).end('busy');
    return;
  }
  if (fate.kind === 'noise') {
    response.socket?.end('HTTP/1.1 abc\u0000 what?\r\n\r\n');
    return;
  }
  if (fate.kind === 'cut' && fate.share === 0) {
    breakOff(response, fate.reset);
    return;
  }
  response.writeHead(200, headers);
  const turn = 'share' in fate ? Math.floor(body.bytes * fate.share) : body.bytes;
  await sendPart(response, body, 0, turn);
  if (fate.kind === 'cut') {
    response.flushHeaders();
    breakOff(response, fate.reset);
    return;
  }
  if (fate.kind === 'stall') await sleep(fate.ms);
  await sendPart(response, body, turn, body.bytes);
  response.end();
}

/** RST, or FIN in the midst of what was promised. */
export function breakOff({ socket }: ServerResponse, reset: boolean): void {
  if (reset) socket?.resetAndDestroy();
  else socket?.end();
}

async function sendPart(response: ServerResponse, body: AnswerBody, from: number, to: number): Promise<void> {
  for (let place = from; place < to && !response.destroyed; place += pieceBytes) {
    const more = response.write(body.slice(place, Math.min(to, place + pieceBytes)));
    if (more) continue;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        response.off('drain', go).off('close', go);
        resolve();
      };
      response.on('drain', go).on('close', go);
    });
  }
}
