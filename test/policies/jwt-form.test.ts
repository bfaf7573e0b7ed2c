import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseJwtForm } from '../../policies/jwt-form.ts';

const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url');
const header = encode('{"alg":"ES256","kid":"k"}');
const claims = encode('{"sub":"ada"}');
const signature = encode('signature');

describe('the form of a JWT', () => {
  it('is three parts of plain base64url, with objects of JSON', () => {
    assert.deepEqual(parseJwtForm(`${header}.${claims}.${signature}`), {
      header: { alg: 'ES256', kid: 'k' },
      claims: { sub: 'ada' },
    });
    const harmless = '{"a":{"a":1},"b":[{"a":1},{"a":2}],"c":"\\"a\\":","d":["a","a",":"],"e":"{"}';
    assert.equal(parseJwtForm(`${header}.${encode(harmless)}.${signature}`).claims['e'], '{');
  });

  const wrong: Record<string, string> = {
    'two parts': `${header}.${claims}`,
    'five parts (a JWE)': `${header}.${claims}.${signature}.${signature}.${signature}`,
    'no signature': `${header}.${claims}.`,
    padding: `${header}.${encode('{"sub":"a"}')}=.${signature}`,
    'white space': `${header}. ${claims}.${signature}`,
    'the other alphabet': `${header}.${claims}.${Buffer.from([251, 255, 254]).toString('base64')}`,
    'bits that do not count': `${header}.${claims}.c2lnbmF0dXJ`,
    'no JSON': `${header}.${encode('{"sub":ada}')}.${signature}`,
    'no object': `${header}.${encode('["ada"]')}.${signature}`,
    'broken UTF-8': `${header}.${encode(Buffer.from([0x7b, 0x22, 0xc3, 0x22, 0x3a, 0x31, 0x7d]))}.${signature}`,
    'a byte order mark': `${header}.${encode('\ufeff{"sub":"ada"}')}.${signature}`,
    'a claim twice': `${header}.${encode('{"sub":"ada","aud":"x","sub":"root"}')}.${signature}`,
    'a claim twice, once in escapes': `${header}.${encode('{"sub":"ada","s\\u0075b":"root"}')}.${signature}`,
    'a claim twice, with white space': `${header}.${encode('{"sub" :"ada","sub"\n:"root"}')}.${signature}`,
    'a member twice, deep': `${header}.${encode('{"a":[{"b":{"c":1,"c":2}}]}')}.${signature}`,
    '__proto__ twice': `${header}.${encode('{"__proto__":1,"__proto__":2}')}.${signature}`,
    'a header field twice': `${encode('{"alg":"none","alg":"ES256"}')}.${claims}.${signature}`,
    'nesting without end': `${header}.${encode(`{"a":${'['.repeat(2_000)}${']'.repeat(2_000)}}`)}.${signature}`,
    crit: `${encode('{"alg":"ES256","crit":["exp"],"exp":1}')}.${claims}.${signature}`,
    b64: `${encode('{"alg":"ES256","b64":false}')}.${claims}.${signature}`,
    'a nested JWT': `${encode('{"alg":"ES256","cty":"JWT"}')}.${claims}.${signature}`,
    'a kid that is no string': `${encode('{"alg":"ES256","kid":["k"]}')}.${claims}.${signature}`,
    'a typ that is no string': `${encode('{"alg":"ES256","typ":["JWT"]}')}.${claims}.${signature}`,
    'no algorithm': `${encode('{}')}.${claims}.${signature}`,
  };
  for (const [what, token] of Object.entries(wrong)) {
    it(`is not ${what}`, () => {
      assert.throws(
        () => parseJwtForm(token),
        (error) => error instanceof TypeError && !/ada|root/.test(error.message),
      );
    });
  }
});
