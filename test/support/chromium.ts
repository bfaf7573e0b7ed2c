/** A real browser, where there is one. */
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { type Browser, chromium } from 'playwright-core';
import type { TestCertificate } from './certificates.ts';

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

/**
 * Starts a browser that talks to nobody but the pages it is given; it closes when the test ends. A certificate that it trusts
 * is as one of a known authority: whoever merely ignores errors keeps nothing of what is served by it.
 */
export async function startBrowser(t: TestContext, trusted?: TestCertificate): Promise<Browser> {
  if (executablePath === undefined) throw new Error('no Chromium: install the package chromium, or set CHROMIUM_PATH');
  const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
  const trust = trusted === undefined ? [] : [`--ignore-certificate-errors-spki-list=${await hashKey(trusted)}`];
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', ...quiet, '--disable-component-update', '--disable-sync', ...trust],
  });
  t.after(() => browser.close());
  return browser;
}

async function hashKey({ certificateFile }: TestCertificate): Promise<string> {
  const { publicKey } = new X509Certificate(await readFile(certificateFile));
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');
}
