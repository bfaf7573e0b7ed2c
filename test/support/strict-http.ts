/** HTTP/1.1 read to the letter: what is not exactly as RFC 9112 wants it to be sent is no request. */

export interface StrictRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly [name: string, value: string][];
  readonly body: string;
}

const requestLine = /^([A-Z-]+) (\S+) HTTP\/1\.1$/;
const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;

/** All requests of a connection; `rest` is what is left and is not one. */
export function parseStrictly(text: string): { requests: StrictRequest[]; rest: string } {
  const requests: StrictRequest[] = [];
  let at = 0;
  while (at < text.length) {
    const next = parseOne(text, at);
    if (next === null) break;
    requests.push(next.request);
    at = next.end;
  }
  return { requests, rest: text.slice(at) };
}

function parseOne(text: string, start: number): { request: StrictRequest; end: number } | null {
  const headEnd = text.indexOf('\r\n\r\n', start);
  if (headEnd === -1) return null;
  const [first = '', ...lines] = text.slice(start, headEnd).split('\r\n');
  const line = requestLine.exec(first);
  if (line === null) return null;
  const headers: [string, string][] = [];
  for (const each of lines) {
    const match = field.exec(each);
    if (match === null) return null;
    headers.push([(match[1] ?? '').toLowerCase(), (match[2] ?? '').trimEnd()]);
  }
  const values = (name: string) => headers.filter(([key]) => key === name).map(([, value]) => value);
  const [lengths, codings] = [values('content-length'), values('transfer-encoding')];
  if (lengths.length + codings.length > 1) return null;
  const body =
    codings.length > 0 ? readChunks(text, headEnd + 4, codings[0]) : readLength(text, headEnd + 4, lengths[0]);
  if (body === null) return null;
  return { request: { method: line[1] ?? '', target: line[2] ?? '', headers, body: body.text }, end: body.end };
}

function readLength(text: string, start: number, length = '0'): { text: string; end: number } | null {
  if (!/^\d{1,9}$/.test(length)) return null;
  const end = start + Number(length);
  return end > text.length ? null : { text: text.slice(start, end), end };
}

function readChunks(text: string, start: number, coding = ''): { text: string; end: number } | null {
  if (coding.toLowerCase() !== 'chunked') return null;
  let body = '';
  for (let at = start; ; ) {
    const lineEnd = text.indexOf('\r\n', at);
    const size = lineEnd === -1 ? '' : text.slice(at, lineEnd);
    if (!/^[0-9A-Fa-f]{1,7}$/.test(size)) return null;
    const length = Number.parseInt(size, 16);
    const end = lineEnd + 2 + length;
    if (text.slice(end, end + 2) !== '\r\n') return null;
    if (length === 0) return { text: body, end: end + 2 };
    body += text.slice(lineEnd + 2, end);
    at = end + 2;
  }
}
