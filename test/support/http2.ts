/** A client of HTTP/2 for tests, over real sockets. */
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import type { TestContext } from 'node:test';

export interface Http2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Connects; the session is over when the test ends. */
export async function connectHttp2(
  t: TestContext,
  url: string,
  options: SecureClientSessionOptions = {},
): Promise<ClientHttp2Session> {
  const session = connect(url, options);
  session.on('error', () => {});
  t.after(() => session.destroy());
  await once(session, 'connect');
  return session;
}

/** The answer to a stream; rejects when the stream is reset, or its connection is gone. */
export async function readAnswer(stream: ClientHttp2Stream): Promise<Http2Answer> {
  // A stream of a connection that is refused may end without an error.
  const closed = new Promise<never>((_, reject) => {
    stream.once('close', () => reject(new Error('closed without an answer')));
  });
  closed.catch(() => {});
  const [headers] = (await Promise.race([once(stream, 'response'), closed])) as [
    IncomingHttpHeaders & { ':status'?: number },
  ];
  let text = '';
  stream.setEncoding('latin1');
  for await (const chunk of stream) text += chunk;
  if (stream.rstCode !== 0) throw new Error(`reset with ${stream.rstCode}`);
  return { status: Number(headers[':status']), headers, text };
}

/** One request and its answer. */
export function askHttp2(
  session: ClientHttp2Session,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body?: string | Buffer,
): Promise<Http2Answer> {
  const stream = session.request({ ':path': path, ...headers }, { endStream: body === undefined });
  const answer = readAnswer(stream);
  if (body !== undefined) stream.end(body);
  return answer;
}
