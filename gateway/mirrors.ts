/**
 * Mirroring: copies of requests go to another service, and nothing of it reaches the client. A copy is sent when the body
 * has passed whole; it has a deadline of its own, makes one attempt, and is never waited for. What is held for it is bounded by
 * `concurrency` times `maxBodySize`, twice where answers are compared.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable, Transform } from 'node:stream';
import type { RequestContext } from '../policies/request-context.ts';
import { parseDurationMs, parsePercentage, parseSizeBytes } from '../policies/units.ts';
import type { AcceptsVersion, Call, CallRequest } from '../subgraphs/call.ts';
import type { RouteMirror } from '../subgraphs/route-mirror.ts';
import { compileVersion, withoutVariant } from '../subgraphs/route-split.ts';
import { type DifferenceOptions, findDifferences, type KeyedDifferenceOptions } from './answer-difference.ts';
import { KeptAnswer, watchAnswer } from './kept-answer.ts';
import {
  type DifferentAnswers,
  type MirrorOutcome,
  type MirrorReport,
  maxRemembered,
  mirrorOutcomes,
} from './mirror-report.ts';
import type { RouteTarget } from './route-table.ts';

/** A mirror in numbers, compiled once per routing table. */
export interface MirrorRule {
  readonly service: string;
  readonly accepts: AcceptsVersion | undefined;
  readonly share: number;
  readonly maxBodyBytes: number;
  readonly timeoutMs: number;
  readonly concurrency: number;
  /** Null where answers are not compared. */
  readonly compare: DifferenceOptions | null;
}

export function buildMirrorRule(mirror: RouteMirror, service: string): MirrorRule {
  const { compareHeaders = ['content-type'], ignore = [], showValues = false } = mirror;
  return {
    service: mirror.service ?? service,
    accepts: mirror.version === undefined ? undefined : compileVersion(mirror.version),
    share: parsePercentage(mirror.share ?? '100%'),
    maxBodyBytes: parseSizeBytes(mirror.maxBodySize ?? '64kb'),
    timeoutMs: parseDurationMs(mirror.timeout ?? '5s'),
    concurrency: mirror.concurrency ?? 10,
    compare:
      mirror.compare === true
        ? { headers: compareHeaders.map((name) => name.toLowerCase()), ignore, showValues }
        : null,
  };
}

export interface MirrorsOptions {
  readonly call: Call;
  readonly onOutcome?: ((service: string, outcome: MirrorOutcome) => void) | undefined;
  /** @default Math.random */
  readonly random?: () => number;
  /** The clock of deadlines. @default performance.now */
  readonly now?: () => number;
}

interface MirrorState {
  readonly rule: MirrorRule;
  inFlight: number;
  readonly counts: Record<MirrorOutcome, number>;
  readonly last: DifferentAnswers[];
}

/** All mirrors of a process. What they saw outlives routing tables, as long as the route is there. */
export class Mirrors {
  #states = new Map<string, { readonly service: string; readonly route: string; readonly state: MirrorState }>();
  readonly #options: MirrorsOptions;
  /** Hashes of values are for comparing two answers, and mean nothing to any other process. */
  readonly #key = randomBytes(32);

  constructor(options: MirrorsOptions) {
    this.#options = options;
  }

  /** Takes over what a new table says. Routes that are not in it are forgotten. */
  configure(targets: readonly RouteTarget[]): void {
    const before = this.#states;
    this.#states = new Map();
    for (const { service, label, mirror } of targets) {
      if (mirror === null) continue;
      const key = `${service} ${label}`;
      const known = before.get(key)?.state;
      const state = known?.rule.service === mirror.service ? known : createState(mirror);
      this.#states.set(key, { service, route: label, state });
    }
  }

  reports(): readonly MirrorReport[] {
    return [...this.#states.values()].map(({ service, route, state }) => ({
      service,
      route,
      mirror: state.rule.service,
      counts: { ...state.counts },
      last: state.last.toReversed(),
    }));
  }

  /** The request as it goes to its own service, with what makes a copy of it on the way. */
  copy(target: RouteTarget, forwarded: CallRequest, request: IncomingMessage, context: RequestContext): CallRequest {
    const { mirror } = target;
    const state = this.#states.get(`${target.service} ${target.label}`)?.state;
    const { random = Math.random } = this.#options;
    if (mirror === null || state === undefined || random() >= mirror.share) return forwarded;
    const count = (outcome: MirrorOutcome): void => {
      state.counts[outcome]++;
      this.#options.onOutcome?.(target.service, outcome);
    };
    const skip = (outcome: MirrorOutcome): CallRequest => {
      count(outcome);
      return forwarded;
    };
    if (state.inFlight >= mirror.concurrency) return skip('busy');
    // What was read whole may have been made larger, or came without a length.
    const heldBytes = forwarded.body instanceof Readable ? 0 : Buffer.byteLength(forwarded.body ?? '');
    const toldBytes = Number(request.headers['content-length'] ?? 0);
    if (Math.max(heldBytes, toldBytes) > mirror.maxBodyBytes) return skip('too-large');
    state.inFlight++;
    const release = (): void => {
      state.inFlight--;
    };
    const watched = mirror.compare === null ? null : watchAnswer(forwarded.receiver, mirror.maxBodyBytes, context);
    const send = (body: Buffer | null): void => {
      const copied = new KeptAnswer(mirror.compare === null ? 0 : mirror.maxBodyBytes);
      const { accepts, service } = mirror;
      const { accepts: _, zone: __, variant: ___, ...plain } = forwarded;
      const outgoing: CallRequest = {
        ...plain,
        service,
        body,
        headers: [...withoutVariant(forwarded.headers), 'x-mirrored', '1'],
        idempotent: false,
        aside: true,
        timeoutMs: mirror.timeoutMs,
        bodyByDeadline: true,
        receiver: copied,
        ...(accepts !== undefined && { accepts }),
      };
      void this.#send(outgoing, mirror.timeoutMs, context)
        .then(async () => {
          count('sent');
          if (mirror.compare === null || watched === null) return;
          const differences = await compareAnswers(watched.answer, copied, { ...mirror.compare, key: this.#key });
          count(differences === null ? 'not-compared' : differences.length === 0 ? 'equal' : 'different');
          if (differences !== null && differences.length > 0) remember(state.last, context, differences);
        })
        .catch(() => count('failed'))
        .finally(release);
    };
    const receiver = watched?.receiver ?? forwarded.receiver;
    if (!(forwarded.body instanceof Readable)) {
      send(typeof forwarded.body === 'string' ? Buffer.from(forwarded.body) : forwarded.body);
      return { ...forwarded, receiver };
    }
    const body = teeBody(forwarded.body, request, mirror.maxBodyBytes, {
      onWhole: send,
      onTooLarge() {
        count('too-large');
        release();
      },
      onBroken: release,
    });
    return { ...forwarded, receiver, body };
  }

  async #send(outgoing: CallRequest, timeoutMs: number, context: RequestContext): Promise<void> {
    const { now = () => performance.now() } = this.#options;
    const { id, method, headers, client, viewer, viewerFields, name, changeCall } = context;
    await this.#options.call(outgoing, {
      id,
      door: 'rest',
      method,
      headers,
      client,
      viewer,
      viewerFields,
      name,
      changeCall,
      deadlineAtMs: now() + timeoutMs,
      // The client may leave: a copy is on its own.
      departure: { happened: false, subscribe: () => () => {} },
      rateLimit: null,
      errorCode: null,
      atEnd() {},
      attempts: [],
    });
  }
}

function createState(rule: MirrorRule): MirrorState {
  const counts = Object.fromEntries(mirrorOutcomes.map((name) => [name, 0])) as Record<MirrorOutcome, number>;
  return { rule, inFlight: 0, counts, last: [] };
}

/** Null where they cannot be compared: one is too large, encoded, or did not come to its end. */
async function compareAnswers(
  primary: Promise<KeptAnswer | null>,
  copied: KeptAnswer,
  options: KeyedDifferenceOptions,
) {
  const one = (await primary)?.toCompared() ?? null;
  const two = copied.toCompared();
  return one === null || two === null ? null : findDifferences(one, two, options);
}

function remember(
  last: DifferentAnswers[],
  context: RequestContext,
  differences: DifferentAnswers['differences'],
): void {
  const path = 'path' in context ? String(context.path) : '';
  last.push({ time: new Date().toISOString(), requestId: context.id, method: context.method, path, differences });
  if (last.length > maxRemembered) last.shift();
}

interface TeeEvents {
  onWhole(body: Buffer): void;
  onTooLarge(): void;
  /** It ended before its end. */
  onBroken(): void;
}

/** The same stream, of which a copy is kept as long as it is small. */
function teeBody(source: Readable, request: IncomingMessage, maxBytes: number, events: TeeEvents): Readable {
  let chunks: Buffer[] | null = [];
  let size = 0;
  const tee = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size <= maxBytes) chunks?.push(chunk);
      else if (chunks !== null) {
        chunks = null;
        events.onTooLarge();
      }
      done(null, chunk);
    },
    flush(done) {
      if (chunks !== null) events.onWhole(Buffer.concat(chunks));
      chunks = null;
      done();
    },
  });
  tee.once('close', () => {
    if (chunks !== null) events.onBroken();
    chunks = null;
  });
  tee.on('error', () => {});
  source.once('error', (error) => tee.destroy(error));
  request.once('close', () => {
    if (!request.complete) tee.destroy(new Error('the client broke off its request'));
    // An answer came before the end of the request: nobody reads the rest.
    else if (chunks !== null && !tee.writableEnded) tee.destroy();
  });
  return source.pipe(tee);
}
