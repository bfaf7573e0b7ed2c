import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { type AccessEntry, createLog, type LogOptions } from '../../gateway/log.ts';
import { GatewayError } from '../../policies/errors.ts';

type Line = Record<string, unknown>;

function openLog(options: Omit<LogOptions, 'destination'> = {}) {
  let text = '';
  const destination = {
    write(lines: string) {
      text += lines;
    },
  };
  return {
    log: createLog({ ...options, destination }),
    text: () => text,
    lines: (): Line[] =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
  };
}

const entry: AccessEntry = {
  id: 'request-1',
  door: 'rest',
  method: 'GET',
  path: '/api/orders/7?access_token=hunter2secret',
  name: '/api/orders/*',
  viewer: 'jwt',
  services: ['orders'],
  instances: ['orders-1'],
  attempts: 1,
  status: 200,
  code: null,
  durationMs: 12.3456789,
  bytes: 512,
};

/** Runs a module in a process of its own and gives back its standard output. */
async function run(source: string): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  await once(child, 'close');
  return output;
}

const importLog = `import { createLog } from '${import.meta.resolve('../../gateway/log.ts')}';`;

describe('an access line', () => {
  it('has every fact of the request, and no query string', () => {
    const { log, lines } = openLog();
    log.access(entry);
    const [line] = lines();
    assert.equal(typeof line?.['time'], 'number');
    assert.deepEqual(
      { ...line, time: 0 },
      {
        level: 'info',
        time: 0,
        msg: 'request',
        id: 'request-1',
        door: 'rest',
        method: 'GET',
        path: '/api/orders/7',
        name: '/api/orders/*',
        viewer: 'jwt',
        services: ['orders'],
        instances: ['orders-1'],
        attempts: 1,
        status: 200,
        code: null,
        ms: 12.346,
        bytes: 512,
      },
    );
  });

  it('is JSON whatever the client sent, and one line', () => {
    const { log, lines, text } = openLog();
    const hostile = 'a"b\\c\nd\u0000\u2028\ud800é😀';
    log.access({
      ...entry,
      id: hostile,
      method: hostile,
      path: `/${hostile}`,
      name: hostile,
      code: hostile,
      services: [hostile, hostile],
      durationMs: Number.NaN,
    });
    assert.equal(text().split('\n').length, 2);
    const [line] = lines();
    assert.deepEqual([line?.['path'], line?.['name'], line?.['ms']], [`/${hostile}`, hostile, 0]);
    assert.deepEqual(line?.['services'], [hostile, hostile]);
  });

  it('stays short whatever the client sent', () => {
    const { log, text } = openLog();
    const long = 'x'.repeat(100_000);
    const many = new Array<string>(1_000).fill(long);
    log.access({
      ...entry,
      id: long,
      method: long,
      path: long,
      name: long,
      code: long,
      services: many,
      instances: many,
    });
    assert.ok(text().length < 8_000, `${text().length}`);
  });

  it('hides a token in the path', () => {
    const { log, text } = openLog();
    log.access({ ...entry, path: '/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.abc123/x' });
    assert.doesNotMatch(text(), /eyJ/);
    assert.match(text(), /\/reset\/\[redacted\]\/x/);
  });

  it('is left out when access lines are off, or the level is above info', () => {
    for (const options of [{ access: false }, { level: 'warn' }, { level: 'silent' }] as const) {
      const { log, text } = openLog(options);
      log.access(entry);
      assert.equal(text(), '');
    }
  });
});

describe('a log line', () => {
  it('has a level in words, a time, the message and the fields', () => {
    const { log, lines } = openLog();
    log.warn('instance ejected', { service: 'orders', failures: 5 });
    assert.deepEqual(
      lines().map((line) => ({ ...line, time: typeof line['time'] })),
      [{ level: 'warn', time: 'number', service: 'orders', failures: 5, msg: 'instance ejected' }],
    );
  });

  it('is written from its level on', () => {
    const { log, lines } = openLog({ level: 'warn' });
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
    assert.deepEqual(
      lines().map((line) => line['msg']),
      ['c', 'd'],
    );
  });

  it('tells code, message and every cause of an error, but no stack', () => {
    const { log, lines, text } = openLog();
    const socket = Object.assign(new Error('connect ECONNREFUSED 10.0.0.5:80'), { code: 'ECONNREFUSED' });
    const error = new GatewayError('DOWNSTREAM_SERVICE_ERROR', undefined, {
      service: 'orders',
      cause: new Error('attempt 2 failed', { cause: new AggregateError([socket], 'all addresses failed') }),
    });
    log.error('request failed', { error });
    assert.deepEqual(lines()[0]?.['error'], {
      type: 'GatewayError',
      code: 'DOWNSTREAM_SERVICE_ERROR',
      message: 'The service failed',
      service: 'orders',
      causes: [
        { type: 'Error', message: 'attempt 2 failed' },
        { type: 'AggregateError', message: 'all addresses failed' },
        { type: 'Error', code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 10.0.0.5:80' },
      ],
    });
    assert.doesNotMatch(text(), /\.ts:\d/);
  });

  it('has the stack at level debug', () => {
    const { log, text } = openLog({ level: 'debug' });
    log.error('failed', { error: new Error('x') });
    assert.match(text(), /log\.test\.ts:\d/);
  });

  it('takes anything that may be thrown', () => {
    const { log, lines } = openLog({ level: 'debug' });
    const circular: { self?: unknown } = {};
    circular.self = circular;
    const wide = Array.from({ length: 1_000 }, () => Array.from({ length: 1_000 }, () => ({ a: [1, 2, 3] })));
    const error = new Error('loop');
    error.cause = error;
    const things = [undefined, null, 'text', 12n, Symbol('s'), () => 1, circular, wide, error, new Date(Number.NaN)];
    for (const thing of [...things, new Map([[{}, 1]]), new Uint8Array(1e6), Object.create(null)]) {
      log.error('failed', { error: thing });
    }
    assert.equal(lines().length, things.length + 3);
    for (const line of lines()) assert.ok(JSON.stringify(line).length < 20_000);
  });
});

describe('the log keeps secret', () => {
  const secrets = ['hunter2secret', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'];
  const [password, token] = secrets;
  const messages = [
    `upstream said: Authorization: Bearer ${token}`,
    `bearer ${password}`,
    `Basic ${password}==`,
    `token ${token} is expired`,
    `request headers {"x-api-key":"${password}","cookie":"a=1; session=${password}"}`,
    `Set-Cookie: session=${password}; HttpOnly`,
    `redis://user:${password}@redis.example:6379 refused`,
    `POST /oauth?client_secret=${password}&x=1`,
    `password = '${password}'`,
    `{"refresh_token": "${password}"}`,
  ];

  for (const message of messages) {
    const shape = message.replaceAll(String(password), 'S').replaceAll(String(token), 'T');
    it(`what stands in a text: ${shape}`, () => {
      const { log, text } = openLog({ level: 'debug' });
      log.error(message, { text: message, error: new Error(message, { cause: new Error(message) }), [message]: 1 });
      for (const secret of secrets) assert.equal(text().includes(secret), false, text());
    });
  }

  it('what fields are named after', () => {
    const { log, text } = openLog();
    const headers = {
      Authorization: password,
      'proxy-authorization': password,
      cookie: password,
      'set-cookie': [password],
      'X-Api-Key': password,
      accessToken: password,
      client_secret: { value: password },
    };
    log.info('headers', { headers, deep: { deeper: [{ headers }] }, map: new Map(Object.entries(headers)) });
    log.info('top', headers);
    assert.equal(text().includes(String(password)), false, text());
  });

  it('and leaves ordinary words alone', () => {
    const { log, lines } = openLog();
    const message = 'token expired; service orders at http://10.0.0.5:8080/a@b answered 503, tokens: 3';
    log.info(message, { tokens: 3, path: '/api/cookies', key: 'viewer' });
    assert.deepEqual(
      lines().map(({ time, ...line }) => line),
      [{ level: 'info', tokens: 3, path: '/api/cookies', key: 'viewer', message }],
    );
  });

  it('in time that grows with the length of the text only', () => {
    const { log, text } = openLog();
    for (const unit of ['bearer ', '://', 'eyJa', 'token:', 'cookie=', 'password="', 'basic  ', 'a.']) {
      log.info(unit.repeat(200_000), { text: unit.repeat(200_000) });
    }
    assert.ok(text().length < 100_000);
  });
});

describe('standard output', () => {
  it('gets the lines when the log is closed', async () => {
    const output = await run(`${importLog}
      const log = createLog();
      for (let i = 0; i < 1000; i++) log.info('line ' + i);
      await log.close();
      log.info('too late');
      await log.close();`);
    const lines = output.trim().split('\n');
    assert.equal(lines.length, 1_000);
    assert.equal(JSON.parse(lines.at(-1) ?? '').msg, 'line 999');
  });

  it('gets the lines when the process ends without closing it', async () => {
    const exit = await run(`${importLog} createLog().info('last words'); process.exit(0);`);
    assert.match(exit, /last words/);
    const end = await run(`${importLog} createLog().info('last words');`);
    assert.match(end, /last words/);
  });

  it('gets a single line soon, without more lines pushing it', async () => {
    const child = spawn(
      process.execPath,
      ['--input-type=module', '--eval', `${importLog} createLog().info('alone'); setInterval(() => {}, 1000);`],
      { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [chunk] = await once(child.stdout.setEncoding('utf8'), 'data');
    assert.match(chunk, /alone/);
    child.kill();
    await once(child, 'close');
  });

  it('may go away without taking the process along', async () => {
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `${importLog}
        const log = createLog();
        log.info('first');
        log.flush();
        process.stdin.once('data', () => {
          for (let i = 0; i < 5000; i++) log.info('nobody reads this ' + i);
          setTimeout(async () => { await log.close(); process.exit(7); }, 50);
        });`,
      ],
      { cwd: import.meta.dirname, stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await once(child.stdout, 'data');
    child.stdout.destroy();
    child.stdin.write('go\n');
    const [code] = await once(child, 'exit');
    assert.equal(code, 7);
  });
});
