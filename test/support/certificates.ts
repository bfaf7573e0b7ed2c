/** Certificates for tests, made by openssl in a folder of their own. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Why tests with certificates cannot run here, for `{ skip }`; false where they can. In CI there is no such excuse. */
export const certificatesSkipReason: string | false = findSkipReason();

function findSkipReason(): string | false {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  if (folders.some((folder) => existsSync(join(folder, 'openssl')))) return false;
  if (process.env['CI']) throw new Error('in CI there must be an openssl on PATH');
  return 'no openssl on PATH';
}

export interface CertificateOptions {
  /** As openssl wants it. @default '/O=Shop/CN=NAME' */
  readonly subject?: string;
  /** E.g. `URI:spiffe://shop/orders,DNS:orders.example`. */
  readonly san?: string;
  /** @default 'clientAuth' */
  readonly usage?: 'clientAuth' | 'serverAuth';
  /** Seconds from now; negative for one that is over. @default 3600 */
  readonly seconds?: number;
}

export interface TestCertificate {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly certificate: string;
  readonly key: string;
}

export interface TestAuthority extends TestCertificate {
  issue(name: string, options?: CertificateOptions): Promise<TestCertificate>;
}

/** Makes a CA that signs whatever a test wants. */
export async function createAuthority(t: TestContext, name = 'ca'): Promise<TestAuthority> {
  const folder = await mkdtemp(join(tmpdir(), 'selvage-certificates-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const at = (file: string) => join(folder, file);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const load = async (certificateFile: string, keyFile: string): Promise<TestCertificate> => ({
    certificateFile,
    keyFile,
    certificate: await readFile(certificateFile, 'utf8'),
    key: await readFile(keyFile, 'utf8'),
  });
  const own = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`), '-days', '2', '-subj', `/CN=${name}`];
  await run('openssl', ['req', '-x509', ...newKey, ...own, '-addext', 'keyUsage=critical,keyCertSign']);
  await writeFile(at('index'), '');
  await writeFile(at('ca.cnf'), buildConfig(folder, name));
  return {
    ...(await load(at(`${name}.pem`), at(`${name}.key`))),
    async issue(holder, { subject = `/O=Shop/CN=${holder}`, san, usage = 'clientAuth', seconds = 3_600 } = {}) {
      const [key, request, extensions, certificate] = ['key', 'csr', 'ext', 'pem'].map((end) => at(`${holder}.${end}`));
      if (!key || !request || !extensions || !certificate) throw new Error('there are four files');
      await run('openssl', ['req', '-new', ...newKey, '-keyout', key, '-out', request, '-subj', subject]);
      await writeFile(extensions, `extendedKeyUsage=${usage}\n${san === undefined ? '' : `subjectAltName=${san}\n`}`);
      const from = Math.min(0, seconds) - 60;
      const time = ['-startdate', formatTime(from), '-enddate', formatTime(seconds)];
      const files = ['-config', at('ca.cnf'), '-in', request, '-out', certificate, '-extfile', extensions];
      await run('openssl', ['ca', '-batch', '-notext', ...files, ...time]);
      return load(certificate, key);
    },
  };
}

/** ASN.1 GeneralizedTime. */
function formatTime(seconds: number): string {
  return `${new Date(Date.now() + seconds * 1_000).toISOString().replace(/\.\d+|[-:T]/g, '')}`;
}

function buildConfig(folder: string, name: string): string {
  return `[ca]
default_ca = own
[own]
database = ${folder}/index
new_certs_dir = ${folder}
certificate = ${folder}/${name}.pem
private_key = ${folder}/${name}.key
default_md = sha256
unique_subject = no
rand_serial = yes
policy = any
[any]
organizationName = optional
organizationalUnitName = optional
commonName = optional
`;
}
