import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../gateway/config-file.ts';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { writeModule } from '../support/plugins.ts';
import { makeFolder } from '../support/process.ts';

test('the plugin of docs/plugins.md does what the page says, loaded by the configuration beside it', async (t) => {
  const page = await readFile(new URL('../../docs/plugins.md', import.meta.url), 'utf8');
  const [code = ''] = [...page.matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1] ?? '');
  const [yaml = ''] = [...page.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1] ?? '');
  const folder = await makeFolder(t);
  await writeModule(folder, 'plugins/tenants.ts', code);
  await writeFile(join(folder, 'selvage.yaml'), yaml);
  const { config } = await loadConfig({ directory: folder, environment: {} });
  const { url, lines } = await startGateway(t, config);
  const refused = await ask(`${url}/any`);
  assert.deepEqual([refused.status, JSON.parse(refused.text).code], [404, 'UNKNOWN_TENANT']);
  assert.equal(refused.headers['x-served-for'], 'nobody');
  const passed = await ask(`${url}/any`, { headers: { host: 'acme.example' } });
  assert.deepEqual([passed.status, JSON.parse(passed.text).code], [404, 'ROUTE_NOT_FOUND']);
  assert.equal(passed.headers['x-served-for'], 'acme');
  assert.ok(lines.some(({ plugin, count }) => plugin === 'tenants' && count === 2));
});
