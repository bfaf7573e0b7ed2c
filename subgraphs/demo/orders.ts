/** Demo service: orders over plain REST, as an older system would have them. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type DemoService, runDemoService } from './demo-service.ts';
import { readRequestText } from './request-text.ts';

interface Order {
  readonly id: string;
  readonly customer: string;
  readonly items: readonly OrderItem[];
  readonly status: 'open' | 'shipped';
}

interface OrderItem {
  readonly upc: string;
  readonly quantity: number;
}

interface NewOrder {
  readonly customer: string;
  readonly items: readonly OrderItem[];
}

const initialOrders: readonly Order[] = [
  {
    id: '1',
    customer: 'ada',
    items: [
      { upc: '1', quantity: 1 },
      { upc: '3', quantity: 6 },
    ],
    status: 'shipped',
  },
  { id: '2', customer: 'alan', items: [{ upc: '5', quantity: 1 }], status: 'shipped' },
  {
    id: '3',
    customer: 'grace',
    items: [
      { upc: '7', quantity: 2 },
      { upc: '9', quantity: 1 },
    ],
    status: 'open',
  },
  { id: '4', customer: 'margaret', items: [{ upc: '8', quantity: 1 }], status: 'open' },
];

const exportLines = 40_000;
const maxOrders = 10_000;

/** The requests of one instance, which keeps its orders in memory. */
function createOrdersListener(): RequestListener {
  const orders = [...initialOrders];
  return async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://orders');
    const isReading = request.method === 'GET' || request.method === 'HEAD';
    if (pathname === '/v1/orders') {
      if (request.method === 'POST') return await createOrder(orders, request, response);
      if (!isReading) return refuseMethod(response, 'GET, HEAD, POST');
      const customer = searchParams.get('customer');
      const found = customer === null ? orders : orders.filter((order) => order.customer === customer);
      return answer(response, 200, { orders: found, total: found.length });
    }
    const id = /^\/v1\/orders\/([^/]+)$/.exec(pathname)?.[1];
    if (id === undefined) return refuse(response, 404, 'there is nothing here');
    if (!isReading) return refuseMethod(response, 'GET, HEAD');
    if (id === 'export') return await exportOrders(orders, request, response);
    const order = orders.find((candidate) => candidate.id === id);
    if (order === undefined) return refuse(response, 404, `there is no order ${id}`);
    answer(response, 200, order);
  };
}

async function createOrder(orders: Order[], request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    return refuse(response, 415, 'expected application/json');
  }
  const text = await readRequestText(request).catch(() => '');
  if (text === null) {
    response.setHeader('connection', 'close'); // the rest of the body is not read
    return refuse(response, 413, 'the order is too large');
  }
  const order = parseNewOrder(text, request.headers['x-user-id']);
  if (order === null) return refuse(response, 422, 'expected {"items":[{"upc":"1","quantity":1}]}');
  if (orders.length >= maxOrders) return refuse(response, 503, 'the demo takes no more orders');
  const created: Order = { id: String(orders.length + 1), ...order, status: 'open' };
  orders.push(created);
  // Relative (RFC 9110 section 10.2.2), so that it is right under whatever path a gateway gives the service.
  response.setHeader('location', `orders/${created.id}`);
  answer(response, 201, created);
}

function parseNewOrder(text: string, userId: string | string[] | undefined): NewOrder | null {
  try {
    const { items } = JSON.parse(text);
    if (!Array.isArray(items) || items.length === 0 || !items.every(isOrderItem)) return null;
    const customer = typeof userId === 'string' ? userId : 'anonymous';
    return { customer, items: items.map(({ upc, quantity }) => ({ upc, quantity })) };
  } catch {
    return null;
  }
}

function isOrderItem(value: unknown): value is OrderItem {
  if (typeof value !== 'object' || value === null || !('upc' in value) || !('quantity' in value)) return false;
  const { upc, quantity } = value;
  return typeof upc === 'string' && typeof quantity === 'number' && Number.isInteger(quantity) && quantity > 0;
}

/** About 5 MB of NDJSON, written as fast as the reader takes it and never held whole. */
async function exportOrders(
  orders: readonly Order[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  if (request.method === 'HEAD') return void response.end();
  // Who leaves in the middle ends it.
  await pipeline(Readable.from(listExport(orders)), response).catch(() => {});
}

function* listExport(orders: readonly Order[]): Generator<string> {
  const batch = 500;
  for (let start = 0; start < exportLines; start += batch) {
    let text = '';
    for (let index = start; index < start + batch; index++) {
      const { customer, items, status } = orders[index % orders.length] ?? {};
      const date = new Date(Date.UTC(2024, 0, 1, 0, index)).toISOString();
      text += `${JSON.stringify({ id: `archive-${index}`, date, customer, items, status })}\n`;
    }
    yield text;
  }
}

function answer(response: ServerResponse, status: number, body: unknown, type = 'application/json'): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text); // Node leaves the body of a HEAD request out
}

function refuse(response: ServerResponse, status: number, detail: string): void {
  answer(response, status, { title: 'The order desk cannot do this', status, detail }, 'application/problem+json');
}

function refuseMethod(response: ServerResponse, allow: string): void {
  response.setHeader('allow', allow);
  refuse(response, 405, `expected ${allow}`);
}

/** The service. */
export const orders: DemoService = {
  name: 'orders',
  definition: {
    routes: [
      { match: { path: '/api/orders', methods: ['GET'] }, rewrite: '/v1/orders' },
      {
        match: { path: '/api/orders', methods: ['POST'] },
        rewrite: '/v1/orders',
        authorize: { scopes: ['orders:write'] },
      },
      { match: { path: '/api/orders/*', methods: ['GET'] }, rewrite: '/v1/orders/*' },
    ],
    health: { path: '/health', interval: '2s' },
  },
  createListener: createOrdersListener,
};

if (import.meta.main) await runDemoService(orders);
