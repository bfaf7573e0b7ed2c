import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromiumSkipReason, startBrowser } from '../support/chromium.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startPlainGraphql } from '../support/subgraph.ts';

test('a browser gets GraphiQL, which runs a query without any other host', { skip: chromiumSkipReason }, async (t) => {
  const gateway = await startGateway(t, { graphql: { graphiql: true } });
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
  await page.goto(`${gateway.url}/graphql?query=${encodeURIComponent('{ hello }')}`);
  await page.getByRole('button', { name: /execute query/i }).click();
  await page.getByText('from the service').waitFor();
  assert.deepEqual([elsewhere, failures], [[], []]);
});

test('in production there is no GraphiQL', async (t) => {
  const gateway = await startGateway(t, { graphql: { graphiql: false } });
  const response = await fetch(`${gateway.url}/graphql`, { headers: { accept: 'text/html' } });
  assert.ok(response.status >= 400);
  assert.ok(!(await response.text()).includes('<html'));
});
