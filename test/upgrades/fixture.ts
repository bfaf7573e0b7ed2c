/** A gateway with WebSocket services behind it, real peers on both sides. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type ClientOptions, type ServerOptions, WebSocket, WebSocketServer } from 'ws';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';

export interface SocketService {
  readonly url: string;
  readonly server: Server;
  readonly sockets: WebSocketServer;
  /** Handshakes that arrived. */
  readonly asked: IncomingMessage[];
}

/** A service that echoes what WebSockets say, and answers plain requests with `listener`. */
export async function startSocketService(
  t: TestContext,
  options: ServerOptions = {},
  listener: RequestListener = (_request, response) => response.end('plain'),
): Promise<SocketService> {
  const server = createServer(listener);
  const sockets = new WebSocketServer({ noServer: true, ...options });
  const asked: IncomingMessage[] = [];
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('error', () => {});
  });
  server.on('upgrade', (request, socket, head) => {
    asked.push(request);
    sockets.handleUpgrade(request, socket, head, (peer) => sockets.emit('connection', peer, request));
  });
  t.after(() => {
    for (const peer of sockets.clients) peer.terminate();
    server.close();
    server.closeAllConnections();
  });
  return { url: await listenOn(server), server, sockets, asked };
}

export async function listenOn(server: { listen: Server['listen']; address: Server['address'] }): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export const socketRoute = { match: { path: '/ws/*' }, rewrite: '/*', upgrade: {} };

/** A gateway with one service on `/ws/*`. */
export async function startWithSockets(
  t: TestContext,
  service: { readonly url: string },
  route: object = socketRoute,
  config: GatewayConfig = {},
): Promise<TestGateway> {
  const gateway = await startGateway(t, config);
  await registerRest(gateway, 'chat', service.url, [route]);
  return gateway;
}

export interface Peer {
  readonly socket: WebSocket;
  /** The next message. */
  next(): Promise<{ readonly data: Buffer; readonly isBinary: boolean }>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

/** Opens a WebSocket through a gateway, and ends it with the test. */
export async function openSocket(
  t: TestContext,
  gateway: { readonly url: string },
  path = '/ws/room',
  options: ClientOptions = {},
  protocols: string[] = [],
): Promise<Peer> {
  const socket = new WebSocket(gateway.url.replace('http', 'ws') + path, protocols, options);
  t.after(() => socket.terminate());
  const messages: { data: Buffer; isBinary: boolean }[] = [];
  const waiting: ((message: { data: Buffer; isBinary: boolean }) => void)[] = [];
  socket.on('message', (data, isBinary) => {
    const message = { data: data as Buffer, isBinary };
    const first = waiting.shift();
    if (first === undefined) messages.push(message);
    else first(message);
  });
  const { promise: closed, resolve } = Promise.withResolvers<{ code: number; reason: string }>();
  socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  await new Promise<void>((opened, reject) => {
    socket.once('open', opened);
    socket.once('error', reject);
  });
  socket.on('error', () => {});
  return {
    socket,
    closed,
    next: async () => messages.shift() ?? (await new Promise((take) => waiting.push(take))),
  };
}

/** What a client gets in place of a WebSocket. */
export function openRefused(
  gateway: { readonly url: string },
  path = '/ws/room',
  options: ClientOptions = {},
): Promise<{ status: number; headers: IncomingMessage['headers']; body: string }> {
  const socket = new WebSocket(gateway.url.replace('http', 'ws') + path, options);
  return new Promise((resolve, reject) => {
    socket.on('open', () => {
      socket.terminate();
      reject(new Error('it was opened'));
    });
    socket.on('error', reject);
    socket.on('unexpected-response', async (_request, response) => {
      let body = '';
      for await (const piece of response) body += piece;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
    });
  });
}
