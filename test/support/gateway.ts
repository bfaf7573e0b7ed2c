/** A gateway in this process on free ports, with the calls that tests make. */
import type { TestContext } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { createGateway, type Gateway } from '../../gateway/gateway.ts';

export interface GraphqlAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly data: any;
  readonly errors: readonly { message: string; path?: unknown[]; extensions: Record<string, unknown> }[] | undefined;
}

export interface TestGateway {
  readonly gateway: Gateway;
  readonly url: string;
  readonly adminUrl: string;
  /** Every line that was logged, parsed. */
  readonly lines: Record<string, unknown>[];
  graphql(query: string, options?: { variables?: object; headers?: Record<string, string> }): Promise<GraphqlAnswer>;
  // biome-ignore lint/suspicious/noExplicitAny: see above
  admin(method: string, path: string, body?: unknown): Promise<{ status: number; headers: Headers; body: any }>;
}

/** Starts a gateway with a memory store; it stops when the test ends. */
export async function startGateway(t: TestContext, config: GatewayConfig = {}): Promise<TestGateway> {
  const lines: Record<string, unknown>[] = [];
  const gateway = createGateway(
    {
      store: 'memory',
      logging: { level: 'debug' },
      ...config,
      listen: { host: '127.0.0.1', port: 0, ...config.listen },
      admin: { host: '127.0.0.1', port: 0, ...config.admin },
      shutdown: { delay: '0s', grace: '2s', ...config.shutdown },
    },
    { logDestination: { write: (text: string) => collect(text, lines) } },
  );
  t.after(() => gateway.stop());
  const { url, adminUrl } = await gateway.start();
  return {
    gateway,
    url,
    adminUrl,
    lines,
    async graphql(query, { variables, headers } = {}) {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ query, variables }),
      });
      const body = (await response.json()) as Pick<GraphqlAnswer, 'data' | 'errors'>;
      return { status: response.status, headers: response.headers, data: body.data, errors: body.errors };
    },
    async admin(method, path, body) {
      const response = await fetch(`${adminUrl}${path}`, {
        method,
        ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
    },
  };
}

function collect(text: string, lines: Record<string, unknown>[]): void {
  for (const line of text.split('\n')) if (line !== '') lines.push(JSON.parse(line));
}
