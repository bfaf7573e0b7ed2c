/** Connections to instances. */
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { ConnectFailure } from './call-failure.ts';
import { dropInterimResponses } from './interim-responses.ts';
import { writeTrailers } from './request-trailers.ts';
import type { InstanceTls } from './service-tls.ts';

/** How the instances of a service are spoken to. */
export interface InstanceTransport {
  /** Whether HTTP/2 is spoken: with TLS where the instance chooses it, else by prior knowledge. */
  readonly http2: boolean;
  /** What the service says of TLS; null: what Node believes, and nothing to show. */
  readonly tls: InstanceTls | null;
}

export interface InstanceConnectorOptions extends InstanceTransport {
  /** Name resolution, which may refuse addresses. */
  readonly lookup: LookupFunction | undefined;
}

/** Whether the instances of a service are spoken to in HTTP/2. */
export function speaksHttp2({ http2, grpc }: { readonly http2?: boolean; readonly grpc?: object }): boolean {
  return http2 === true || grpc !== undefined;
}

/** Time to connect. A service that needs longer is as good as gone, and another instance may be near. */
const connectTimeoutMs = 1_500;

/** Not all in the types of undici. */
type ConnectorOptions = buildConnector.BuildOptions & { readonly useH2c: boolean };

/** Builds what connects. It fails with a {@link ConnectFailure}. */
export function createInstanceConnector({ lookup, http2, tls }: InstanceConnectorOptions): buildConnector.connector {
  const options: ConnectorOptions = {
    timeout: connectTimeoutMs,
    allowH2: http2,
    preferH2: http2,
    useH2c: http2,
    ...(lookup && { lookup }),
    ...(tls !== null && !('failure' in tls) && tls),
  };
  const connect = buildConnector(options);
  return (wanted, callback) => {
    const refusal = tls === null ? null : findRefusal(tls, wanted.protocol);
    if (refusal !== null) {
      setImmediate(callback, new ConnectFailure(refusal), null);
      return;
    }
    connect(wanted, (...[error, socket]) => {
      if (error !== null) callback(new ConnectFailure(error), null);
      else callback(null, socket);
    });
  };
}

/** Why nothing may be sent although there is somebody to send it to. */
export function findRefusal(tls: InstanceTls, protocol: string | undefined): Error | null {
  if ('failure' in tls) return tls.failure;
  return protocol === 'https:' ? null : new Error('the service asks for TLS, and the instance has none');
}

/** The same for a pool. What it makes is of use to undici alone. */
export function createPoolConnector(options: InstanceConnectorOptions): buildConnector.connector {
  const connect = createInstanceConnector(options);
  return (wanted, callback) =>
    connect(wanted, (...[error, socket]) => {
      if (error !== null) callback(error, null);
      else callback(null, isHttp2(socket) ? socket : dropInterimResponses(writeTrailers(socket)));
    });
}

/** The name of an instance for TLS: what the service says, else its own. An address is none (RFC 6066 section 3). */
export function serverNameOf(origin: string, tls: InstanceTls | null): string | undefined {
  if (tls !== null && 'servername' in tls && tls.servername !== undefined) return tls.servername;
  const { protocol, hostname } = new URL(origin);
  return protocol === 'https:' && isIP(hostname.replace(/^\[|\]$/g, '')) === 0 ? hostname : undefined;
}

function isHttp2(socket: object): boolean {
  return 'alpnProtocol' in socket && socket.alpnProtocol === 'h2';
}
