import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerParser } from '../../subgraphs/http1-answer-parser.ts';

const ok = 'HTTP/1.1 200 OK\r\n';
const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;

interface Told {
  readonly heads: readonly (readonly [number, ...string[]])[];
  readonly body: string;
  readonly trailers: readonly string[] | null;
  readonly isClean: boolean | null;
  readonly keepAlive: boolean | null;
  readonly fault: string | null;
}

/** What is told of an answer that comes in pieces, and with which the connection ends if `closes`. */
function read(pieces: readonly Buffer[], isHead = false, closes = false): Told {
  const heads: [number, ...string[]][] = [];
  const told = { heads, body: '', trailers: null, isClean: null, keepAlive: null, fault: null } as {
    -readonly [K in keyof Told]: Told[K];
  };
  let behind = 0;
  const parser = new AnswerParser({
    onHead(head) {
      heads.push([head.status, ...head.rawHeaders]);
      told.keepAlive = head.keepAlive;
    },
    onBody(chunk) {
      assert.ok(chunk.length > 0, 'a piece of nothing');
      told.body += chunk.toString('latin1');
    },
    onEnd(trailers, isClean) {
      assert.equal(told.trailers, null, 'ended twice');
      told.trailers = trailers;
      told.isClean = isClean;
    },
  });
  parser.begin(isHead);
  try {
    for (const piece of pieces) {
      // Whoever has the connection drops what comes behind an answer.
      if (told.trailers !== null) behind += piece.length;
      else parser.parse(piece);
    }
    if (closes && told.trailers === null && !parser.finish()) told.fault = 'cut';
  } catch (thrown) {
    told.fault = (thrown as { code?: string }).code ?? String(thrown);
  }
  if (behind > 0) told.isClean = false;
  return told;
}

function whole(bytes: string): Buffer[] {
  return [Buffer.from(bytes, 'latin1')];
}

const answers: Record<string, string> = {
  'a body of a length': `${ok}Content-Length: 5\r\nX-Odd:\t a b \t\r\nEmpty:\r\n\r\nhello`,
  'no body': `${ok}content-length: 0\r\n\r\n`,
  'more than its length': `${ok}Content-Length: 2\r\n\r\nokEVIL`,
  chunks: `${chunked}5\r\nhello\r\n00a;a=b;c="d\\"; e"\r\n0123456789\r\n0\r\n\r\n`,
  'chunks and trailers': `${chunked}2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Sum: \r\n\r\n`,
  'chunks of line breaks': `${chunked}4\r\n\r\n\r\n\r\n1\r\n\n\r\n0\r\n\r\n`,
  'bytes behind chunks': `${chunked}2\r\nok\r\n0\r\n\r\nEVIL`,
  'the end of the connection': `${ok}A: b\r\n\r\nto the\r\n\r\nend`,
  'interim answers': `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 \r\n\r\n${ok}Content-Length: 1\r\n\r\nx`,
  '204 with bytes behind': 'HTTP/1.1 204 No Content\r\n\r\nEVIL',
  '304 that announces a length': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
  'HTTP/1.0': 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx',
  'no reason': 'HTTP/1.1 404\r\nContent-Length: 1\r\n\r\nx',
  'bytes beyond ASCII': `HTTP/1.1 200 \xe9\r\nA: \xa0\xfc\xa0\r\nContent-Length: 2\r\n\r\n\xff\0`,
};

const refused: Record<string, string> = {
  'Content-Length with Transfer-Encoding': `${ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'two lengths': `${ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`,
  'a length with a sign': `${ok}Content-Length: +2\r\n\r\nok`,
  'a length in hexadecimal': `${ok}Content-Length: 0x2\r\n\r\nok`,
  'no length behind its name': `${ok}Content-Length:\r\n\r\n`,
  'a length beyond numbers': `${ok}Content-Length: 99999999999999999\r\n\r\nok`,
  'another coding': `${ok}Transfer-Encoding: gzip\r\n\r\nok`,
  'chunks in HTTP/1.0': 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'chunked, with a tail': `${ok}Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n`,
  'a bare LF in the head': `${ok}A: b\nContent-Length: 2\r\n\r\nok`,
  'bare LFs': 'HTTP/1.1 200 OK\n\n',
  'a bare CR': `${ok}A: b\rc\r\n\r\n`,
  NUL: `${ok}A: b\0\r\n\r\n`,
  'a folded field': `${ok}A: b\r\n c\r\n\r\n`,
  'a space before the colon': `${ok}A : b\r\n\r\n`,
  'a field without name': `${ok}: b\r\n\r\n`,
  'a field without colon': `${ok}A\r\nB: c\r\n\r\n`,
  'a line break before it': `\r\n${ok}\r\n`,
  'a status of two digits': 'HTTP/1.1 20 OK\r\n\r\n',
  'a status of four': 'HTTP/1.1 2000 OK\r\n\r\n',
  'status 600': 'HTTP/1.1 600 X\r\n\r\n',
  'HTTP/2.0': 'HTTP/2.0 200 OK\r\n\r\n',
  'two spaces': 'HTTP/1.1  200 OK\r\n\r\n',
  'an upgrade': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  'a size that is none': `${chunked}x\r\n`,
  'a size with a sign': `${chunked}-1\r\n`,
  'a size beyond numbers': `${chunked}10000000000000000\r\n`,
  'no size': `${chunked}\r\n`,
  'a space behind a size': `${chunked}2 \r\nok\r\n0\r\n\r\n`,
  'an extension without name': `${chunked}2;\r\nok\r\n0\r\n\r\n`,
  'an endless extension': `${chunked}2;${'a'.repeat(2_000)}\r\nok\r\n0\r\n\r\n`,
  'a bare LF behind a size': `${chunked}2\nok\r\n0\r\n\r\n`,
  'a chunk longer than its size': `${chunked}2\r\nokay\r\n0\r\n\r\n`,
  'a bare LF behind a chunk': `${chunked}2\r\nok\n0\r\n\r\n`,
  'a trailer that is no field': `${chunked}0\r\nEVIL\r\n\r\n`,
  'a bare LF in trailers': `${chunked}0\r\nA: b\n\r\n`,
  'too large a head': `${ok}A: ${'a'.repeat(16_384)}\r\n\r\n`,
  'too large trailers': `${chunked}0\r\nA: ${'a'.repeat(16_384)}\r\n\r\n`,
  'interim answers without end': 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(101),
};

for (const [name, bytes] of Object.entries(answers)) {
  test(`an answer with ${name} is the same wherever it is cut`, () => {
    const all = Buffer.from(bytes, 'latin1');
    for (const isHead of [false, true]) {
      const expected = read([all], isHead, true);
      assert.equal(expected.fault, null);
      assert.ok(expected.trailers !== null);
      for (let at = 1; at < all.length; at++) {
        const pieces = [all.subarray(0, at), all.subarray(at)];
        assert.deepEqual(read(pieces, isHead, true), expected, `cut at ${at}`);
        for (let to = at + 1; to < all.length; to++) {
          const three = [all.subarray(0, at), all.subarray(at, to), all.subarray(to)];
          assert.deepEqual(read(three, isHead, true), expected, `cut at ${at} and ${to}`);
        }
      }
      assert.deepEqual(
        read(
          [...all].map((byte) => Buffer.of(byte)),
          isHead,
          true,
        ),
        expected,
        'byte by byte',
      );
    }
  });
}

for (const [name, bytes] of Object.entries(refused)) {
  test(`an answer with ${name} is refused wherever it is cut`, () => {
    const all = Buffer.from(bytes, 'latin1');
    const { fault } = read([all]);
    assert.match(fault ?? '', /^(HPE_INVALID_ANSWER|UND_ERR_SOCKET|UND_ERR_HEADERS_OVERFLOW)$/);
    const step = all.length > 1_000 ? 97 : 1;
    for (let at = 1; at < all.length; at += step) {
      const cut = read([all.subarray(0, at), all.subarray(at)]);
      assert.equal(cut.fault, fault, `cut at ${at}`);
      assert.equal(cut.trailers, null, `cut at ${at}`);
    }
  });
}

test('what is told of an answer is what it says', () => {
  assert.deepEqual(read(whole(answers['a body of a length'] ?? '')), {
    heads: [[200, 'Content-Length', '5', 'X-Odd', 'a b', 'Empty', '']],
    body: 'hello',
    trailers: [],
    isClean: true,
    keepAlive: true,
    fault: null,
  });
  const { heads, body } = read(whole(answers['interim answers'] ?? ''));
  assert.deepEqual(heads, [[103, 'Link', '</a>'], [102], [200, 'Content-Length', '1']]);
  assert.equal(body, 'x');
  assert.equal(read(whole(answers.chunks ?? '')).body, 'hello0123456789');
  assert.deepEqual(read(whole(answers['chunks and trailers'] ?? '')).trailers, ['X-Sum', '7', 'X-Sum', '']);
  assert.equal(read(whole(answers['the end of the connection'] ?? ''), false, true).body, 'to the\r\n\r\nend');
  assert.deepEqual(read(whole(answers['bytes beyond ASCII'] ?? '')).heads[0], [
    200,
    'A',
    '\xa0\xfc\xa0',
    'Content-Length',
    '2',
  ]);
});

test('bytes behind an answer are not clean', () => {
  for (const name of ['more than its length', 'bytes behind chunks', '204 with bytes behind']) {
    const told = read(whole(answers[name] ?? ''));
    assert.equal(told.isClean, false, name);
    assert.doesNotMatch(told.body, /EVIL/);
  }
});

test('the answer to a HEAD has no body, whatever it announces', () => {
  for (const bytes of [`${ok}Content-Length: 5\r\n\r\n`, chunked, `${ok}\r\n`]) {
    const told = read(whole(bytes), true);
    assert.deepEqual([told.body, told.trailers, told.fault], ['', [], null]);
  }
});

test('whether a connection goes on is read from the version and all of Connection', () => {
  const cases: [string, boolean][] = [
    ['HTTP/1.1 200 OK\r\n', true],
    ['HTTP/1.1 200 OK\r\nConnection: close\r\n', false],
    ['HTTP/1.1 200 OK\r\nconnection: X, \tClose\r\n', false],
    ['HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n', false],
    ['HTTP/1.1 200 OK\r\nConnection: disclosed\r\n', true],
    ['HTTP/1.0 200 OK\r\n', false],
    ['HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n', true],
    ['HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n', false],
  ];
  for (const [head, expected] of cases) {
    assert.equal(read(whole(`${head}Content-Length: 1\r\n\r\nx`)).keepAlive, expected, head);
  }
  assert.equal(read(whole('HTTP/1.1 200 OK\r\n\r\n')).keepAlive, false);
  for (const status of ['204 No Content', '304 Not Modified']) {
    assert.equal(read(whole(`HTTP/1.1 ${status}\r\n\r\n`)).keepAlive, true);
    assert.equal(read(whole(`HTTP/1.1 ${status}\r\nContent-Length: 4\r\n\r\n`)).keepAlive, false);
  }
});

test('a connection that ends before its answer has cut it', () => {
  for (const bytes of ['', 'HTTP/1.1 20', ok, `${ok}Content-Length: 3\r\n\r\nok`, `${chunked}2\r\nok\r\n0\r\n`]) {
    assert.equal(read(whole(bytes), false, true).fault, 'cut', bytes);
  }
});

test('a head that cannot become one is not waited for', () => {
  for (const bytes of ['SSH-2.0', 'HTTP/2', 'HTTP/1.1 200 OK\nA: b\n', `${chunked}hello`]) {
    assert.equal(read(whole(bytes)).fault, 'HPE_INVALID_ANSWER', bytes);
  }
});

test('a stopped parser tells nothing more, even of bytes it has', () => {
  const told: string[] = [];
  const parser: AnswerParser = new AnswerParser({
    onHead: () => {},
    onBody(chunk) {
      told.push(chunk.toString());
      parser.stop();
    },
    onEnd: () => assert.fail('it ended'),
  });
  parser.begin(false);
  parser.parse(Buffer.from(`${chunked}1\r\na\r\n1\r\nb\r\n0\r\n\r\n`));
  assert.deepEqual(told, ['a']);
  parser.begin(false);
  parser.parse(Buffer.from(`${ok}Content-Length: 1\r\n\r\nc`));
  assert.deepEqual(told, ['a', 'c']);
});
