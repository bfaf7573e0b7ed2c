/** GraphiQL: the page, and the policy under which a browser runs nothing else in it. */
import { createHash } from 'node:crypto';

export interface GraphiqlPage {
  readonly body: Buffer;
  /** Names and values in turn. */
  readonly headers: readonly string[];
}

/** The page, made when somebody looks at it for the first time: it has nine megabytes. */
export function createGraphiqlPage(): () => Promise<GraphiqlPage> {
  let page: Promise<GraphiqlPage> | undefined;
  return () => (page ??= buildPage());
}

async function buildPage(): Promise<GraphiqlPage> {
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const html = renderGraphiQL({ title: 'Selvage' });
  return {
    body: Buffer.from(html, 'utf8'),
    headers: [
      'content-type',
      'text/html; charset=utf-8',
      'content-security-policy',
      buildPolicy(html),
      'x-frame-options',
      'DENY',
      'x-content-type-options',
      'nosniff',
      'referrer-policy',
      'no-referrer',
      'cross-origin-opener-policy',
      'same-origin',
    ],
  };
}

/** By hashes and not by a nonce: so the page is the same for everybody. The editor writes its styles itself. */
function buildPolicy(html: string): string {
  const hashes = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(([, script = '']) => {
    return `'sha256-${createHash('sha256').update(script).digest('base64')}'`;
  });
  return [
    "default-src 'none'",
    `script-src ${hashes.join(' ')}`,
    "style-src 'unsafe-inline'",
    'img-src data:',
    'font-src data:',
    "connect-src 'self'",
    'worker-src blob:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
