/** Header fields that belong to the protocol or to the gateway: neither clients nor rules decide them. */
import { isViewerHeader } from './viewer-headers.ts';

/**
 * Fields for one hop only (RFC 9110 section 7.6.1), with those of RFC 2616 section 13.5.1 that some software still
 * treats so. `te` and `upgrade` are negotiated anew with the service; credentials for a proxy are meant for us.
 */
export const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Fields of a request that the gateway answers for itself: it sets them anew or speaks that part of the protocol with
 * the service on its own. `expect` is answered by our server before the body is read; `trailer` names what really follows.
 */
const ownRequestFields: ReadonlySet<string> = new Set([
  // RFC 9440 section 2.4: only who ends TLS may say them. Services learn of the viewer.
  'client-cert',
  'client-cert-chain',
  'client_cert',
  'client_cert_chain',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'trailer',
  'via',
  'x-real-ip',
  'x-request-id',
  'x-request-timeout-ms',
  'x-route-variant',
  'x-mirrored',
]);

/** Fields that no rule may touch, because they say how long a message is or what it is called. */
const ofTheMessage: ReadonlySet<string> = new Set(['content-length', 'trailer', 'x-request-id']);

/**
 * Whether a client's field stays behind. What the gateway says itself can never come from a client, also not spelled
 * with underscores: services that turn fields into variables (CGI, RFC 3875 section 4.1.18) cannot tell `x_user_id` from
 * `x-user-id`.
 */
export function isHeldBack(lowerCaseName: string): boolean {
  if (hopByHop.has(lowerCaseName) || ownRequestFields.has(lowerCaseName)) return true;
  // All that is left to refuse begins with an x: most names are through here.
  if (!lowerCaseName.startsWith('x')) return false;
  const dashed = lowerCaseName.replaceAll(/[^a-z0-9]/g, '-');
  return dashed.startsWith('x-forwarded-') || ownRequestFields.has(dashed) || isViewerHeader(lowerCaseName);
}

/** Whether rules may not touch a field of this direction. */
export function isReserved(lowerCaseName: string, direction: 'request' | 'response'): boolean {
  if (ofTheMessage.has(lowerCaseName)) return true;
  return direction === 'request' ? isHeldBack(lowerCaseName) : hopByHop.has(lowerCaseName);
}
