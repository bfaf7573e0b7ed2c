/** The certificates of one service as they are now, and as they become when files change. */
import { readFileSync } from 'node:fs';
import {
  type ConnectionOptions,
  createSecureContext,
  type checkServerIdentity as isForHost,
  type PeerCertificate,
} from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { createNameTest } from '../policies/client-certificate.ts';
import { type FileWatch, watchFiles } from './file-watch.ts';
import type { ServiceTlsOptions } from './service-tls-options.ts';

/** What connections to instances are made with. Another object whenever it is something else. */
export type InstanceTls =
  | Pick<ConnectionOptions, 'secureContext' | 'servername' | 'checkServerIdentity'>
  /** There is nothing to connect with, and why. */
  | { readonly failure: Error };

/** Reads the files; what is wrong with them is part of the answer. No message holds a part of a key. */
export function loadServiceTls(options: ServiceTlsOptions): InstanceTls {
  try {
    return buildInstanceTls(options);
  } catch (thrown) {
    return { failure: thrown as Error };
  }
}

function buildInstanceTls(options: ServiceTlsOptions): InstanceTls {
  const { ca, caPem, certificate, key, serverName, subjectAltName, minVersion = 'TLSv1.2' } = options;
  const authorities = ca === undefined ? caPem : read('ca', ca);
  const own = certificate !== undefined &&
    key !== undefined && { cert: read('certificate', certificate), key: read('key', key) };
  const secureContext = build({ minVersion, ...(authorities !== undefined && { ca: authorities }), ...own });
  return {
    secureContext,
    ...(serverName !== undefined && { servername: serverName }),
    ...(subjectAltName !== undefined && { checkServerIdentity: createIdentityCheck(subjectAltName) }),
  };
}

function read(name: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new Error(`tls.${name}: ${file} cannot be read`, { cause });
  }
}

function build(options: Parameters<typeof createSecureContext>[0]): ReturnType<typeof createSecureContext> {
  try {
    return createSecureContext(options);
  } catch (cause) {
    throw new Error('tls: the files hold no CA, or no certificate and the key to it', { cause });
  }
}

/** RFC 9525 section 6: the names that are expected are known beforehand; that of the host says nothing then. */
function createIdentityCheck(expected: readonly string[]): typeof isForHost {
  const tests = expected.map(createNameTest);
  return (host: string, certificate: PeerCertificate) => {
    if (tests.some((fits) => fits(certificate.subjectaltname ?? ''))) return undefined;
    const error = new Error('the certificate has none of the names in `tls.subjectAltName`');
    return Object.assign(error, {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      reason: error.message,
      host,
      cert: certificate,
    });
  };
}

export interface ServiceTlsSurroundings {
  /** `current` is another one. */
  readonly onChange: () => void;
  /** Files were read again (null), or are bad. */
  readonly onTold: (error: unknown) => void;
  /** @default 10_000 */
  readonly intervalMs?: number | undefined;
}

/** What a service says of TLS, followed through its changes and those of its files. */
export class ServiceTls {
  /** Null: the service says nothing. */
  current: InstanceTls | null = null;
  #options: ServiceTlsOptions | undefined;
  #watch: Promise<FileWatch | null> = Promise.resolve(null);
  readonly #surroundings: ServiceTlsSurroundings;

  constructor(surroundings: ServiceTlsSurroundings) {
    this.#surroundings = surroundings;
  }

  /** Reads the files at once: whoever calls makes connections next. `onChange` is for what comes later. */
  configure(options: ServiceTlsOptions | undefined): void {
    if (isDeepStrictEqual(options, this.#options)) return;
    this.close();
    this.#options = options;
    this.current = options === undefined ? null : loadServiceTls(options);
    if (this.current !== null && 'failure' in this.current) this.#surroundings.onTold(this.current.failure);
    if (options !== undefined) this.#watch = this.#follow(options);
  }

  close(): void {
    this.#options = undefined;
    void this.#watch.then((watch) => watch?.close());
  }

  async #follow(options: ServiceTlsOptions): Promise<FileWatch | null> {
    const { onChange, onTold, intervalMs } = this.#surroundings;
    const files = [options.ca, options.certificate, options.key].filter((file) => file !== undefined);
    if (files.length === 0) return null;
    try {
      return await watchFiles({
        files,
        intervalMs,
        load: () => buildInstanceTls(options),
        onError: onTold,
        onChange: (next) => {
          if (this.#options !== options) return;
          this.current = next;
          onChange();
          onTold(null);
        },
      });
    } catch (error) {
      onTold(error);
      return null;
    }
  }
}
