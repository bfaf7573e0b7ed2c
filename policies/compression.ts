/**
 * Compression of answers on their way to the client, the same at both doors. Off unless asked for: an answer that holds a
 * secret and something of the request's sender side by side tells of the secret by its size (BREACH).
 */
import type { IncomingHttpHeaders } from 'node:http';
import Type from 'typebox';
import { availableCodings, type Coding, codings } from './content-codings.ts';
import { parseNames, toHeaderMap } from './http-headers.ts';
import { OneOf, parseSizeBytes, Size } from './units.ts';

/** What shrinks; what is compressed by its nature never is, whatever the list says. */
const defaultTypes = [
  'text/*',
  'application/json',
  'application/*+json',
  'application/javascript',
  'application/xml',
  'application/*+xml',
  'application/x-ndjson',
  'application/jsonl',
  'application/wasm',
  'image/svg+xml',
  'font/ttf',
  'font/otf',
];

/** `compression` of the gateway, a service, a route, or the GraphQL door. */
export const CompressionOptions = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({ default: true, description: '`false` switches off what a level above says.' }),
    ),
    encodings: Type.Optional(
      Type.Array(OneOf(codings), {
        minItems: 1,
        uniqueItems: true,
        default: [...codings],
        description: 'Those that may be used. The first counts where a client likes several alike.',
      }),
    ),
    minimumSize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '1kb', description: 'What is known to be smaller goes out as it is.' }),
    ),
    types: Type.Optional(
      Type.Array(Type.String({ pattern: '^[a-z0-9.+-]+/(\\*|\\*\\+[a-z0-9.-]+|[a-z0-9.+-]+)$', maxLength: 128 }), {
        minItems: 1,
        maxItems: 100,
        default: defaultTypes,
        description:
          'Media types: whole (`application/json`), of one kind (`text/*`), or of one syntax (`application/*+json`). Images, sound, video and archives that are compressed already never are again.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Compresses answers (RFC 9110 section 8.4) that the service left as they are, for clients that accept it. Default: nothing is compressed.',
  },
);
export type CompressionOptions = Type.Static<typeof CompressionOptions>;

/** An answer without its body, as it would go out. */
export interface PlainAnswer {
  readonly status: number;
  /** Name, value, name, value ... */
  readonly headers: string[];
}

/** What becomes of an answer. */
export interface CompressionChoice {
  /** Null: its body goes out as it is. */
  readonly coding: Coding | null;
  /** Whether each piece must leave at once. */
  readonly flushes: boolean;
  readonly headers: string[];
}

/** Decides by the head of an answer, which for HEAD and GET is the same. */
export type ChooseCompression = (answer: PlainAnswer, requestHeaders: IncomingHttpHeaders) => CompressionChoice;

const compressedAlready =
  /^(?:image\/(?!svg\+xml|bmp|x-icon|vnd\.microsoft\.icon)|audio\/|video\/|font\/woff|application\/(?:gzip|zip|zstd|x-(?:7z|bzip|rar|xz|gzip)|vnd\.rar|pdf\b))/;
/** Whoever reads these wants each piece when it was written. */
const readWhileMade =
  /^(?:text\/event-stream|multipart\/|application\/(?:x-ndjson|ndjson|jsonl|json-seq|stream\+json))/;
/** Fields that speak of the bytes of a body: they would not be true of others. */
export const integrityFields: ReadonlySet<string> = new Set([
  'content-digest',
  'repr-digest',
  'digest',
  'content-md5',
  'signature',
]);
const bodyless: ReadonlySet<number> = new Set([204, 205, 206, 304]);

/** Null where nothing is compressed. */
export function compileCompression(options: CompressionOptions | undefined): ChooseCompression | null {
  if (options === undefined || options.enabled === false) return null;
  const offered = (options.encodings ?? codings).filter((coding) => availableCodings.includes(coding));
  if (offered.length === 0) return null;
  const minimumBytes = parseSizeBytes(options.minimumSize ?? '1kb');
  const isListed = compileTypes(options.types ?? defaultTypes);
  return ({ status, headers }, asked) => {
    const fields = toHeaderMap(headers);
    if (status === 304) return unchanged(weakenRevalidated(headers, fields, asked));
    const type = fields['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
    if (bodyless.has(status) || compressedAlready.test(type) || !isListed(type)) return unchanged(headers);
    if (mustStay(fields, asked)) return unchanged(headers);
    const length = fields['content-length'] === undefined ? Number.POSITIVE_INFINITY : Number(fields['content-length']);
    const { coding, refusesIdentity } = negotiateCoding(asked['accept-encoding'], offered);
    if (length === 0 || (length < minimumBytes && !refusesIdentity)) return unchanged(headers);
    // Also where this client gets it plain: a cache must not give the one to who asked for the other.
    const varying = addVary(headers, fields['vary']);
    if (coding === null) return unchanged(varying);
    return { coding, flushes: readWhileMade.test(type), headers: describeCoding(varying, coding) };
  };
}

/**
 * The coding that a client likes best (RFC 9110 section 12.5.3), null for none. A client that says nothing gets none,
 * although it might take any: hardly one that does not ask can unpack.
 */
export function negotiateCoding(
  acceptEncoding: string | string[] | undefined,
  offered: readonly Coding[],
): { readonly coding: Coding | null; readonly refusesIdentity: boolean } {
  const weights = parseWeights(String(acceptEncoding ?? ''));
  const others = weights.get('*');
  const identity = weights.get('identity') ?? (others === 0 ? 0 : undefined);
  let coding: Coding | null = null;
  let best = 0;
  for (const candidate of offered) {
    const weight = weights.get(candidate) ?? others ?? 0;
    if (weight <= best) continue;
    best = weight;
    coding = candidate;
  }
  // Named and preferred, the plain form is a wish like any other.
  return { coding: (identity ?? 0) > best ? null : coding, refusesIdentity: identity === 0 };
}

function parseWeights(field: string): Map<string, number> {
  const weights = new Map<string, number>();
  if (field.length > 1_024) return weights;
  for (const part of field.toLowerCase().split(',')) {
    const match = /^\s*([a-z0-9*_.+-]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?$/.exec(part);
    if (match?.[1] === undefined) continue;
    const weight = Math.min(1, Number(match[2] ?? '1'));
    weights.set(match[1] === 'x-gzip' ? 'gzip' : match[1], weight);
  }
  return weights;
}

function mustStay(fields: Readonly<Record<string, string>>, asked: IncomingHttpHeaders): boolean {
  return (
    (fields['content-encoding'] ?? 'identity').toLowerCase() !== 'identity' ||
    fields['content-range'] !== undefined ||
    // RFC 9111 sections 5.2.1.6 and 5.2.2.6.
    parseNames(fields['cache-control']).includes('no-transform') ||
    parseNames(asked['cache-control']).includes('no-transform') ||
    Object.keys(fields).some((name) => integrityFields.has(name)) ||
    // A client that takes trailers is told that it can check the bytes.
    parseNames(fields['trailer']).some((name) => integrityFields.has(name))
  );
}

function compileTypes(types: readonly string[]): (type: string) => boolean {
  const whole = new Set(types.filter((type) => !type.includes('*')));
  const parts = types.filter((type) => type.includes('*')).map((type) => type.split('*'));
  return (type) =>
    whole.has(type) || parts.some(([start = '', end = '']) => type.startsWith(start) && type.endsWith(end));
}

function addVary(headers: readonly string[], vary: string | undefined): string[] {
  const names = parseNames(vary);
  return names.includes('*') || names.includes('accept-encoding')
    ? [...headers]
    : [...headers, 'vary', 'Accept-Encoding'];
}

/** RFC 9110 section 8.8.3.3: two codings of one thing are not the same bytes, so a strong validator holds for one of them. */
function describeCoding(headers: readonly string[], coding: Coding): string[] {
  const described: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    const lowerCase = name.toLowerCase();
    // Parts are parts of what the service has, and would be of something else here.
    if (lowerCase === 'content-length' || lowerCase === 'content-encoding' || lowerCase === 'accept-ranges') continue;
    described.push(name, lowerCase === 'etag' && !value.startsWith('W/') ? `W/${value}` : value);
  }
  described.push('content-encoding', coding);
  return described;
}

/** RFC 9111 section 4.3.4: a 304 that names a strong validator does not renew what was kept under the weak one. */
function weakenRevalidated(
  headers: string[],
  { etag, vary }: Readonly<Record<string, string>>,
  asked: IncomingHttpHeaders,
): string[] {
  const isOurs = etag !== undefined && !etag.startsWith('W/') && asked['if-none-match']?.includes(`W/${etag}`) === true;
  if (!isOurs) return headers;
  return addVary(headers, vary).map((text, index, all) =>
    index % 2 === 1 && all[index - 1]?.toLowerCase() === 'etag' ? `W/${text}` : text,
  );
}

function unchanged(headers: string[]): CompressionChoice {
  return { coding: null, flushes: false, headers };
}
