/** Requests over connections of their own: with workers, each connection belongs to one of them. */
import { Agent, request } from 'node:http';

export interface PlainAnswer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

/** Asks over a new connection, or over those of an agent. */
export function ask(
  url: string,
  options: { agent?: Agent; method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<PlainAnswer> {
  const { agent = false, method = 'GET', headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on('error', reject);
      response.on('close', () => reject(new Error('the answer broke off')));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** A GraphQL operation over a new connection, or over those of an agent. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
export async function askGraphql(url: string, query: string, agent?: Agent): Promise<any> {
  const { text } = await ask(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
    ...(agent && { agent }),
  });
  return JSON.parse(text);
}

/** One connection that is kept. */
export function createConnection(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}
