import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Compile } from 'typebox/compile';
import { Duration, Percentage, parseDurationMs, parsePercentage, parseSizeBytes, Size } from '../../policies/units.ts';

describe('units', () => {
  it('read durations as milliseconds', () => {
    const durations = {
      '500ms': 500,
      '5s': 5_000,
      '1.5s': 1_500,
      '1m': 60_000,
      '2h': 7_200_000,
      '1d': 86_400_000,
      '0s': 0,
    };
    for (const [text, ms] of Object.entries(durations)) assert.equal(parseDurationMs(text), ms, text);
  });

  it('read sizes as whole bytes, with powers of 1,024', () => {
    const sizes = { '1b': 1, '64kb': 65_536, '10mb': 10_485_760, '1gb': 1_073_741_824, '0.3kb': 307 };
    for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseSizeBytes(text), bytes, text);
  });

  it('read percentages as shares, without rounding noise', () => {
    const shares = { '0%': 0, '20%': 0.2, '57%': 0.57, '12.5%': 0.125, '100%': 1 };
    for (const [text, share] of Object.entries(shares)) assert.equal(parsePercentage(text), share, text);
  });

  it('say what was expected and what came', () => {
    assert.throws(() => parseDurationMs('5 s'), {
      name: 'TypeError',
      message: 'expected a duration such as 500ms, 5s or 1m, got "5 s"',
    });
    assert.throws(() => parseSizeBytes('10'), /expected a size such as 64kb or 10mb, got "10"/);
    assert.throws(() => parsePercentage('0.2'), /expected a percentage such as 20%, got "0.2"/);
  });

  it('know no units but their own, not even the names that every object has', () => {
    for (const text of ['1constructor', '1weeks', '-1s', '1e3s', '.5s', '1.s', '']) {
      assert.throws(() => parseDurationMs(text), TypeError, text);
    }
  });

  it('parse whatever their schemas let pass', () => {
    const cases = [
      { schema: Compile(Duration), parse: parseDurationMs },
      { schema: Compile(Size), parse: parseSizeBytes },
      { schema: Compile(Percentage), parse: parsePercentage },
    ];
    const texts = [
      '5s',
      '0.5ms',
      '1h',
      '64kb',
      '1.5gb',
      '20%',
      '100.0%',
      '99.9%',
      '101%',
      '100.5%',
      '5',
      's',
      '5S',
      '1 kb',
    ];
    for (const { schema, parse } of cases) {
      for (const text of texts) {
        if (schema.Check(text)) assert.ok(Number.isFinite(parse(text)), text);
      }
    }
    assert.equal(Compile(Percentage).Check('100.5%'), false);
    assert.equal(Compile(Percentage).Check('100.0%'), true);
  });
});
