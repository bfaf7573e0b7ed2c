/**
 * HTTP/2 beside HTTP/1.1 on one port. The server of HTTP/1.1 stays the one that listens, limits and drains; connections
 * that speak HTTP/2 are handed to another one, whose requests come back as events of the first.
 */
import type { Server } from 'node:http';
import {
  constants,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import type { Socket } from 'node:net';
import { type TLSSocket, Server as TlsServer } from 'node:tls';
import type { ClientLimits } from './client-limits.ts';
import { cutOff } from './client-pace.ts';
import { Http2Request, Http2Response, peer } from './http2-messages.ts';
import { readPreface } from './http2-preface.ts';
import { ResetAllowance } from './reset-allowance.ts';

export interface Http2FrontOptions {
  readonly maxConcurrentStreams: number;
  /** What holds for connections of HTTP/1.1 as well. */
  readonly limits: ClientLimits & { readonly maxHeaderBytes: number; readonly headersTimeoutMs: number };
  /** A client reads nothing of an answer. */
  readonly onSlow: (kind: 'reader') => void;
  /** What a client sends is no HTTP/2. */
  readonly onMalformed: () => void;
}

/** Not in the types yet; see `http2.createServer` in the documentation of Node. */
interface FloodLimits {
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
  readonly strictSingleValueFields: boolean;
}

/**
 * What a client may do without being cut off. Streams that are opened and reset at once cost it nothing and us a request
 * each (CVE-2023-44487): a burst, then so many per second. CONTINUATION frames without end are cut by nghttp2 after eight
 * (CVE-2024-28182), and all that a session holds has an upper bound.
 */
const floodLimits = {
  streamResetBurst: 200,
  streamResetRate: 33,
  maxSettings: 32,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  maxOutstandingPings: 10,
  maxSessionMemory: 10,
} as const;
/** Beside the fields that a request may have: those of its target, and a cookie in pieces. */
const moreHeaderPairs = 64;
/** What a client may send of one body before it is read. */
const windowBytes = 262_144;

/** Lets a server speak HTTP/2 too: with TLS where ALPN says so, else where a connection begins with the preface. */
export function addHttp2(server: Server, options: Http2FrontOptions): void {
  const sessions = new Map<ServerHttp2Session, Socket>();
  const undecided = new Set<Socket>();
  const http2 = createHttp2(options);
  let arriving: Socket | undefined;
  const serveHttp2 = (socket: Socket): void => {
    arriving = socket;
    http2.emit('connection', socket);
  };
  http2.on('session', (session: ServerHttp2Session) => {
    if (arriving === undefined) return;
    Object.assign(session, { [peer]: arriving });
    sessions.set(session, arriving);
    session.once('close', () => sessions.delete(session));
    bindSession(session, arriving, options.limits);
  });
  forwardRequests(http2, server, options);
  cutIdleStreams(http2, server, options);
  endResetFloods(http2, options);

  const event = server instanceof TlsServer ? 'secureConnection' : 'connection';
  const listeners = server.listeners(event);
  const serveHttp1 = (socket: Socket): void => {
    for (const listener of listeners) listener.call(server, socket);
  };
  server.removeAllListeners(event);
  if (server instanceof TlsServer) {
    server.on(event, (socket: TLSSocket) => (socket.alpnProtocol === 'h2' ? serveHttp2(socket) : serveHttp1(socket)));
  } else {
    server.on(event, (socket: Socket) => {
      undecided.add(socket);
      socket.once('close', () => undecided.delete(socket));
      readPreface(socket, options.limits.headersTimeoutMs, (isHttp2) => {
        undecided.delete(socket);
        if (isHttp2) serveHttp2(socket);
        else serveHttp1(socket);
      });
    });
  }
  closeTogether(server, sessions, undecided);
}

/** Of heads that are larger than `maxHeaderSize` those up to twice as large are answered 431; beyond, Node resets their streams. */
function createHttp2({ maxConcurrentStreams, limits }: Http2FrontOptions): Http2Server {
  const options: ServerOptions & FloodLimits = {
    ...floodLimits,
    maxHeaderListPairs: limits.maxHeaderCount + moreHeaderPairs,
    // A service may repeat a field that should come once; HTTP/1.1 lets it pass, and so must its answer here.
    strictSingleValueFields: false,
    settings: { maxConcurrentStreams, maxHeaderListSize: 2 * limits.maxHeaderBytes, initialWindowSize: windowBytes },
    Http2ServerRequest: Http2Request as never,
    Http2ServerResponse: Http2Response as never,
  };
  return createServer(options);
}

/** Whatever listens to the requests of the server shall not have to know of two. */
function forwardRequests(http2: Http2Server, server: Server, { onMalformed }: Http2FrontOptions): void {
  http2.on('request', (request, response) => {
    if (!isWithdrawn(request)) server.emit('request', request, response);
  });
  http2.on('checkContinue', (request, response) => {
    if (isWithdrawn(request) || server.emit('checkContinue', request, response)) return;
    response.writeContinue();
    server.emit('request', request, response);
  });
  http2.on('checkExpectation', (request, response) => server.emit('checkExpectation', request, response));
  // What a client does to its own connection concerns nobody else.
  http2.on('sessionError', (error: NodeJS.ErrnoException) => {
    if (error.code?.startsWith('ERR_HTTP2') === true) onMalformed();
  });
}

/** It came in one piece with the reset of its stream: whoever asked has left. */
function isWithdrawn({ stream }: { readonly stream: ServerHttp2Stream }): boolean {
  return stream.destroyed || stream.closed;
}

/** When a connection ends: with its client, after so many requests, and where nothing is asked any more, or never was. */
function bindSession(
  session: ServerHttp2Session,
  socket: Socket,
  { keepAliveMs, maxRequestsPerConnection }: ClientLimits,
): void {
  let open = 0;
  let count = 0;
  session.on('stream', (stream) => {
    open++;
    stream.once('close', () => open--);
    if (++count === maxRequestsPerConnection) session.close();
  });
  session.setTimeout(keepAliveMs);
  session.on('timeout', () => {
    // Whoever waits for an answer that takes its time is not idle.
    if (open > 0) session.setTimeout(keepAliveMs);
    else session.destroy();
  });
  // HTTP/2 needs both directions to the end of every stream: whoever has closed its own has left.
  socket.once('end', () => socket.destroy());
}

/**
 * Ends the connection of a client that breaks off one request after the other. nghttp2 does so behind the 64 KB that were
 * read with the one too many: two thousand requests would have begun.
 */
function endResetFloods(http2: Http2Server, { onMalformed }: Http2FrontOptions): void {
  const { streamResetBurst: burst, streamResetRate: perSecond } = floodLimits;
  const allowances = new WeakMap<object, ResetAllowance>();
  const count = ({ stream }: Http2Request, response: Http2Response): void => {
    const { session } = stream;
    if (session === undefined) return;
    stream.once('close', () => {
      // What a service broke off, or a connection, is not the client's doing.
      if (!stream.aborted || response.isCut || session.destroyed) return;
      const allowance = allowances.get(session) ?? new ResetAllowance({ burst, perSecond });
      allowances.set(session, allowance);
      if (allowance.take()) return;
      onMalformed();
      session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
  };
  http2.prependListener('request', count as never);
  http2.prependListener('checkContinue', count as never);
}

/**
 * Resets streams of which a client reads nothing, be it that it gives them no window or that it reads nothing at all;
 * where not even the reset goes out, its connection is cut.
 */
function cutIdleStreams(http2: Http2Server, server: Server, { limits, onSlow }: Http2FrontOptions): void {
  /** Answers with what they had sent when they were last looked at; null for those that were reset. */
  const open = new Map<Http2Response, number | null>();
  const track = (request: Http2Request, response: Http2Response): void => {
    open.set(response, -1);
    request.stream.once('close', () => open.delete(response));
  };
  http2.prependListener('request', track as never);
  http2.prependListener('checkContinue', track as never);
  const timer = setInterval(() => {
    for (const [response, before] of open) {
      const { sentLength } = response;
      if (before === null) cutOff(response.req.socket);
      else if (response.writableLength > 0 && sentLength === before) {
        onSlow('reader');
        open.set(response, null);
        response.destroy();
      } else open.set(response, sentLength);
    }
  }, limits.clientIdleMs).unref();
  server.once('close', () => clearInterval(timer));
}

/** With the connections of HTTP/1.1: a session takes nothing new, and is over with its last request (GOAWAY). */
function closeTogether(
  server: Server,
  sessions: ReadonlyMap<ServerHttp2Session, Socket>,
  undecided: ReadonlySet<Socket>,
): void {
  const closeIdle = server.closeIdleConnections.bind(server);
  const closeAll = server.closeAllConnections.bind(server);
  server.closeIdleConnections = () => {
    for (const socket of undecided) socket.destroy();
    for (const [session, socket] of sessions) {
      session.close();
      // All was said, and the client was told that it may go. Node would wait until it does.
      if (session.destroyed && socket.writableFinished) socket.destroy();
    }
    closeIdle();
  };
  server.closeAllConnections = () => {
    for (const socket of undecided) socket.destroy();
    for (const socket of sessions.values()) socket.destroy();
    closeAll();
  };
}
