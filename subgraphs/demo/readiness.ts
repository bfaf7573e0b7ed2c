/** Waiting until the demo works: every instance registered, and a query across services answered. */
import { crossingQuery } from './tour.ts';

export interface ReadinessOptions {
  readonly url: string;
  readonly adminUrl: string;
  /** Ids of the instances that must be registered. */
  readonly instances: readonly string[];
  /** Ends the waiting; its reason is thrown. */
  readonly signal: AbortSignal;
}

const pollMs = 50;

/** Resolves as soon as the demo works. */
export async function waitUntilReady({ url, adminUrl, instances, signal }: ReadinessOptions): Promise<void> {
  await poll(signal, async () => {
    const registered = listInstances(await ask(`${adminUrl}/services`, signal));
    return instances.every((id) => registered.has(id));
  });
  await poll(signal, async () => {
    const answer = await ask(`${url}/graphql`, signal, JSON.stringify({ query: crossingQuery }));
    return isRecord(answer) && isRecord(answer['data']) && answer['errors'] === undefined;
  });
}

async function poll(signal: AbortSignal, isDone: () => Promise<boolean>): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await isDone()) return;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** The JSON of an answer; null when there is none yet. */
async function ask(url: string, signal: AbortSignal, body?: string): Promise<unknown> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]),
      ...(body !== undefined && { method: 'POST', headers: { 'content-type': 'application/json' }, body }),
    });
    return await response.json();
  } catch {
    return null;
  }
}

function listInstances(answer: unknown): ReadonlySet<unknown> {
  const ids = new Set<unknown>();
  for (const service of listOf(answer, 'services')) {
    for (const instance of listOf(service, 'instances')) if (isRecord(instance)) ids.add(instance['id']);
  }
  return ids;
}

function listOf(value: unknown, key: string): readonly unknown[] {
  const list = isRecord(value) ? value[key] : undefined;
  return Array.isArray(list) ? list : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
