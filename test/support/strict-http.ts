/** HTTP/1.1 read to the letter: what is not exactly as RFC 9112 wants it to be sent is no request. */

export interface StrictField {
  /** In lower case. */
  readonly name: string;
  readonly spelled: string;
  readonly value: string;
}

export interface StrictRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: readonly StrictField[];
  /** Of a request that is not whole, what is there of it. */
  readonly body: string;
  readonly trailers: readonly StrictField[];
}

export interface StrictMessages {
  readonly requests: StrictRequest[];
  /** A whole head whose body is not whole, or is none; what stands behind `requests`. */
  readonly unfinished: StrictRequest | null;
  /** What is left and is no request. */
  readonly rest: string;
}

/**
 * `sent`: to the letter of what is to be sent. `taken`: also what a server may take, and the gateway does: CR and LF
 * before a request, several spaces in its first line, HTTP/1.0, extensions of chunks, any spelling of `chunked`, lengths with leading zeros.
 */
export type Strictness = 'sent' | 'taken';

const requestLines = { sent: /^([A-Z-]+) (\S+) HTTP\/(1\.1)$/, taken: /^([A-Z-]+) +(\S+) +HTTP\/(1\.[01])$/ };
const chunkSizes = { sent: /^([0-9A-Fa-f]{1,7})$/, taken: /^0*([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?$/ };
const lengths = { sent: /^\d{1,9}$/, taken: /^0*\d{1,9}$/ };
const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;

/** All requests of a connection. */
export function parseStrictly(text: string, strictness: Strictness = 'sent'): StrictMessages {
  const requests: StrictRequest[] = [];
  let at = 0;
  for (;;) {
    while (strictness === 'taken' && /[\r\n]/.test(text[at] ?? '')) at++;
    const next = at < text.length ? parseOne(text, at, strictness) : null;
    if (next === null) return { requests, unfinished: null, rest: text.slice(at) };
    if (next.end === null) return { requests, unfinished: next.request, rest: text.slice(at) };
    requests.push(next.request);
    at = next.end;
  }
}

interface Parsed {
  readonly request: StrictRequest;
  /** Null where the body is not whole. */
  readonly end: number | null;
}

interface Body {
  readonly text: string;
  readonly trailers: readonly StrictField[];
  readonly end: number | null;
}

function parseOne(text: string, start: number, strictness: Strictness): Parsed | null {
  const headEnd = text.indexOf('\r\n\r\n', start);
  if (headEnd === -1) return null;
  const [first = '', ...lines] = text.slice(start, headEnd).split('\r\n');
  const line = requestLines[strictness].exec(first);
  const fields = parseFields(lines);
  if (line === null || fields === null) return null;
  const values = (wanted: string) => fields.filter(({ name }) => name === wanted).map(({ value }) => value);
  const [told, codings] = [values('content-length'), values('transfer-encoding')];
  if (told.length + codings.length > 1) return null;
  const body =
    codings.length > 0
      ? readChunks(text, headEnd + 4, codings[0] ?? '', strictness)
      : readLength(text, headEnd + 4, told[0] ?? '0', strictness);
  if (body === null) return null;
  const [, method = '', target = '', version = ''] = line;
  return { request: { method, target, version, fields, body: body.text, trailers: body.trailers }, end: body.end };
}

function parseFields(lines: readonly string[]): StrictField[] | null {
  const fields: StrictField[] = [];
  for (const each of lines) {
    const [match, spelled = '', value = ''] = field.exec(each) ?? [];
    if (match === undefined) return null;
    fields.push({ name: spelled.toLowerCase(), spelled, value: value.replace(/[ \t]+$/, '') });
  }
  return fields;
}

function readLength(text: string, start: number, length: string, strictness: Strictness): Body | null {
  if (!lengths[strictness].test(length)) return null;
  const end = start + Number(length);
  return { text: text.slice(start, end), trailers: [], end: end > text.length ? null : end };
}

function readChunks(text: string, start: number, coding: string, strictness: Strictness): Body | null {
  if ((strictness === 'sent' ? coding : coding.toLowerCase()) !== 'chunked') return null;
  let body = '';
  const broken = (): Body => ({ text: body, trailers: [], end: null });
  for (let at = start; ; ) {
    const lineEnd = text.indexOf('\r\n', at);
    const size = lineEnd === -1 ? null : chunkSizes[strictness].exec(text.slice(at, lineEnd));
    if (size === null) return broken();
    const length = Number.parseInt(size[1] ?? '', 16);
    if (length === 0) return readTrailers(text, lineEnd, body) ?? broken();
    const end = lineEnd + 2 + length;
    body += text.slice(lineEnd + 2, end);
    if (text.slice(end, end + 2) !== '\r\n') return broken();
    at = end + 2;
  }
}

/** From the end of the line of the last chunk. */
function readTrailers(text: string, lineEnd: number, body: string): Body | null {
  const end = text.indexOf('\r\n\r\n', lineEnd);
  if (end === -1) return null;
  const lines = text.slice(lineEnd + 2, end);
  const trailers = lines === '' ? [] : parseFields(lines.split('\r\n'));
  return trailers === null ? null : { text: body, trailers, end: end + 4 };
}
