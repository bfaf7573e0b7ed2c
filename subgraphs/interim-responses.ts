/** Keeps `100 Continue`, when nobody asked for it, and answers in versions that make their framing doubtful away from undici. */
import type { Socket } from 'node:net';

/** More than any sane interim head; beyond it undici may judge for itself. */
const maxHeadBytes = 16_384;
const headEnd = Buffer.from('\r\n\r\n');
const empty = Buffer.alloc(0);
/** Where the version has its digits: `HTTP/1.1`. */
const [majorAt, minorAt] = [5, 7];
/** Bytes of `HTTP/1.1 100` up to the end of the status. */
const statusLength = 12;

/**
 * Drops every 100 head from what a connection reads. A client must be able to parse and may ignore them
 * (RFC 9110 section 15.2), but undici tears the connection down at a 100 it did not ask for, and some servers send one
 * before every answer to a POST. Other interim answers are undici's: it hands them on.
 *
 * Only the first bytes after a request was written can be such a head; bytes in a body that look like one stay. The
 * head of a request is the only string undici writes that does not begin with a line break (chunk sizes do).
 */
export function dropInterimResponses<T extends Socket>(socket: T): T {
  const read = socket.read.bind(socket);
  const write = socket.write.bind(socket);
  let atHead = true;
  let held: Buffer = empty;

  const readFiltered = (size?: number): Buffer | null => {
    let chunk: Buffer | null = read(size);
    if (!atHead || chunk === null) return chunk;
    if (held.length > 0) chunk = Buffer.concat([held, chunk]);
    held = empty;
    const passed: Buffer[] = [];
    while (isInterim(chunk)) {
      const end = chunk.indexOf(headEnd);
      if (end === -1) break;
      const next = end + headEnd.length;
      if (!isContinue(chunk)) passed.push(chunk.subarray(0, next));
      chunk = chunk.subarray(next);
    }
    if ((mayBecomeInterim(chunk) || isUnfinishedOld(chunk)) && chunk.length <= maxHeadBytes) held = chunk;
    else {
      atHead = false;
      const fault = findVersionFault(chunk);
      if (fault !== null) {
        socket.destroy(new Error(`the answer is malformed: ${fault}`));
        return null;
      }
      passed.push(chunk);
    }
    if (passed.length === 0) return null;
    return passed.length === 1 ? (passed[0] ?? null) : Buffer.concat(passed);
  };
  const writeWatched = (...args: Parameters<typeof socket.write>): boolean => {
    const [chunk] = args;
    if (typeof chunk === 'string' && chunk.charCodeAt(0) !== 13) atHead = true;
    return write(...args);
  };
  return Object.assign(socket, { read: readFiltered, write: writeWatched });
}

/** Whether a whole status stands there and is 1xx, but not 101. */
function isInterim(chunk: Buffer): boolean {
  if (chunk.length < statusLength || chunk[9] !== 0x31 || chunk[0] !== 0x48) return false;
  const line = chunk.toString('latin1', 0, statusLength);
  return /^HTTP\/1\.\d 1\d\d$/.test(line) && !line.endsWith('101');
}

/** Of an interim head. */
function isContinue(chunk: Buffer): boolean {
  return chunk[10] === 0x30 && chunk[11] === 0x30;
}

/** Whether what is there so far may turn out to be an interim head: its status, or its end, has not arrived yet. */
function mayBecomeInterim(chunk: Buffer): boolean {
  if (chunk.length >= statusLength) return isInterim(chunk);
  return 'HTTP/1.'.startsWith(chunk.toString('latin1', 0, 7));
}

/** HTTP/1.0, of which the whole head is needed. */
function isUnfinishedOld(chunk: Buffer): boolean {
  return isOld(chunk) && !chunk.includes(headEnd);
}

function isOld(chunk: Buffer): boolean {
  return chunk[minorAt] === 0x30 && chunk.toString('latin1', 0, minorAt + 1) === 'HTTP/1.0';
}

/** undici does not say which version an answer has. RFC 9112 section 6.1: in HTTP/1.0 a Transfer-Encoding is a fault. */
function findVersionFault(chunk: Buffer): string | null {
  if (chunk[majorAt] === 0x31 && chunk[minorAt] === 0x31) return null;
  if (isOld(chunk)) {
    const head = chunk.toString('latin1', 0, chunk.indexOf(headEnd));
    return /\r\ntransfer-encoding[ \t]*:/i.test(head) ? 'HTTP/1.0 has no Transfer-Encoding' : null;
  }
  // What is no HTTP at all the parser finds out.
  return chunk.toString('latin1', 0, majorAt) === 'HTTP/' ? 'its version is none that was asked for' : null;
}
