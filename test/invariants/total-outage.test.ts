import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';

// A service that is out altogether gets hardly more attempts than there are requests: an outage is not multiplied.

type Outage = 'refuses' | 'is silent' | 'answers 500' | 'answers 503';

/** Counts what arrives: connections where those are refused, else requests. */
async function startInstance(t: TestContext, outage: Outage, count: () => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (outage === 'refuses') {
      count();
      socket.resetAndDestroy();
      return;
    }
    socket.on('data', () => {
      count();
      if (outage !== 'is silent') socket.write(`HTTP/1.1 ${outage.slice(8)} Out\r\ncontent-length: 0\r\n\r\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const total = Number(process.env['OUTAGE_REQUESTS'] ?? 300);

for (const outage of ['refuses', 'is silent', 'answers 500', 'answers 503'] as const) {
  for (const breakers of ['with breakers', 'by the retry budget alone'] as const) {
    test(`${breakers}, a service that ${outage} gets at most 1.2 attempts per request`, async (t) => {
      let attempts = 0;
      const urls = await Promise.all([1, 2, 3].map(() => startInstance(t, outage, () => attempts++)));
      const off = { minimumCalls: 10_000 };
      const gateway = await startGateway(t, {
        logging: { level: 'silent' },
        policies: {
          timeout: '20ms',
          ...(breakers === 'with breakers' ? { serviceBreaker: {} } : { circuitBreaker: off }),
        },
        services: {
          shop: { instances: urls.map((url) => ({ url })), routes: [{ match: { path: '/shop/*' } }] },
        },
      });
      let sent = 0;
      const startedAtMs = performance.now();
      const work = async (): Promise<void> => {
        while (sent < total) {
          sent++;
          const response = await fetch(`${gateway.url}/shop/x`);
          await response.text();
          assert.ok(response.status >= 500);
        }
      };
      await Promise.all(Array.from({ length: 20 }, work));
      if (process.env['OUTAGE_REQUESTS'] !== undefined) t.diagnostic(`${attempts} attempts for ${sent} requests`);
      // Where there is nothing but the budget: ten were saved up beforehand, and one is earned each second by a quiet service.
      const earned = breakers === 'with breakers' ? 0 : 10 + Math.ceil((performance.now() - startedAtMs) / 1_000);
      assert.ok(attempts <= 1.2 * sent + earned, `${attempts} attempts for ${sent} requests`);
    });
  }
}
