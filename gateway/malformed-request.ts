/** Requests that Node's parser refuses: they never become a request object, and get an answer all the same. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { errorHeaders, errorKinds, GatewayError } from '../policies/errors.ts';
import type { ClientConnections } from './client-connection.ts';

const codes: Readonly<Record<string, GatewayError['code']>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'PAYLOAD_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
};

/** The listener for `clientError`. It reports what it refused without any request, by code. */
export function createMalformedListener(
  connections: ClientConnections,
  onRefusal: (code: GatewayError['code']) => void,
): (error: NodeJS.ErrnoException, socket: Socket) => void {
  return (error, socket) => {
    const connection = connections.of(socket);
    // Before there is TLS, words in the open would be no answer.
    if (!socket.writable || (socket instanceof TLSSocket && socket.getProtocol() === null)) {
      socket.destroy();
      return;
    }
    // The parser says it again for every piece that arrives after.
    if (connection.isDoomed) return;
    const code = codes[error.code ?? ''] ?? 'BAD_REQUEST';
    const { receiving } = connection;
    if (receiving !== undefined && error.code === 'HPE_INVALID_EOF_STATE') {
      // It left in the middle of its body.
      socket.destroy();
      return;
    }
    if (receiving !== undefined) {
      connection.isDoomed = true;
      receiving.response.shouldKeepAlive = false;
      receiving.fail(new GatewayError(code, 'The body of the request is malformed', { cause: error }));
      return;
    }
    connection.finish(() => {
      // What follows a request that said `Connection: close` is not even looked at (RFC 9112 section 9.6).
      if (error.code === 'HPE_CLOSED_CONNECTION' || !socket.writable) socket.end();
      else {
        onRefusal(code);
        socket.end(renderRefusal(new GatewayError(code)));
      }
      setTimeout(destroy, lingerMs, socket).unref();
    });
  };
}

/** How long a client may take to read its refusal. */
const lingerMs = 2_000;

function destroy(socket: Socket): void {
  socket.destroy();
}

/** A whole answer that closes its connection. */
export function renderRefusal(error: GatewayError): string {
  const { status, title } = errorKinds[error.code];
  const body = JSON.stringify({ type: 'about:blank', title, status, detail: error.message, code: error.code });
  const fields = { ...errorHeaders(error), 'content-type': 'application/problem+json', connection: 'close' };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${title}\r\n${lines.join('')}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
