/**
 * The head of a request that leaves nothing to interpret. Most requests are like that, and reading them takes a tenth of
 * what a parser for all of HTTP/1.1 needs; everything else is that parser's business, and its refusals too.
 */

/** One whole request, as plain as can be. */
export interface PlainHead {
  readonly method: string;
  readonly url: string;
  /** Name, value, name, value ... as they came. */
  readonly rawHeaders: string[];
  /** By name in lower case; no name comes twice. */
  readonly headers: Record<string, string>;
  /** Whether the connection may carry another one. */
  readonly keepsAlive: boolean;
  /** Null for none. */
  readonly body: Buffer | null;
}

export interface PlainHeadLimits {
  readonly maxHeaderBytes: number;
  readonly maxHeaderCount: number;
}

/** Longer ones are rare, and gain nothing by being read here. */
const maxPlainBytes = 8_192;
const end = Buffer.from('\r\n\r\n');
/** Lines of visible ASCII, each with its CRLF, and an empty one. No expression here can match a text in two ways. */
const plainText = /^(?:[\x20-\x7e]+\r\n)+\r\n$/;
const plainName = /^[a-z][a-z0-9-]*$/;
const plainLength = /^(?:0|[1-9][0-9]{0,8})$/;
const requestLine = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\/[!-~]*) HTTP\/1\.1$/;
/** What changes how a message is framed, or what its connection becomes. */
const notPlain: ReadonlySet<string> = new Set(['transfer-encoding', 'expect', 'upgrade', 'trailer', 'content-length']);

/** The one request that a piece of a connection consists of, to the byte; null where it is not that plain. */
export function readPlainHead(piece: Buffer, limits: PlainHeadLimits): PlainHead | null {
  const endsAt = piece.indexOf(end);
  const length = endsAt + end.length;
  if (endsAt === -1 || length > maxPlainBytes || length > limits.maxHeaderBytes) return null;
  const text = piece.toString('latin1', 0, length);
  if (!plainText.test(text)) return null;
  let lineEnd = text.indexOf('\r\n');
  const asked = requestLine.exec(text.slice(0, lineEnd));
  if (asked === null) return null;
  const rawHeaders: string[] = [];
  const headers: Record<string, string> = {};
  let keepsAlive = true;
  let bodyLength = 0;
  for (let start = lineEnd + 2; start < endsAt; start = lineEnd + 2) {
    lineEnd = text.indexOf('\r\n', start);
    const colon = text.indexOf(': ', start);
    if (colon === -1 || colon > lineEnd) return null;
    const rawName = text.slice(start, colon);
    const name = rawName.toLowerCase();
    const value = text.slice(colon + 2, lineEnd);
    if (value === '' || value.charCodeAt(0) === 0x20 || value.charCodeAt(value.length - 1) === 0x20) return null;
    if (!plainName.test(name) || headers[name] !== undefined) return null;
    if (notPlain.has(name)) {
      if (name !== 'content-length' || !plainLength.test(value)) return null;
      bodyLength = Number(value);
    } else if (name === 'connection') {
      const option = value.toLowerCase();
      if (option !== 'keep-alive' && option !== 'close') return null;
      keepsAlive = option !== 'close';
    }
    rawHeaders.push(rawName, value);
    headers[name] = value;
  }
  if (rawHeaders.length > 2 * limits.maxHeaderCount || headers['host'] === undefined) return null;
  // Not to the byte: another request follows at once, or the rest of this one is still to come.
  if (length + bodyLength !== piece.length) return null;
  const body = bodyLength === 0 ? null : piece.subarray(length);
  return { method: asked[1] ?? '', url: asked[2] ?? '', rawHeaders, headers, keepsAlive, body };
}
