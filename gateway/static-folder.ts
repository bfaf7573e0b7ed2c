/**
 * Files of a folder over HTTP: conditions and ranges (RFC 9110 sections 13 and 14), compressed siblings, and the page of a
 * single-page application for paths that are its own.
 */
import { GatewayError } from '../policies/errors.ts';
import { isNotModified } from '../policies/http-conditions.ts';
import { chooseRange } from '../policies/http-ranges.ts';
import { parseDurationMs } from '../policies/units.ts';
import type { FileTags } from './file-tags.ts';
import { mediaTypeOf } from './file-types.ts';
import { type OpenFile, openFile } from './folder-files.ts';
import { type OwnExchange, sendEmpty, sendWhole, writeHead } from './own-answer.ts';
import { buildOwnGate, type GateSettings, type OwnOutcome, type OwnRoute } from './own-routes.ts';
import type { Coding, StaticFolder } from './static-options.ts';
import { parseFilePath } from './static-path.ts';
import { streamFile } from './static-stream.ts';

const endings: Readonly<Record<Coding, string>> = { br: '.br', gzip: '.gz', zstd: '.zst' };
const methods = ['GET', 'HEAD'] as const;

/** The route of a folder. */
export function buildStaticRoute(options: StaticFolder, settings: GateSettings, tags: FileTags): OwnRoute {
  const gate = buildOwnGate({ kind: 'static', methods, path: options.path, options }, settings);
  const isShared = !gate.needsViewer && gate.requirement === null;
  const folder = new Folder(options, isShared, tags);
  return { gate, methods, path: options.path, answer: (exchange) => folder.answer(exchange) };
}

/** A file that was found, under the name that it is known by. */
interface Found {
  readonly file: OpenFile;
  /** Path below the folder. */
  readonly name: string;
  readonly coding?: Coding;
  /** Whether it is the page that stands for what is no file. */
  readonly isFallback?: boolean;
}

class Folder {
  readonly #options: StaticFolder;
  readonly #prefix: string;
  readonly #tags: FileTags;
  readonly #lifetimeOf: (name: string) => string;

  constructor(options: StaticFolder, isShared: boolean, tags: FileTags) {
    this.#options = options;
    this.#prefix = options.path.slice(0, -1);
    this.#tags = tags;
    this.#lifetimeOf = compileLifetimes(options, isShared);
  }

  async answer(exchange: OwnExchange): Promise<OwnOutcome> {
    const { path, query } = exchange.target;
    // Links of a page that are relative need the slash.
    if (path.length < this.#prefix.length) return redirect(exchange, `${path}/${query}`);
    const names = parseFilePath(path.slice(this.#prefix.length));
    if (names === null) throw notFound();
    const found = await this.#find(names, exchange);
    if (found === 'folder') return redirect(exchange, `${path}/${query}`);
    if (found === null) throw notFound();
    await using file = found.file;
    return await this.#send({ ...found, file }, exchange);
  }

  async #find(names: readonly string[], exchange: OwnExchange): Promise<Found | 'folder' | null> {
    const { index = 'index.html', fallback } = this.#options;
    const isFolder = names.at(-1) === '';
    const asked = isFolder ? [...names.slice(0, -1), ...index.split('/')] : names;
    const found = await this.#open(asked, exchange);
    if (found === 'folder' && !isFolder && (await this.#has([...names, ...index.split('/')]))) return 'folder';
    if (found !== null && found !== 'folder') return found;
    if (fallback === undefined || !isNavigation(asked.at(-1) ?? '', isFolder, exchange)) return null;
    const page = await this.#open(fallback.split('/'), exchange);
    return page === 'folder' || page === null ? null : { ...page, isFallback: true };
  }

  async #has(names: readonly string[]): Promise<boolean> {
    const opened = await openFile(this.#options.folder, names);
    if (opened === null || opened === 'folder') return false;
    await opened[Symbol.asyncDispose]();
    return true;
  }

  /** The file, or what stands compressed beside it: only beside one that is there. */
  async #open(names: readonly string[], { request }: OwnExchange): Promise<Found | 'folder' | null> {
    const { folder, precompressed = [] } = this.#options;
    const file = await openFile(folder, names);
    if (file === null || file === 'folder') return file;
    const name = names.join('/');
    for (const coding of listAccepted(precompressed, request.headers['accept-encoding'])) {
      const sibling = await openFile(folder, [...names.slice(0, -1), `${names.at(-1)}${endings[coding]}`]);
      if (sibling === null || sibling === 'folder') continue;
      await file[Symbol.asyncDispose]();
      return { file: sibling, name, coding };
    }
    return { file, name };
  }

  async #send({ file, name, coding, isFallback }: Found, exchange: OwnExchange): Promise<OwnOutcome> {
    const { request, context } = exchange;
    const { bytes, etag } = await this.#tags.read(file);
    const modified = new Date(Math.floor(file.modifiedAtMs / 1_000) * 1_000).toUTCString();
    const validators = { etag, 'last-modified': modified, date: new Date().toUTCString() };
    const headers = ['etag', etag, 'last-modified', modified, 'cache-control', this.#lifetimeOf(name)];
    const vary = this.#varyOf(name);
    if (vary !== '') headers.push('vary', vary);
    const conditions = readConditions(request.headers);
    if (!meetsPreconditions(conditions, etag, file.modifiedAtMs)) {
      throw new GatewayError('PRECONDITION_FAILED', 'The file is another one than the request wants');
    }
    if (isNotModified(conditions, validators)) return sendEmpty(exchange, 304, headers);
    headers.push('content-type', mediaTypeOf(name), 'x-content-type-options', 'nosniff', 'accept-ranges', 'bytes');
    if (coding !== undefined) headers.push('content-encoding', coding);
    const size = bytes?.length ?? file.sizeBytes;
    const range = context.method === 'GET' ? chooseRange(conditions, validators, size) : { kind: 'whole' as const };
    if (range.kind === 'unsatisfiable') {
      return sendEmpty(exchange, 416, ['content-range', `bytes */${size}`, 'content-length', '0']);
    }
    const isPart = range.kind === 'part';
    const [first, last] = isPart ? [range.first, range.last] : [0, size - 1];
    if (isPart) headers.push('content-range', `bytes ${first}-${last}/${size}`);
    const status = isPart ? 206 : 200;
    const outcome = isPart ? 'range' : isFallback === true ? 'fallback' : 'whole';
    if (bytes !== null) {
      await sendWhole(exchange, status, headers, bytes.subarray(first, last + 1));
      return outcome;
    }
    const encoded = writeHead(exchange, status, [...headers, 'content-length', String(last - first + 1)]);
    if (context.method === 'HEAD') exchange.response.end();
    else await streamFile(file, first, last, exchange, encoded);
    return outcome;
  }

  #varyOf(name: string): string {
    const { precompressed = [], fallback } = this.#options;
    return [...(precompressed.length > 0 ? ['accept-encoding'] : []), ...(name === fallback ? ['accept'] : [])].join(
      ', ',
    );
  }
}

function notFound(): GatewayError {
  return new GatewayError('NOT_FOUND', 'There is no such file');
}

/** 308, so that HEAD stays HEAD. The path is as the client sent it, and begins with one slash: it leads nowhere else. */
function redirect(exchange: OwnExchange, location: string): OwnOutcome {
  return sendEmpty(exchange, 308, ['location', location, 'cache-control', 'no-cache', 'content-length', '0']);
}

/** Whether somebody goes to a page, rather than a page asking for one of its parts. */
function isNavigation(name: string, isFolder: boolean, { request }: OwnExchange): boolean {
  return (isFolder || !name.includes('.')) && /(^|,)\s*text\/html\s*([;,]|$)/i.test(request.headers.accept ?? '');
}

function compileLifetimes({ index, fallback, immutable = [], maxAge }: StaticFolder, isShared: boolean) {
  const who = isShared ? 'public' : 'private';
  const patterns = immutable.map(compilePattern);
  const seconds = maxAge === undefined ? 0 : Math.floor(parseDurationMs(maxAge) / 1_000);
  return (name: string): string => {
    const isPage = name === fallback || name === index || /\.html?$/i.test(name);
    if (!isPage && patterns.some((pattern) => pattern.test(name))) return `${who}, max-age=31536000, immutable`;
    return isPage || seconds === 0 ? `${who}, no-cache` : `${who}, max-age=${seconds}`;
  };
}

function compilePattern(pattern: string): RegExp {
  // Stars in a row say no more than one, and would only cost time.
  const parts = pattern.split(/\*+/).map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}

type Conditions = Readonly<Record<string, string | undefined>>;

function readConditions(headers: OwnExchange['request']['headers']): Conditions {
  const names = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range'];
  return Object.fromEntries(names.map((name) => [name, headers[name] as string | undefined]));
}

/** RFC 9110 section 13.2.2, steps 1 and 2. Tags are compared strongly: a weak one never fits. */
function meetsPreconditions(conditions: Conditions, etag: string, modifiedAtMs: number): boolean {
  const tags = conditions['if-match']?.trim();
  if (tags !== undefined) {
    if (tags === '*') return true;
    return !etag.startsWith('W/') && [...tags.matchAll(/(?:W\/)?"[^"]*"/g)].some(([tag]) => tag === etag);
  }
  const date = Date.parse(conditions['if-unmodified-since'] ?? '');
  return Number.isNaN(date) || Math.floor(modifiedAtMs / 1_000) * 1_000 <= date;
}

/** The codings that a client takes (RFC 9110 section 12.5.3), what it prefers first, else in the order of the folder. */
function listAccepted(offered: readonly Coding[], accept: string | string[] | undefined): readonly Coding[] {
  if (offered.length === 0 || accept === undefined) return [];
  const weights = new Map<string, number>();
  for (const entry of String(accept).toLowerCase().split(',').slice(0, 20)) {
    const [name = '', ...parameters] = entry.split(';').map((part) => part.trim());
    const weight = parameters.find((part) => part.startsWith('q='))?.slice('q='.length);
    weights.set(name === 'x-gzip' ? 'gzip' : name, weight === undefined ? 1 : Number(weight) || 0);
  }
  const weightOf = (coding: Coding) => weights.get(coding) ?? weights.get('*') ?? 0;
  return offered.filter((coding) => weightOf(coding) > 0).toSorted((a, b) => weightOf(b) - weightOf(a));
}
