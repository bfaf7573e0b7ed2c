/** One instance of a service, as a process that can be killed: `instance.ts KIND SEED [PORT]`. Over IPC it says its port. */
import { createHash, hash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { type GraphQLSchema, graphql, parse } from 'graphql';
import { type WebSocket, WebSocketServer } from 'ws';
import { createRandom } from '../support/random.ts';
import { federated } from '../support/subgraph.ts';
import { contentOf, describeItem, offersOf, schemas } from './content.ts';
import { answerWith, breakOff, chooseFate, type Fate } from './fates.ts';

const [kind = 'rest', seed = '1', port = '0'] = process.argv.slice(2);
const random = createRandom(Number(seed));
let isCalm = false;
process.on('message', (message) => {
  isCalm = message === 'calm';
});
process.on('disconnect', () => process.exit());

const schema = kind === 'rest' ? null : buildSchema(kind === 'items' ? 'items' : 'offers');
const server = createServer((request, response) => {
  request.on('error', () => {});
  response.on('error', () => {});
  answer(request, response).catch(() => response.destroy());
});
server.requestTimeout = 0;
// As many servers have it: connections that end while the next request is on its way.
server.keepAliveTimeout = 2_000;
const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (!isCalm && random() < 0.05) socket.end('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy');
  else sockets.handleUpgrade(request, socket, head, echo);
});
server.listen(Number(port), '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://instance');
  if (url.pathname === '/health') {
    response.end('ok');
    return;
  }
  const fate: Fate = isCalm ? { kind: 'well' } : chooseFate(random);
  if (schema !== null) return answerOperation(schema, fate, request, response);
  if (url.pathname.startsWith('/upload')) return answerUpload(fate, request, response);
  const seedOfBody = Number(url.searchParams.get('seed'));
  const count = Number(url.searchParams.get('size'));
  if (url.pathname.startsWith('/events')) return sendEvents(fate, seedOfBody, count, response);
  if (!isCalm && random() < 0.05) response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
  await answerWith(
    fate,
    response,
    {
      'content-type': 'application/octet-stream',
      ...(url.searchParams.get('framing') === 'length' && { 'content-length': String(count) }),
      ...(url.pathname.startsWith('/cached') && { 'cache-control': 'max-age=1, stale-while-revalidate=2' }),
    },
    { bytes: count, slice: (from, to) => contentOf(seedOfBody, from, to) },
  );
}

/** The checksum of what arrived. Some answer before they have it all, or go. */
async function answerUpload(fate: Fate, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const patience = fate.kind === 'cut' ? fate.share * 500_000 : Number.POSITIVE_INFINITY;
  const sum = createHash('sha1');
  let bytes = 0;
  for await (const piece of request) {
    sum.update(piece);
    bytes += piece.length;
    if (fate.kind === 'slow' || fate.kind === 'stall') await sleep(5);
    if (bytes > patience) return breakOff(response, random() < 0.5);
    if (fate.kind === 'busy' && bytes > 1_000) break;
  }
  const text = Buffer.from(JSON.stringify({ bytes, sha1: sum.digest('hex') }));
  const headers = { 'content-type': 'application/json', 'content-length': String(text.length) };
  await answerWith(fate, response, headers, { bytes: text.length, slice: (from, to) => text.subarray(from, to) });
}

async function sendEvents(fate: Fate, seedOfBody: number, count: number, response: ServerResponse): Promise<void> {
  if (fate.kind === 'slow' || fate.kind === 'busy' || fate.kind === 'noise' || (fate.kind === 'cut' && !fate.share)) {
    const empty = { bytes: 0, slice: () => Buffer.alloc(0) };
    if (fate.kind !== 'slow') return answerWith(fate, response, {}, empty);
    await sleep(fate.ms);
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const end = 'share' in fate ? Math.floor(fate.share * count) : count;
  for (let n = 0; n < count && !response.destroyed; n++) {
    if (n === end && fate.kind === 'cut') return breakOff(response, fate.reset);
    if (n === end && fate.kind === 'stall') await sleep(fate.ms);
    response.write(`data: ${n} ${hash('sha1', `${seedOfBody} ${n}`)}\n\n`);
    await sleep(5 + random() * 20);
  }
  response.end();
}

async function answerOperation(
  graph: GraphQLSchema,
  fate: Fate,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  const { query, variables, operationName } = JSON.parse(Buffer.concat(pieces).toString());
  const result = await graphql({ schema: graph, source: query, variableValues: variables, operationName });
  const text = Buffer.from(JSON.stringify(result));
  const headers = { 'content-type': 'application/json', 'content-length': String(text.length) };
  await answerWith(fate, response, headers, { bytes: text.length, slice: (from, to) => text.subarray(from, to) });
}

function buildSchema(name: 'items' | 'offers'): GraphQLSchema {
  const items = {
    Query: {
      item: (_: unknown, { id }: { id: string }) => describeItem(id),
      items: (_: unknown, { from, count }: { from: number; count: number }) =>
        Array.from({ length: count }, (_none, n) => describeItem(String(from + n))),
    },
    Mutation: { bump: (_: unknown, { id }: { id: string }) => describeItem(id) },
    Item: { __resolveReference: ({ id }: { id: string }) => describeItem(id) },
  };
  const offers = {
    Item: {
      __resolveReference: ({ id }: { id: string }) => ({ id }),
      offers: ({ id }: { id: string }) => offersOf(id),
    },
  };
  return buildSubgraphSchema([
    { typeDefs: parse(federated(schemas[name])), resolvers: name === 'items' ? items : offers },
  ]);
}

function echo(socket: WebSocket): void {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const dice = isCalm ? 1 : random();
    if (dice < 0.01) socket.terminate();
    else if (dice < 0.02) socket.close(1011);
    else socket.send(data, { binary: isBinary });
  });
}
