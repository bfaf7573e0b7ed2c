/** The head of an HTTP/1.1 answer, read more strictly than RFC 9112 asks of clients: others read it after us. */
import { isToken } from './field-syntax.ts';

/** How the body of an answer ends: of this many bytes; in chunks; with the connection. */
export type BodyLength = number | 'chunked' | 'close';

export interface AnswerHead {
  readonly status: number;
  /** Name, value, ... as received. */
  readonly rawHeaders: string[];
  readonly length: BodyLength;
  /** Whether the service lets another request follow. */
  readonly keepAlive: boolean;
  /** How long it waits for one, if it says so. */
  readonly keepAliveSeconds: number | undefined;
}

/** Controls other than tabs, and a line break that is only half of one. */
const badBytes = /[^\t\x20-\x7e\x80-\xff\r\n]|\r(?!\n)|(?<!\r)\n/;
/** Status codes of the five classes there are (RFC 9110 section 15). The reason may be missing, its space too. */
const statusLine = /^HTTP\/1\.[01] [1-5][0-9][0-9](?: |\r|$)/;
/** Nothing to object to: see the two above, and {@link isToken}. */
const goodHead =
  /^HTTP\/1\.[01] [1-5][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*)*$/;

/** The bytes are no answer. Its connection is of no use any more. */
export class AnswerFault extends Error {
  override readonly name = 'AnswerFault';
  /** As the parsers of Node and undici name theirs. */
  readonly code = 'HPE_INVALID_ANSWER';

  constructor(what: string) {
    super(`the answer is malformed: ${what}`);
  }
}

/** Throws unless the lines of a head or of trailers are made of what they may be made of. */
export function assertLines(text: string): void {
  if (badBytes.test(text)) throw new AnswerFault('a byte that cannot stand there');
}

/** Adds the fields of `lines`, from `start` on. `isChecked`: what their names are made of is known. */
export function parseFields(text: string, start: number, fields: string[], isChecked = false): void {
  let at = start;
  while (at < text.length) {
    const found = text.indexOf('\r\n', at);
    const end = found === -1 ? text.length : found;
    const colon = text.indexOf(':', at);
    if (colon === -1 || colon >= end) throw new AnswerFault('a field without colon');
    const name = text.slice(at, colon);
    if (!isChecked && !isToken(name)) throw new AnswerFault('the name of a field');
    fields.push(name, trimmed(text, colon + 1, end));
    at = end + 2;
  }
}

/** Without spaces and tabs around it; `trim` would take bytes of other alphabets too. */
function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/** `text`: all lines but the empty one, without the last line break. */
export function parseAnswerHead(text: string, isHead: boolean): AnswerHead {
  // One look at all of it costs half of one at each part; where it does not pass, the parts tell why.
  const isGood = goodHead.test(text);
  if (!isGood) assertLines(text);
  if (!isGood && !statusLine.test(text)) throw new AnswerFault('the status line');
  const status = Number(text.slice(9, 12));
  const firstEnd = text.indexOf('\r\n');
  const rawHeaders: string[] = [];
  if (firstEnd !== -1) parseFields(text, firstEnd + 2, rawHeaders, isGood);

  let length: number | undefined;
  let isChunked = false;
  const isOld = text.charCodeAt(7) === 48;
  let keepAlive = !isOld;
  let closes = false;
  let keepAliveSeconds: number | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    switch (name.length) {
      case 10: {
        const lower = name.toLowerCase();
        if (lower === 'connection') {
          if (value === 'keep-alive') {
            keepAlive = true;
            break;
          }
          const options = value.toLowerCase();
          closes ||= /(?:^|,)[ \t]*close[ \t]*(?:,|$)/.test(options);
          keepAlive ||= /(?:^|,)[ \t]*keep-alive[ \t]*(?:,|$)/.test(options);
        } else if (lower === 'keep-alive') keepAliveSeconds = readTimeout(value);
        break;
      }
      case 14:
        if (name.toLowerCase() !== 'content-length') break;
        if (length !== undefined) throw new AnswerFault('Content-Length twice');
        length = parseLength(value);
        break;
      case 17:
        if (name.toLowerCase() !== 'transfer-encoding') break;
        // Any other coding would be read up to the end of the connection, or passed on as if it were the body. One of
        // HTTP/1.0 has been through somebody who does not know of codings (RFC 9112 section 6.1).
        if (isChunked || value.toLowerCase() !== 'chunked' || isOld) {
          throw new AnswerFault('Transfer-Encoding');
        }
        isChunked = true;
    }
  }
  if (isChunked && length !== undefined) throw new AnswerFault('Content-Length with Transfer-Encoding');
  keepAlive &&= !closes;
  const framed = isChunked ? 'chunked' : (length ?? 'close');
  if (isHead || status < 200) return { status, rawHeaders, length: 0, keepAlive, keepAliveSeconds };
  if (status === 204 || status === 304) {
    // There may be a body after all, where one is announced.
    if (framed !== 'close' && framed !== 0) keepAlive = false;
    return { status, rawHeaders, length: 0, keepAlive, keepAliveSeconds };
  }
  return { status, rawHeaders, length: framed, keepAlive: keepAlive && framed !== 'close', keepAliveSeconds };
}

/** Beyond 15 digits numbers are not exact, and no answer is that long. */
function parseLength(value: string): number {
  if (!/^[0-9]{1,15}$/.test(value)) throw new AnswerFault('Content-Length');
  return Number(value);
}

function readTimeout(value: string): number | undefined {
  const found = /(?:^|[,;\s])timeout\s*=\s*"?([0-9]{1,9})/i.exec(value);
  return found === null ? undefined : Number(found[1]);
}
