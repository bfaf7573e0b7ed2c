/**
 * Trailers of requests (RFC 9110 section 6.5, RFC 9112 section 7.1.2): fields behind the last chunk of a body. undici ends
 * every body of unknown length with a last chunk and no fields, so they are put there where its bytes meet the connection.
 */
import type { Socket } from 'node:net';
import { isFieldValue, isToken } from './field-syntax.ts';
import type { Upload } from './upload.ts';

/** What may come behind a body while it is on its way. */
export interface RequestTrailers {
  /** For the field `Trailer`: names in a list, never empty. */
  readonly announced: string;
  /** Names and values in turn. To be asked when the body has ended. */
  read(): readonly string[];
}

/** How the connection learns whose body it carries: by the first piece, the very object that was read. */
const owner = Symbol('trailers');
type OwnedPiece = Buffer & { [owner]?: RequestTrailers };

/** As undici writes it. */
const lastChunk = '\r\n0\r\n\r\n';

/** The pieces of an upload, of which the first says what follows the last. */
export function withTrailers(upload: Upload, trailers: RequestTrailers): AsyncIterableIterator<Buffer, undefined> {
  let isFirst = true;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const piece = await upload.next();
      if (isFirst && piece.value !== undefined) (piece.value as OwnedPiece)[owner] = trailers;
      isFirst = false;
      return piece;
    },
    return: () => upload.return(),
  };
}

/** Ends the bodies of {@link withTrailers} with their trailers on a connection of HTTP/1.1. */
export function writeTrailers<T extends Socket>(socket: T): T {
  const write = socket.write.bind(socket);
  let trailers: RequestTrailers | null = null;
  const writeWatched = (...args: Parameters<typeof socket.write>): boolean => {
    const [chunk] = args;
    if (typeof chunk !== 'string') trailers = (chunk as OwnedPiece)[owner] ?? trailers;
    else if (trailers !== null) {
      if (chunk === lastChunk) args[0] = `\r\n0\r\n${renderFields(trailers.read())}\r\n`;
      // The head of another request: the body before it broke off.
      if (chunk === lastChunk || chunk.charCodeAt(0) !== 13) trailers = null;
    }
    return write(...args);
  };
  return Object.assign(socket, { write: writeWatched });
}

/** Whoever read them has checked them; what could end the message before its end is worth a second look. */
function renderFields(fields: readonly string[]): string {
  let text = '';
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [name = '', value = ''] = [fields[i], fields[i + 1]];
    if (isToken(name) && isFieldValue(value)) text += `${name}: ${value}\r\n`;
  }
  return text;
}
