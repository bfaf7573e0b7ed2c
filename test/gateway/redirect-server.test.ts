import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createLog } from '../../gateway/log.ts';
import { openRedirect } from '../../gateway/redirect-server.ts';

test('who is connected as the port closes is still led on, and nobody is waited for that asks nothing', async (t) => {
  const lines: { url?: string }[] = [];
  const log = createLog({ destination: { write: (text: string) => lines.push(JSON.parse(text)) } });
  const options = { port: 0, host: '127.0.0.1', url: 'https://127.0.0.1:443', covers: () => true, log };
  const redirect = await openRedirect(options);
  const port = Number(new URL(lines[0]?.url ?? '').port);
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  const asking = await open();
  const silent = await open();
  const silence = once(silent.resume(), 'close');
  const closed = redirect[Symbol.asyncDispose]();
  asking.write('GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n');
  let text = '';
  for await (const chunk of asking) text += chunk;
  assert.match(text, /^HTTP\/1\.1 308 [\s\S]*location: https:\/\/shop\.example\/a\r\n/);
  await Promise.all([closed, silence]);
});
