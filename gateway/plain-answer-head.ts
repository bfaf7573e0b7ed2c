/** The head of an answer as text (RFC 9112 sections 4, 5, 6). */
import { STATUS_CODES } from 'node:http';
import { areFieldLines, isFieldValue, isToken } from '../subgraphs/field-syntax.ts';

export interface Framing {
  /** For answers that say none themselves. */
  readonly date: string;
  /** Seconds that the connection is kept, 0 for ever; null where it ends with this answer. */
  readonly keepAlive: number | null;
  /** Whether a body may follow at all. */
  readonly hasBody: boolean;
  /** Its length, if that is known and the fields do not tell it; null for unknown. */
  readonly length: number | null;
}

export interface RenderedHead {
  readonly text: string;
  readonly isChunked: boolean;
  readonly keepsAlive: boolean;
}

const saysClose = /(?:^|,)\s*close\s*(?:,|$)/i;

/** Fields as lines, checked: a line break in a value would begin another field, or another message. */
export class PlainAnswerHead {
  /** Each with its CRLF. */
  readonly fields: string;
  readonly #status: number;
  #hasLength = false;
  #hasDate = false;
  #isChunked = false;
  /** What the fields say of the connection; null for nothing. */
  #connection: string | null = null;

  /** @param headers names and values in turn. Throws as Node does for what cannot stand in a head. */
  constructor(status: number, headers: readonly string[]) {
    this.#status = status;
    let fields = '';
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? '';
      const value = headers[i + 1] ?? '';
      this.#note(name, value);
      fields += `${name}: ${value}\r\n`;
    }
    if (!areFieldLines(fields, headers.length / 2)) throw unfit(headers);
    this.fields = fields;
  }

  /** A head before the final one. */
  renderInterim(): string {
    return `${statusLine(this.#status)}${this.fields}\r\n`;
  }

  render({ keepAlive, hasBody, length, date }: Framing): RenderedHead {
    let text = `${statusLine(this.#status)}${this.fields}`;
    if (!this.#hasDate) text += `date: ${date}\r\n`;
    const keepsAlive = keepAlive !== null && !(this.#connection !== null && saysClose.test(this.#connection));
    if (!keepsAlive && this.#connection === null) text += 'connection: close\r\n';
    else if (keepsAlive && this.#connection === null) {
      text += 'connection: keep-alive\r\n';
      if (keepAlive > 0) text += `keep-alive: timeout=${keepAlive}\r\n`;
    }
    let isChunked = this.#isChunked;
    if (hasBody && !this.#hasLength && !isChunked) {
      isChunked = length === null;
      text += length === null ? 'transfer-encoding: chunked\r\n' : `content-length: ${length}\r\n`;
    }
    return { text: `${text}\r\n`, isChunked, keepsAlive };
  }

  #note(name: string, value: string): void {
    // By length first: most names are none of these, and need not be made lower case.
    if (name.length === 4) this.#hasDate ||= name.toLowerCase() === 'date';
    else if (name.length === 14) this.#hasLength ||= name.toLowerCase() === 'content-length';
    else if (name.length === 10 && name.toLowerCase() === 'connection') this.#connection = value;
    else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') this.#isChunked = true;
  }
}

const statusLines: ReadonlyMap<number, string> = new Map(
  Object.entries(STATUS_CODES).map(([status, reason]) => [Number(status), `HTTP/1.1 ${status} ${reason}\r\n`]),
);

function statusLine(status: number): string {
  return statusLines.get(status) ?? `HTTP/1.1 ${status} unknown\r\n`;
}

/** The time as heads say it (RFC 9110 section 5.6.7), rendered once a second. */
export class HttpDate {
  #second = 0;
  #text = '';

  get text(): string {
    const second = Math.floor(Date.now() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1_000).toUTCString();
    }
    return this.#text;
  }
}

/** Which of them it is. */
function unfit(headers: readonly string[]): Error {
  const at = headers.findIndex((text, i) => (i % 2 === 0 ? !isToken(text) : !isFieldValue(text)));
  const [code, name] = at % 2 === 0 ? ['ERR_INVALID_HTTP_TOKEN', headers[at]] : ['ERR_INVALID_CHAR', headers[at - 1]];
  return Object.assign(new TypeError(`The field "${name}" cannot stand in the head of an answer`), { code });
}
