/** The head of a request as it goes over an HTTP/1.1 connection. */
import { errors } from 'undici';
import type { ExchangeRequest } from './exchange.ts';
import { areFieldLines, isFieldValue, isToken } from './field-syntax.ts';

export interface RequestHead {
  readonly text: string;
  /** Whether no other request may follow on the connection. */
  readonly isLast: boolean;
}

const pathPattern = /^\/[\x21-\x7e\x80-\xff]*$/;
/** Methods with which a body is expected: none at all is said to be one of no length (RFC 9110 section 8.6). */
const methodsWithBody: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'QUERY', 'PROPFIND', 'PROPPATCH']);

/**
 * Throws for what cannot be written, or could be read differently. `host` is the one of the instance, unless the fields
 * name one. Fields that are a matter of the connection are made here, as one that is too large or says otherwise would
 * let the service see another request than the gateway has decided on.
 */
export function renderRequestHead(request: ExchangeRequest, host: string, bodyBytes: number): RequestHead {
  const { method, path, headers } = request;
  if (!isToken(method) || method === 'CONNECT') throw new errors.InvalidArgumentError('invalid method');
  if (!pathPattern.test(path)) throw new errors.InvalidArgumentError('invalid request target');
  // Some servers send a body with the answer to a HEAD.
  let closes = method === 'HEAD';
  let named: string | undefined;
  let length: string | undefined;
  let fields = '';
  let lines = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1];
    if (value === undefined) throw new errors.InvalidArgumentError('a field without value');
    switch (connectionField(name)) {
      case '':
        fields += `${name}: ${value}\r\n`;
        lines++;
        break;
      case 'host':
        named = takeOnce(named, value);
        if (!isFieldValue(value)) throw new errors.InvalidArgumentError('invalid host');
        break;
      case 'content-length':
        length = takeOnce(length, value);
        break;
      case 'connection':
        closes ||= /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(value);
        break;
      case 'expect':
        throw new errors.NotSupportedError('Expect cannot be forwarded');
      default:
        throw new errors.InvalidArgumentError('a field of the connection');
    }
  }
  if (!areFieldLines(fields, lines)) throw new errors.InvalidArgumentError('invalid field');
  assertLength(length, bodyBytes);
  const expectsBody = methodsWithBody.has(method);
  const sized = bodyBytes > 0 || expectsBody ? `content-length: ${bodyBytes}\r\n` : '';
  const first = `${method} ${path} HTTP/1.1\r\nhost: ${named ?? host}\r\n`;
  return {
    text: `${first}connection: ${closes ? 'close' : 'keep-alive'}\r\n${fields}${sized}\r\n`,
    // Some servers leave a body unread where they expect none, and would take it for the next request.
    isLast: closes || (bodyBytes > 0 && !expectsBody),
  };
}

/** The name in lower case where it is one of those that the connection decides on. */
function connectionField(name: string): string {
  switch (name.length) {
    case 4:
    case 6:
    case 7:
    case 10:
    case 14:
    case 17: {
      const lower = name.toLowerCase();
      return connectionFields.has(lower) ? lower : '';
    }
    default:
      return '';
  }
}

const connectionFields: ReadonlySet<string> = new Set([
  'host',
  'expect',
  'upgrade',
  'connection',
  'keep-alive',
  'content-length',
  'transfer-encoding',
]);

function takeOnce(known: string | undefined, value: string): string {
  if (known !== undefined) throw new errors.InvalidArgumentError('a field twice');
  return value;
}

function assertLength(length: string | undefined, bodyBytes: number): void {
  if (length === undefined) return;
  if (!/^[0-9]+$/.test(length)) throw new errors.InvalidArgumentError('invalid Content-Length');
  if (bodyBytes > 0 && Number(length) !== bodyBytes) throw new errors.RequestContentLengthMismatchError();
}
