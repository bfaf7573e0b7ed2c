/** From what somebody said of a credential to a viewer. */
import type { Viewer } from './request-context.ts';

export interface ViewerParts {
  readonly id: string;
  readonly kind: Viewer['kind'];
  readonly issuer: string | undefined;
  /** A string of words, or a list. */
  readonly scopes: unknown;
  readonly roles: unknown;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Builds a viewer that nobody can change. What is neither words nor a list of them grants nothing. */
export function buildClaimsViewer({ id, kind, issuer, scopes, roles, claims }: ViewerParts): Viewer {
  return Object.freeze({
    id,
    kind,
    issuer,
    scopes: new Set(typeof scopes === 'string' ? scopes.split(' ').filter((scope) => scope !== '') : readWords(scopes)),
    roles: Object.freeze(readWords(roles)),
    claims: Object.freeze(claims),
  });
}

function readWords(claim: unknown): string[] {
  return Array.isArray(claim) ? claim.filter((word) => typeof word === 'string') : [];
}
