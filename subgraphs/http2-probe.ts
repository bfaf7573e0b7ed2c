/** A health check over HTTP/2, for services that are spoken to in it. */
import { Client } from 'undici';
import { ConnectFailure } from './call-failure.ts';
import { createPoolConnector, serverNameOf } from './instance-connector.ts';
import {
  type JudgeAnswer,
  type ProbeAnswer,
  ProbeFailure,
  type ProbeRequest,
  type ProbeTarget,
} from './probe-request.ts';

/** undici takes the name from Host otherwise; its types do not mention it. */
type RequestOptions = Parameters<Client['request']>[0] & { readonly servername: string | undefined };

/**
 * Asks over a connection of its own that is made as those of the calls are: with https the instance chooses the version of
 * HTTP, with http it is 2 by prior knowledge. Rejects with a {@link ProbeFailure}.
 */
export async function probeOverHttp2(
  { url, timeoutMs, lookup, tls = null }: ProbeTarget,
  request: ProbeRequest,
  judge: JudgeAnswer,
): Promise<void> {
  let connected = false;
  const connect = createPoolConnector({ lookup, http2: true, tls });
  const client = new Client(url, {
    allowH2: true,
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: (wanted, callback) =>
      connect(wanted, (...[error, socket]) => {
        if (error !== null) return callback(error, null);
        connected = true;
        callback(null, socket);
      }),
  });
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('timeout')), timeoutMs);
  const servername = serverNameOf(url, tls);
  try {
    await Promise.race([ask(client, { ...request, servername }).then(judge), late.promise]);
  } catch (thrown) {
    throw new ProbeFailure(findCause(thrown), connected);
  } finally {
    clearTimeout(timer);
    void client.destroy();
  }
}

async function ask(client: Client, request: ProbeRequest & { readonly servername: string | undefined }) {
  const options: RequestOptions = { ...request };
  const { statusCode, headers, body, trailers } = await client.request(options);
  // Where only the head is looked at, the rest fails when the connection is given up.
  body.on('error', () => {});
  return { status: statusCode, headers, body, trailers } satisfies ProbeAnswer;
}

/** Of a connection that could not be made, the socket knows why. */
function findCause(thrown: unknown): Error {
  if (!(thrown instanceof Error)) return new Error('unknown');
  return thrown instanceof ConnectFailure && thrown.cause instanceof Error ? thrown.cause : thrown;
}
