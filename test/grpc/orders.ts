/** A service of gRPC for tests, with a real server and real clients. */

import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type Client,
  type ClientOptions,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceClientConstructor,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { compileProtoFiles } from '../../gateway/proto-files.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

const protoFile = fileURLToPath(new URL('shop.proto', import.meta.url));
const bundled = fileURLToPath(new URL('../../node_modules/protobufjs', import.meta.url));

// biome-ignore lint/suspicious/noExplicitAny: messages of every shape
type Message = any;

/** What a service was asked. */
export interface Seen {
  readonly method: string;
  readonly message: Message;
  readonly metadata: Metadata;
  readonly deadline: Date | number;
  cancelled: boolean;
}

export function loadOrders(): ServiceClientConstructor {
  const loaded = loadSync(protoFile, { includeDirs: [bundled], longs: String, enums: String, oneofs: true });
  const shop = (loadPackageDefinition(loaded)['shop'] as GrpcObject)['v1'] as GrpcObject;
  return shop['Orders'] as ServiceClientConstructor;
}

/** The descriptor set in base64. */
export async function compileOrders(): Promise<string> {
  return (await compileProtoFiles([protoFile], [])).toString('base64');
}

/** Serves it. `behaviour` replaces methods; with credentials of TLS, `https` leads to it. */
export async function startOrders(
  t: TestContext,
  behaviour: UntypedServiceImplementation = {},
  own = ServerCredentials.createInsecure(),
) {
  const seen: Seen[] = [];
  const note = (
    method: string,
    call: { metadata: Metadata; getDeadline(): Date | number; on: Message },
    message: Message,
  ) => {
    const entry: Seen = { method, message, metadata: call.metadata, deadline: call.getDeadline(), cancelled: false };
    seen.push(entry);
    call.on('cancelled', () => {
      entry.cancelled = true;
    });
    return entry;
  };
  type Unary = (call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>) => void;
  const unary =
    (method: string, answer: Unary): Unary =>
    (call, done) => {
      note(method, call, call.request);
      answer(call, done);
    };
  const echoName: Unary = (call, done) => done(null, { text: call.request.name });
  const implementation: UntypedServiceImplementation = {
    Get: unary('Get', (call, done) => {
      const { orderId } = call.request;
      const failure = /^fail-(\d+)$/.exec(orderId);
      if (failure !== null) {
        const trailers = new Metadata();
        trailers.set('x-trailer', 'yes');
        done({ code: Number(failure[1]), details: `nö ${orderId}`, metadata: trailers });
        return;
      }
      const head = new Metadata();
      head.set('x-head', 'yes');
      call.sendMetadata(head);
      done(null, { orderId, totalCents: '9007199254740993', items: [{ sku: 'a', quantity: 2 }], state: 'PAID' });
    }),
    Create: unary('Create', (call, done) => done(null, call.request.order ?? {})),
    Replace: unary('Replace', (call, done) => done(null, call.request)),
    Cancel: unary('Cancel', echoName),
    Approve: unary('Approve', echoName),
    Read: unary('Read', echoName),
    Remove: unary('Remove', (_call, done) => done(null, {})),
    Probe: unary('Probe', echoName),
    Watch: (call: ServerWritableStream<Message, Message>) => {
      note('Watch', call, call.request);
      const { count = 0, failAfter = 0 } = call.request;
      for (let i = 1; i <= count; i++) {
        if (failAfter > 0 && i > failAfter) {
          call.emit('error', { code: status.DATA_LOSS, details: 'lost' });
          return;
        }
        call.write({ text: `note ${i}` });
      }
      if (count >= 0) call.end();
    },
    Collect: (call: ServerReadableStream<Message, Message>, done: sendUnaryData<Message>) => {
      const entry = note('Collect', call, []);
      call.on('data', (message: Message) => entry.message.push(message.text));
      call.on('end', () => done(null, { text: entry.message.join('+') }));
    },
    Chat: (call: ServerDuplexStream<Message, Message>) => {
      note('Chat', call, null);
      call.on('data', (message: Message) => call.write({ text: `re: ${message.text}` }));
      call.on('end', () => call.end());
    },
    ...behaviour,
  };
  const server = new Server();
  server.addService(loadOrders().service, implementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', own, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  t.after(() => server.forceShutdown());
  return { url: `http://127.0.0.1:${port}`, seen, server };
}

/** A gateway before one instance. */
export async function startShop(
  t: TestContext,
  {
    behaviour,
    grpc = {},
    service = {},
    config = {},
  }: {
    behaviour?: UntypedServiceImplementation;
    grpc?: object;
    service?: object;
    config?: GatewayConfig;
  } = {},
) {
  const orders = await startOrders(t, behaviour);
  const gateway = await startGateway(t, { ...config, listen: { http2: { clear: true } } });
  const registered = await gateway.admin('PUT', '/services/shop', {
    grpc: { descriptors: await compileOrders(), ...grpc },
    instances: [{ url: orders.url }],
    ...service,
  });
  if (registered.status >= 300) throw new Error(JSON.stringify(registered.body));
  return { ...orders, gateway, client: connectOrders(t, gateway) };
}

type Orders = Client & Record<string, (...args: Message[]) => Message>;

export function connectOrders(
  t: TestContext,
  gateway: Pick<TestGateway, 'url'>,
  secret = credentials.createInsecure(),
  options: ClientOptions = {},
): Orders {
  const Orders = loadOrders();
  const client = new Orders(new URL(gateway.url).host, secret, options);
  t.after(() => client.close());
  return client as unknown as Orders;
}

export interface UnaryResult {
  readonly error: (Error & { code: number; details: string; metadata: Metadata }) | null;
  readonly message: Message;
  readonly head: Metadata | undefined;
}

/** One call with one answer. */
export function ask(client: Orders, method: string, message: object, metadata = new Metadata(), options = {}) {
  return new Promise<UnaryResult>((resolve) => {
    let head: Metadata | undefined;
    client[method]?.(message, metadata, options, (error: UnaryResult['error'], answer: Message) =>
      resolve({ error, message: answer, head }),
    ).on('metadata', (given: Metadata) => {
      head = given;
    });
  });
}
