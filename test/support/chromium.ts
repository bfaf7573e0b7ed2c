/** A real browser, where there is one. */
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { type Browser, chromium } from 'playwright-core';

const places = [
  process.env['CHROMIUM_PATH'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const executablePath = places.find((place) => place !== undefined && existsSync(place));

/** Why tests of pages cannot run; false when they can. In CI there is no such excuse. */
export const chromiumSkipReason: string | false =
  executablePath !== undefined || process.env['CI'] !== undefined
    ? false
    : 'no Chromium: install the package chromium, or set CHROMIUM_PATH';

/** Starts a browser that talks to nobody but the pages it is given; it closes when the test ends. */
export async function startBrowser(t: TestContext): Promise<Browser> {
  if (executablePath === undefined) throw new Error('no Chromium: install the package chromium, or set CHROMIUM_PATH');
  const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', ...quiet, '--disable-component-update', '--disable-sync'],
  });
  t.after(() => browser.close());
  return browser;
}
