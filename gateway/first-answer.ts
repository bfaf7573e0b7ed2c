/** Questions to workers that all of them would answer alike. */
import { GatewayError } from '../policies/errors.ts';
import type { WorkerHandle } from './worker-pool.ts';

/** The answer of the first that can give one. */
export async function askFirst<Answer>(
  members: readonly WorkerHandle[],
  ask: (link: WorkerHandle['link']) => Promise<Answer>,
): Promise<Answer> {
  for (const { link } of members) {
    const answer = await ask(link).catch(() => null);
    if (answer !== null) return answer;
  }
  throw new GatewayError('SERVICE_UNAVAILABLE', 'No worker answers');
}
