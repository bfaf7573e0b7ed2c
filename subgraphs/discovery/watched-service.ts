/**
 * One provider looking for the instances of one service: begun again whenever it fails, ever more slowly, while its last
 * answer stays.
 */
import type { Clock, Timer } from '../clock.ts';
import type { Log } from '../log.ts';
import { type CheckedAnswer, checkAnswer } from './instance-check.ts';
import { type DiscoveredInstance, DiscoveryError, type ProviderName, type Watch } from './provider.ts';

/** How a provider does for a service, as `GET /services/{name}` shows it. */
export interface DiscoveryStatus {
  readonly provider: ProviderName;
  /** Waiting: it has not answered since the gateway started. What was stored serves. */
  readonly state: 'waiting' | 'answering' | 'failing';
  /** Instances of the last answer; null before the first. */
  readonly instances: number | null;
  /** Seconds since the last answer; for a watch also the last change. */
  readonly answerAgeSeconds: number | null;
  /** Why it fails now. */
  readonly error?: string;
  /** Instances of the last answer that cannot be used, and why the first of them cannot. */
  readonly refused?: { readonly count: number; readonly first: string };
}

export interface DiscoveryObserver {
  onAnswer(service: string, provider: ProviderName, instances: number): void;
  onFailure(service: string, provider: ProviderName): void;
  /** Nobody asks this provider for this service any more. */
  onEnd(service: string, provider: ProviderName): void;
}

export interface WatchedServiceOptions {
  readonly service: string;
  readonly provider: ProviderName;
  readonly watch: Watch;
  readonly checkUrl: (url: string) => void;
  /** Called with every answer that is another one than before. */
  readonly onChange: (instances: readonly DiscoveredInstance[]) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly observer?: DiscoveryObserver | undefined;
}

export interface WatchedService extends AsyncDisposable {
  status(): DiscoveryStatus;
}

const firstDelayMs = 1_000;
const longestDelayMs = 60_000;
/** A failure counts as a new one, and is retried soon, when it had worked for so long. */
const steadyMs = 30_000;
/** An answer ends a failure in the log when no other failure comes after it at once. */
const recoveredAfterMs = 5_000;

export function watchService(options: WatchedServiceOptions): WatchedService {
  const { service, provider, watch, clock, random, log, observer } = options;
  const ending = new AbortController();
  const { signal } = ending;
  const about = { service, provider };
  let answer: CheckedAnswer | null = null;
  let fingerprint: string | null = null;
  let answeredAtMs = 0;
  let error: string | null = null;
  let loggedError: string | null = null;
  let recovery: Timer | null = null;

  function report(found: readonly DiscoveredInstance[]): void {
    if (signal.aborted) return;
    const checked = checkAnswer(found, options.checkUrl);
    answeredAtMs = clock.now();
    error = null;
    if (loggedError !== null) recovery ??= clock.setTimer(noteRecovery, recoveredAfterMs);
    observer?.onAnswer(service, provider, checked.instances.length);
    noteRefusals(checked);
    const next = JSON.stringify(checked.instances);
    const isFirst = answer === null;
    answer = checked;
    if (next === fingerprint) return;
    if (checked.instances.length === 0) log.warn('discovery found no instance', about);
    else if (isFirst) log.info('discovery answers', { ...about, instances: checked.instances.length });
    fingerprint = next;
    options.onChange(checked.instances);
  }

  /** Once per change, not once per look. */
  function noteRefusals({ refusals }: CheckedAnswer): void {
    if (refusals.length === 0 || refusals[0] === answer?.refusals[0]) return;
    log.warn('discovery found instances that cannot be used', { ...about, count: refusals.length, first: refusals[0] });
  }

  function noteRecovery(): void {
    recovery = null;
    loggedError = null;
    log.info('discovery answers again', about);
  }

  function noteFailure(thrown: unknown): void {
    recovery?.cancel();
    recovery = null;
    error = describe(thrown);
    observer?.onFailure(service, provider);
    if (error === loggedError) return;
    loggedError = error;
    log.warn('discovery fails; the last answer stays', { ...about, why: error, error: thrown });
  }

  async function run(): Promise<void> {
    let attempt = 0;
    while (!signal.aborted) {
      const startedAtMs = clock.now();
      try {
        await watch({ signal, report, sleep });
        if (!signal.aborted) throw new DiscoveryError('it ended without a word');
      } catch (thrown) {
        if (signal.aborted) return;
        noteFailure(thrown);
      }
      if (error === null || clock.now() - startedAtMs >= steadyMs) attempt = 0;
      const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** attempt++);
      await sleep(delayMs * (0.5 + 0.5 * random())).catch(() => {});
    }
  }

  function sleep(delayMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const timer = clock.setTimer(() => {
        signal.removeEventListener('abort', stop);
        resolve();
      }, delayMs);
      const stop = () => {
        timer.cancel();
        reject(signal.reason);
      };
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  const running = run();

  return {
    status: () => ({
      provider,
      state: error !== null ? 'failing' : answer === null ? 'waiting' : 'answering',
      instances: answer?.instances.length ?? null,
      answerAgeSeconds: answer === null ? null : Math.round((clock.now() - answeredAtMs) / 100) / 10,
      ...(error !== null && { error }),
      ...(answer?.refusals[0] !== undefined && {
        refused: { count: answer.refusals.length, first: answer.refusals[0] },
      }),
    }),
    async [Symbol.asyncDispose]() {
      ending.abort();
      recovery?.cancel();
      observer?.onEnd(service, provider); // at once: another watch may take its place
      await running;
    },
  };
}

/** Our own words, else the code alone: the message of a socket tells addresses. */
function describe(thrown: unknown): string {
  if (thrown instanceof DiscoveryError) return thrown.message;
  if (!(thrown instanceof Error)) return 'unknown';
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.name;
}
