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
  return [
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
