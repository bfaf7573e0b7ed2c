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
  /** Connections to each gateway. @default one for each request */
  readonly connections?: number;
  /** Hears each answer. */
  readonly onStatus?: (status: number) => void;
}

/** Sends `count` requests by turns to the URLs, all at once. */
export async function offer(
  urls: readonly string[],
  count: number,
  { connections, onStatus }: OfferOptions = {},
): Promise<OfferedLoad> {
  const agent = new Agent({ ...(connections !== undefined && { connections }), headersTimeout: 0, bodyTimeout: 0 });
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
  await Promise.all(Array.from({ length: count }, (_, index) => ask(urls[index % urls.length] ?? '')));
  await agent.close();
  return { statuses, failed, durationsMs: durationsMs.toSorted((a, b) => a - b) };
}
