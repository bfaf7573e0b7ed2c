/** An HTTP server that a test makes a control plane of, over TCP, TLS or a unix socket. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type ControlPlane,
  type ControlPlaneOptions,
  createControlPlane,
} from '../../../subgraphs/discovery/control-plane.ts';

export interface PlaneServer {
  readonly url: string;
  /** Heads of the requests that came. */
  readonly requests: { readonly path: string; readonly headers: IncomingMessage['headers'] }[];
}

export interface Listening {
  readonly socketPath?: string;
  readonly certificate?: Certificate;
}

export async function startPlaneServer(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
  { socketPath, certificate }: Listening = {},
): Promise<PlaneServer> {
  const requests: PlaneServer['requests'] = [];
  const listener: RequestListener = (request, response) => {
    requests.push({ path: request.url ?? '', headers: request.headers });
    answer(request, response);
  };
  const server: Server =
    certificate === undefined
      ? createServer(listener)
      : createTlsServer({ key: readFileSync(certificate.keyFile), cert: readFileSync(certificate.certFile) }, listener);
  await new Promise<void>((resolve) => {
    if (socketPath === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(socketPath, resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = (socketPath === undefined ? server.address() : { port: 0 }) as AddressInfo;
  return { url: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, requests };
}

/** A control plane that is closed when the test ends, before its server is. */
export function openPlane(t: TestContext, options: ControlPlaneOptions): ControlPlane {
  const plane = createControlPlane(options);
  t.after(() => plane[Symbol.asyncDispose]());
  return plane;
}

export function sendJson(response: ServerResponse, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

export interface Certificate {
  readonly keyFile: string;
  /** Signed by itself, for 127.0.0.1: also what it is checked by. */
  readonly certFile: string;
}

export function makeTestFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'selvage-plane-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function makeCertificate(folder: string, name: string): Certificate {
  const keyFile = join(folder, `${name}.key`);
  const certFile = join(folder, `${name}.crt`);
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
  execFileSync('openssl', ['req', '-x509', ...key, '-out', certFile, '-days', '2', ...subject], { stdio: 'ignore' });
  return { keyFile, certFile };
}
