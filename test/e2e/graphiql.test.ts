import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromiumSkipReason, startBrowser } from '../support/chromium.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, until } from '../support/registration.ts';
import { startPlainGraphql, startServer } from '../support/subgraph.ts';

test('a browser gets GraphiQL, which runs a query without any other host', { skip: chromiumSkipReason }, async (t) => {
  // What is said for other answers must not keep the page from running.
  const securityHeaders = { contentSecurityPolicy: "default-src 'none'", override: true };
  const gateway = await startGateway(t, { graphql: { graphiql: true, securityHeaders } });
  const service = await startPlainGraphql(t, 'type Query { hello: String }', {
    Query: { hello: () => 'from the service' },
  });
  await registerGraphql(gateway, 'plain', service.url);
  const browser = await startBrowser(t);
  const page = await browser.newPage();
  const elsewhere: string[] = [];
  const failures: string[] = [];
  page.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(gateway.url)) elsewhere.push(request.url());
  });
  page.on('pageerror', (error) => failures.push(error.message));
  page.on('console', (message) => {
    if (/content security policy/i.test(message.text())) failures.push(message.text());
  });
  await page.goto(`${gateway.url}/graphql?query=${encodeURIComponent('{ hello }')}`);
  await page.getByRole('button', { name: /execute query/i }).click();
  await page.getByText('from the service').waitFor();
  assert.deepEqual([elsewhere, failures], [[], []]);
});

test('GraphiQL runs no script but its own, and is shown in no frame', { skip: chromiumSkipReason }, async (t) => {
  const gateway = await startGateway(t, { graphql: { graphiql: true } });
  const around = await startServer(t, (_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<iframe src="${gateway.url}/graphql"></iframe>`);
  });
  const browser = await startBrowser(t);
  const page = await browser.newPage();
  const refusals: string[] = [];
  page.on('console', (message) => refusals.push(message.text()));
  await page.goto(around.url);
  await until(() => refusals.some((text) => /frame-ancestors/.test(text)), 'the frame is refused');
  await page.goto(`${gateway.url}/graphql`);
  const ran = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.foreign = true';
    document.head.append(script);
    return 'foreign' in window;
  });
  assert.equal(ran, false);
});

test('in production there is no GraphiQL', async (t) => {
  const gateway = await startGateway(t, { graphql: { graphiql: false } });
  const response = await fetch(`${gateway.url}/graphql`, { headers: { accept: 'text/html' } });
  assert.ok(response.status >= 400);
  assert.ok(!(await response.text()).includes('<html'));
});
