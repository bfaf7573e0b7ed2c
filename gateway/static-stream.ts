/** Large files on their way to a client: piece by piece, as fast as the client reads. */
import { GatewayError } from '../policies/errors.ts';
import { isUnchanged, type OpenFile } from './folder-files.ts';
import type { OwnExchange } from './own-answer.ts';

const pieceBytes = 65_536;

/**
 * Sends the bytes from `first` to `last`. A file that is written to meanwhile cannot be sent whole any more: the connection
 * ends before the last piece, so that nobody keeps a mixture of two contents. (One that is replaced stays what it was.)
 */
export async function streamFile(
  file: OpenFile,
  first: number,
  last: number,
  { response, context }: OwnExchange,
): Promise<void> {
  for (let at = first; at <= last; ) {
    const wanted = Math.min(pieceBytes, last - at + 1);
    // A new one each time: what was written belongs to the connection until it is sent.
    const { bytesRead, buffer } = await file.handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
    const isLast = at + bytesRead > last;
    if (bytesRead === 0 || (isLast && !(await isUnchanged(file)))) {
      throw new GatewayError('INTERNAL_SERVER_ERROR', 'The file changed while it was sent');
    }
    if (context.departure.happened) return;
    context.bodyBytes += bytesRead;
    context.meter?.passResponse(bytesRead);
    if (!response.write(buffer.subarray(0, bytesRead)) && !isLast) await drained(response);
    at += bytesRead;
  }
  context.meter?.settle();
  response.end();
}

/** Until the client has read, or has left. */
function drained(response: OwnExchange['response']): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.once('drain', done).once('close', done);
    if (response.destroyed || response.closed) done();
  });
}
