import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import { certificatesSkipReason, createAuthority } from '../support/certificates.ts';
import { chromiumSkipReason, startBrowser } from '../support/chromium.ts';
import { until } from '../support/registration.ts';
import { startJson, startShop } from './fixture.ts';

const pageOf = (
  version: string,
) => `<!doctype html><meta charset="utf-8"><title>Shop ${version}</title><base href="/app/">
<link rel="icon" href="assets/icon-1.svg"><link rel="stylesheet" href="assets/app-1.css">
<nav><a href="/app/orders/1">first</a> <a href="/app/orders/2">second</a> <a href="/app/about">about</a></nav>
<main></main><img src="assets/icon-1.svg" alt=""><script type="module" src="assets/app-${version}.js"></script>`;

/** A router by the history API, with a page that is loaded when it is wanted. */
const scriptOf = (version: string) => `const main = document.querySelector('main');
async function show() {
  const [, , kind = '', id] = location.pathname.split('/');
  if (kind === 'orders') {
    const [order, overview] = await Promise.all(['/rest/orders/' + id, '/overview/' + id].map(async (path) => (await fetch(path)).json()));
    main.textContent = '${version}: order ' + order.id + ' of ' + order.total + ' for ' + overview.user.name;
  } else if (kind === 'about') main.textContent = '${version}: ' + (await import('./about-1.js')).text;
  else main.textContent = '${version}: start';
}
document.querySelector('nav').addEventListener('click', (event) => {
  event.preventDefault();
  history.pushState(null, '', event.target.href);
  show();
});
addEventListener('popstate', show);
show();
${'// so that it is worth compressing\n'.repeat(100)}`;

const icon = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="5"><rect width="7" height="5"/></svg>';

/** A release beside the others; the folder is a link that is turned to it. */
async function release(root: string, version: string, script: string): Promise<void> {
  const folder = join(root, `release-${version}`);
  await mkdir(join(folder, 'assets'), { recursive: true });
  await writeFile(join(folder, 'index.html'), pageOf(version));
  await writeFile(join(folder, 'assets/app-1.css'), 'main { color: rgb(1, 2, 3) }');
  await writeFile(join(folder, 'assets/icon-1.svg'), icon);
  await writeFile(join(folder, 'assets/about-1.js'), "export const text = 'about us';");
  await writeFile(join(folder, `assets/app-${version}.js`), script);
  await writeFile(join(folder, `assets/app-${version}.js.br`), brotliCompressSync(script));
  await symlink(folder, join(root, 'next'));
  await rename(join(root, 'next'), join(root, 'dist'));
}

const skip = chromiumSkipReason || certificatesSkipReason;

describe('a single-page application with history, over HTTP/2 in a browser', { skip, timeout: 60_000 }, () => {
  it('moves by its own router, back and forth, reloads anywhere, and gets a new release at the next reload', async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'browsed-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    await release(root, '1', scriptOf('1'));
    const authority = await createAuthority(t);
    const certificate = await authority.issue('shop', { usage: 'serverAuth', san: 'IP:127.0.0.1' });
    const users = await startJson(t, () => ({ name: 'Ada' }));
    const { url, lines } = await startShop(t, {
      listen: { tls: { certificate: certificate.certificateFile, key: certificate.keyFile } },
      static: [
        {
          path: '/app/*',
          folder: join(root, 'dist'),
          fallback: 'index.html',
          immutable: ['assets/*'],
          precompressed: ['br', 'gzip'],
          securityHeaders: { preset: 'recommended', contentSecurityPolicy: "default-src 'self'" },
        },
      ],
      aggregate: { '/overview/:id': { parts: { user: { service: 'users', path: '/users/:id' } } } },
      rest: {
        'GET /rest/orders/:id': { document: 'query ($id: ID!) { order(id: $id) { id total } }', select: '/order' },
      },
      services: { users: { instances: [{ url: users.url }], routes: [{ match: { path: '/users/*' } }] } },
    });
    const browser = await startBrowser(t, certificate);
    const tab = await browser.newPage();
    const broken: string[] = [];
    tab.on('pageerror', (error) => broken.push(error.message));
    tab.on('console', (message) => message.type() === 'error' && broken.push(message.text()));
    const codings = new Map<string, string | undefined>();
    tab.on('response', (response) => {
      codings.set(new URL(response.url()).pathname, response.headers()['content-encoding']);
    });
    const main = (text: string) => tab.locator('main', { hasText: text }).waitFor();
    const askedSince = (from: number) =>
      lines.slice(from).flatMap(({ path, status }) => (typeof path === 'string' ? [`${path} ${String(status)}`] : []));

    await tab.goto(`${url}/app`);
    await main('1: start');
    assert.equal(new URL(tab.url()).pathname, '/app/');
    assert.equal(codings.get('/app/assets/app-1.js'), 'br');
    assert.equal(await tab.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol"), 'h2');
    assert.equal(await tab.evaluate("document.querySelector('img').naturalWidth"), 7);
    assert.equal(await tab.evaluate("getComputedStyle(document.querySelector('main')).color"), 'rgb(1, 2, 3)');

    // Its own router asks for no page.
    const atStart = lines.length;
    await tab.getByText('first').click();
    await main('1: order 1 of 12 for Ada');
    await tab.getByText('second').click();
    await main('1: order 2 of 12 for Ada');
    await tab.getByText('about', { exact: true }).click();
    await main('1: about us');
    await tab.goBack();
    await main('1: order 2');
    await tab.goBack();
    await main('1: order 1');
    await tab.goForward();
    await main('1: order 2');
    await until(() => askedSince(atStart).some((one) => one.startsWith('/rest/orders/2')), 'the lines');
    assert.ok(!askedSince(atStart).some((one) => /^\/app\/(orders|about)/.test(one)), askedSince(atStart).join());

    // A reload in the middle asks for the page alone, with its tag.
    const atReload = lines.length;
    await tab.reload();
    await main('1: order 2 of 12');
    await until(() => askedSince(atReload).some((one) => one.startsWith('/app/orders/2')), 'the line');
    const reloaded = askedSince(atReload).filter((one) => one.startsWith('/app/'));
    assert.ok(reloaded.includes('/app/orders/2 200') || reloaded.includes('/app/orders/2 304'), reloaded.join());
    assert.ok(!reloaded.some((one) => one.startsWith('/app/assets/')), reloaded.join());

    // An open page keeps what it has; the next reload has the next release, and of that only what is new.
    await release(root, '2', scriptOf('2'));
    await tab.getByText('about', { exact: true }).click();
    await main('1: about us');
    const atRelease = lines.length;
    await tab.reload();
    await main('2: about us');
    assert.equal(await tab.title(), 'Shop 2');
    await until(() => askedSince(atRelease).some((one) => one.startsWith('/app/assets/app-2.js')), 'the line');
    const renewed = askedSince(atRelease).filter((one) => one.startsWith('/app/assets/'));
    assert.deepEqual(renewed, ['/app/assets/app-2.js 200']);
    assert.deepEqual(broken, []);
  });
});
