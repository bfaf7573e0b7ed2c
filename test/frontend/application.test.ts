import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { chromiumSkipReason, startBrowser } from '../support/chromium.ts';
import { startShop } from './fixture.ts';

const page = `<!doctype html><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
<base href="/app/"><link rel="stylesheet" href="assets/app-1.css"><main></main><script type="module" src="assets/app-1.js"></script>`;
const script = `const show = async () => {
  const id = location.pathname.split('/').pop() || 'start';
  const order = id === 'start' ? null : await (await fetch('/rest/orders/' + id)).json();
  document.querySelector('main').textContent = order === null ? 'start' : 'order ' + order.id + ' of ' + order.total;
};
show();`;

describe('a single-page application in a browser', { skip: chromiumSkipReason, timeout: 60_000 }, () => {
  it('loads, opens a deep link, and is asked for again with conditions only', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'application-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await mkdir(join(folder, 'assets'));
    await writeFile(join(folder, 'index.html'), page);
    await writeFile(join(folder, 'assets/app-1.js'), script);
    await writeFile(join(folder, 'assets/app-1.css'), 'main { color: rgb(1, 2, 3) }');
    const { url, lines } = await startShop(t, {
      policies: {
        securityHeaders: { preset: 'recommended', contentSecurityPolicy: "default-src 'self'; img-src data:" },
      },
      static: [{ path: '/app/*', folder, fallback: 'index.html', immutable: ['assets/*'] }],
      rest: {
        'GET /rest/orders/:id': { document: 'query Order($id: ID!) { order(id: $id) { id total } }', select: '/order' },
      },
    });
    const browser = await startBrowser(t);
    const tab = await browser.newPage();
    const broken: string[] = [];
    tab.on('pageerror', (error) => broken.push(error.message));
    tab.on('console', (message) => message.type() === 'error' && broken.push(message.text()));
    await tab.goto(`${url}/app/`);
    await tab.getByText('start').waitFor();
    assert.equal(await tab.evaluate('getComputedStyle(document.querySelector("main")).color'), 'rgb(1, 2, 3)');
    await tab.goto(`${url}/app/orders/42`);
    await tab.getByText('order 42 of 12').waitFor();
    const before = lines.length;
    await tab.reload();
    await tab.getByText('order 42 of 12').waitFor();
    assert.deepEqual(broken, []);
    const asked = lines.slice(before).filter(({ path }) => typeof path === 'string');
    const statuses = asked.map(({ path, status }) => `${path} ${status}`);
    assert.ok(statuses.includes('/app/orders/42 304'), statuses.join());
    // What is immutable is not even asked for.
    assert.ok(!statuses.some((one) => one.startsWith('/app/assets/')), statuses.join());
  });
});
