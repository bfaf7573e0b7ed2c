/** `If-Match` (RFC 9110 section 13.1.1) of services and policies, whose ETag is the revision of their last change. */
import { GatewayError } from '../policies/errors.ts';
import type { Author } from './audit.ts';

/** Who changes something, and on what condition. */
export interface ChangeAuthor extends Author {
  /** The change happens only if what is there has one of these ETags. */
  readonly ifMatch?: string | undefined;
  /** Only look whether the change would be accepted. */
  readonly dryRun?: boolean | undefined;
}

interface Revised {
  readonly name: string;
  readonly revision: number;
}

/** What stands in `ETag` and `If-Match`. */
export function buildEtag({ revision }: Pick<Revised, 'revision'>): string {
  return `"${revision}"`;
}

/** Throws PRECONDITION_FAILED unless what exists is what the caller has seen. */
export function assertMatches(
  existing: Revised | undefined,
  { ifMatch }: ChangeAuthor,
  what: { readonly kind: 'service' | 'policy'; readonly name: string },
): void {
  if (ifMatch === undefined) return;
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (existing !== undefined && (tags.includes('*') || tags.includes(buildEtag(existing)))) return;
  const { kind, name } = what;
  const message = existing === undefined ? `there is no ${kind} ${name}` : `${name} is at ${buildEtag(existing)} now`;
  throw new GatewayError('PRECONDITION_FAILED', message, kind === 'service' ? { service: name } : {});
}
