/** Requests offered to several gateways at once, and what became of them. */
import { Agent, type Dispatcher } from 'undici';

export interface OfferedLoad {
  /** How many answers had each status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Requests without an answer. */
  readonly failed: number;
  /** How long each took, in the order of time. */
  readonly durationsMs: readonly number[];
}

export interface OfferOptions {
  /** How many are under way at the same time. @default all */
  readonly clients?: number;
  /** Hears each answer. */
  readonly onStatus?: (status: number) => void;
}

/** Sends `count` requests by turns to the URLs, all at once or by a number of clients. */
export async function offer(
  urls: readonly string[],
  count: number,
  { clients = count, onStatus }: OfferOptions = {},
): Promise<OfferedLoad> {
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  const statuses = new Map<number, number>();
  const durationsMs: number[] = [];
  let failed = 0;
  const ask = async (url: string): Promise<void> => {
    const { origin, pathname } = new URL(url);
    const startedAt = performance.now();
    try {
      const options: Dispatcher.RequestOptions = { origin, path: pathname, method: 'GET' };
      const { statusCode, body } = await agent.request(options);
      statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
      onStatus?.(statusCode);
      await body.dump();
      durationsMs.push(performance.now() - startedAt);
    } catch {
      failed++;
    }
  };
  let next = 0;
  const askOn = async (): Promise<void> => {
    while (next < count) await ask(urls[next++ % urls.length] ?? '');
  };
  await Promise.all(Array.from({ length: clients }, askOn));
  await agent.close();
  return { statuses, failed, durationsMs: durationsMs.toSorted((a, b) => a - b) };
}
