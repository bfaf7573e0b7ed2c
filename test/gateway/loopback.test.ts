import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback } from '../../gateway/loopback.ts';

test('loopback is what only this machine can reach, as configurations, sockets and Host fields write it', () => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.9.9.9', '::1', '[::1]', '::ffff:127.0.0.1']) {
    assert.equal(isLoopback(host), true, host);
  }
  const others = ['', '0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example', '127.1', '127.0.0.999', 'localhost.example'];
  for (const host of [...others, '::2', '::ffff:10.0.0.1', '::ffff:localhost', '[::1']) {
    assert.equal(isLoopback(host), false, host);
  }
});
