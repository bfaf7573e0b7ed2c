/** Connections to instances. */
import type { LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { ConnectFailure } from './call-failure.ts';
import { dropInterimResponses } from './interim-responses.ts';

export interface InstanceConnectorOptions {
  /** Name resolution, which may refuse addresses. */
  readonly lookup: LookupFunction | undefined;
  /** Whether HTTP/2 is spoken: with TLS where the instance chooses it, else by prior knowledge. */
  readonly http2: boolean;
}

/** Time to connect. A service that needs longer is as good as gone, and another instance may be near. */
const connectTimeoutMs = 1_500;

/** Not all in the types of undici. */
type ConnectorOptions = buildConnector.BuildOptions & { readonly useH2c: boolean };

/** Builds what connects. It fails with a {@link ConnectFailure}. */
export function createInstanceConnector({ lookup, http2 }: InstanceConnectorOptions): buildConnector.connector {
  const options: ConnectorOptions = {
    timeout: connectTimeoutMs,
    allowH2: http2,
    preferH2: http2,
    useH2c: http2,
    ...(lookup && { lookup }),
  };
  const connect = buildConnector(options);
  return (wanted, callback) =>
    connect(wanted, (...[error, socket]) => {
      if (error !== null) callback(new ConnectFailure(error), null);
      else callback(null, socket);
    });
}

/** The same for a pool. What it makes is of use to undici alone. */
export function createPoolConnector(options: InstanceConnectorOptions): buildConnector.connector {
  const connect = createInstanceConnector(options);
  return (wanted, callback) =>
    connect(wanted, (...[error, socket]) => {
      if (error !== null) callback(error, null);
      else callback(null, isHttp2(socket) ? socket : dropInterimResponses(socket));
    });
}

function isHttp2(socket: object): boolean {
  return 'alpnProtocol' in socket && socket.alpnProtocol === 'h2';
}
