/** What the schema cannot say about certificates: of the public port, and of clients. */
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import type { GatewayConfig } from './config-schema.ts';

/** Mistakes between `listen.tls`, `trustedProxies` and `authentication`. */
export function findCertificateMistakes({
  listen,
  trustedProxies = [],
  authentication = {},
}: GatewayConfig): Mistake[] {
  const { clientCertificates = [], clientCertificateHeader: header } = authentication;
  const { clientCa, clientCertificates: asked = 'none' } = listen?.tls ?? {};
  const at = (path: ValuePath, message: string): Mistake => ({ path, message });
  const { port = 4000, tls, redirect } = listen ?? {};
  return [
    ...(redirect !== undefined && tls === undefined
      ? [at(['listen', 'redirect'], 'leads nowhere without `listen.tls`')]
      : []),
    ...(redirect !== undefined && redirect.port === port && port !== 0
      ? [at(['listen', 'redirect', 'port'], `is the public port as well: ${port}`)]
      : []),
    ...(listen?.http2?.clear === true && tls !== undefined
      ? [at(['listen', 'http2', 'clear'], 'has no effect with `listen.tls`: there clients choose HTTP/2 by ALPN')]
      : []),
    ...(asked !== 'none' && clientCa === undefined
      ? [
          at(
            ['listen', 'tls', 'clientCertificates'],
            `\`${asked}\` needs \`clientCa\`: who signs certificates of clients`,
          ),
        ]
      : []),
    ...(asked === 'none' && clientCa !== undefined
      ? [at(['listen', 'tls', 'clientCa'], 'has no effect without `clientCertificates: request` or `require`')]
      : []),
    ...(clientCertificates.length > 0 && asked === 'none' && header === undefined
      ? [
          at(
            ['authentication', 'clientCertificates'],
            'no certificate would ever come: set `listen.tls.clientCertificates`, or `clientCertificateHeader`',
          ),
        ]
      : []),
    ...(header !== undefined && trustedProxies.length === 0
      ? [at(['authentication', 'clientCertificateHeader'], 'nobody may send it: there are no `trustedProxies`')]
      : []),
    ...clientCertificates.flatMap(({ san, subject, fingerprint }, index) =>
      san === undefined && subject === undefined && fingerprint === undefined
        ? [at(['authentication', 'clientCertificates', index], 'needs `san`, `subject` or `fingerprint`')]
        : [],
    ),
  ];
}
