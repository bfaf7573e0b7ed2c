/** Hash by which a change of content is told from a touch. */
import { createHash } from 'node:crypto';

export function hashContent(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
