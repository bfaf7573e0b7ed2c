/** Tokens that are of use to one client only: who presents such a one has to hold the certificate as well (RFC 8705). */
import { assertCertificateTime, type ClientCertificate } from './client-certificate.ts';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';

/**
 * Throws UNAUTHENTICATED where a JWT is bound (`cnf`, RFC 7800) to anything but the certificate that the client holds. One
 * that is bound to a key in another way, as by DPoP (RFC 9449), came without a proof that could be judged here.
 */
export function assertTokenHolder(
  viewer: Viewer,
  findCertificate: () => ClientCertificate | null,
  nowMs: number,
): void {
  const binding = viewer.kind === 'jwt' ? viewer.claims['cnf'] : undefined;
  if (binding === undefined) return;
  const wanted = readThumbprint(binding);
  const certificate = wanted === null ? null : findCertificate();
  if (certificate === null || formatThumbprint(certificate) !== wanted) {
    const message = 'The access token is bound to a key that its sender did not prove to hold';
    const challenge = 'Bearer error="invalid_token", error_description="The access token is bound to a key"';
    throw new GatewayError('UNAUTHENTICATED', message, { challenge });
  }
  assertCertificateTime(certificate, nowMs);
}

/** The thumbprint, where it is all that must be proven. */
function readThumbprint(binding: unknown): string | null {
  if (typeof binding !== 'object' || binding === null) return null;
  const [[name, value] = [], ...others] = Object.entries(binding);
  return name === 'x5t#S256' && typeof value === 'string' && others.length === 0 ? value : null;
}

function formatThumbprint({ fingerprint }: ClientCertificate): string {
  return Buffer.from(fingerprint, 'hex').toString('base64url');
}
