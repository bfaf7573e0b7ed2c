import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Compile } from 'typebox/compile';
import { createRateLimiter } from '../../policies/rate-limit.ts';
import type { CountResult, RateLimitStore } from '../../policies/rate-limit-count.ts';
import type { RateLimitDecision, RateLimitHeaders } from '../../policies/rate-limit-decision.ts';
import type { RateLimitSubject } from '../../policies/rate-limit-key.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import type { CompiledRule } from '../../policies/rate-limit-rule.ts';
import { compileRules, RateLimitRule } from '../../policies/rate-limit-rule.ts';

const subject: RateLimitSubject = { viewer: null, address: '192.0.2.1', headers: {} };

/** A limiter in memory whose clock stands until it is moved. */
function createFixture() {
  const clock = { nowMs: 0 };
  const heard: string[] = [];
  const limiter = createRateLimiter({
    local: createMemoryRateLimitStore({ now: () => clock.nowMs }),
    onDecision: (rule, outcome) => heard.push(`${rule} ${outcome}`),
  });
  const check = (rules: readonly CompiledRule[], from: RateLimitSubject = subject): RateLimitDecision => {
    const decision = limiter.check(rules, from);
    assert.ok(!(decision instanceof Promise), 'a decision in memory is synchronous');
    return decision;
  };
  return { clock, heard, check };
}

describe('compiling rules', () => {
  it('takes the burst from the limit and the interval from limit and window', () => {
    const [rule] = compileRules([{ name: 'a', limit: 600, window: '1m' }]);
    assert.deepEqual(
      [rule?.counting, rule?.onStoreError],
      [{ algorithm: 'gcra', burst: 600, emissionUs: 100_000, share: undefined }, 'local'],
    );
  });

  it('writes RateLimit-Policy as a structured field', () => {
    const policies = compileRules([
      { name: 'a', limit: 100, window: '1m' },
      { name: 'b', limit: 10, window: '1.5s' },
      { name: 'c', limit: 10, window: '2s', burst: 3 },
    ]).map((rule) => rule.policy);
    assert.deepEqual(policies, ['"a";q=100;w=60', '"b";q=10', '"c";q=10;w=2;selvage-burst=3']);
  });

  it('lets a later rule override an earlier one of the same name, in its place', () => {
    const rules = compileRules([
      { name: 'a', limit: 1, window: '1s' },
      { name: 'b', limit: 2, window: '1s' },
      { name: 'a', limit: 3, window: '1s' },
    ]);
    assert.deepEqual(
      rules.map(({ name, limit }) => [name, limit]),
      [
        ['a', 3],
        ['b', 2],
      ],
    );
  });

  it('keeps a limit even at rates that no clock resolves', () => {
    const [rule] = compileRules([{ name: 'a', limit: 1_000_000_000, window: '1ms' }]);
    assert.ok(rule !== undefined && 'emissionUs' in rule.counting && rule.counting.emissionUs > 0);
  });

  it('refuses a window of nothing in the configuration', () => {
    const schema = Compile(RateLimitRule);
    for (const window of ['0s', '0.00m', '1', 's', '99999999999d']) {
      assert.equal(schema.Check({ name: 'a', limit: 1, window }), false, window);
    }
    for (const window of ['1s', '0.5s', '10m', '30d', '500ms']) {
      assert.equal(schema.Check({ name: 'a', limit: 1, window }), true, window);
    }
  });
});

describe('a rate limiter', () => {
  it('lets everything pass where no rule covers the request', () => {
    const decision = createFixture().check([]);
    assert.deepEqual(decision, {
      allowed: true,
      tightest: null,
      headers: {},
      error: null,
      release: null,
      accounts: [],
      answers: [],
    });
  });

  it('tells quota and what is left in the fields of the draft', () => {
    const { check } = createFixture();
    const rules = compileRules([{ name: 'per-viewer', limit: 100, window: '1m' }]);
    const decision = check(rules);
    assert.deepEqual(decision.headers, {
      'ratelimit-policy': '"per-viewer";q=100;w=60',
      ratelimit: '"per-viewer";r=99;t=1',
    });
    assert.deepEqual(decision.tightest, {
      rule: 'per-viewer',
      limit: 100,
      remaining: 99,
      retryAfterMs: 0,
      resetMs: 600,
    });
  });

  it('refuses with RATE_LIMIT_EXCEEDED and says when to come back', () => {
    const { check, clock } = createFixture();
    const rules = compileRules([{ name: 'slow', limit: 2, window: '1m' }]);
    check(rules);
    check(rules);
    clock.nowMs = 4_500;
    const { allowed, error, headers, tightest } = check(rules);
    assert.equal(allowed, false);
    assert.deepEqual([error?.code, error?.retryAfterSeconds], ['RATE_LIMIT_EXCEEDED', 26]);
    assert.equal(error?.message, 'Rate limit "slow" exceeded: 2 requests per 1m');
    assert.equal(headers['ratelimit'], '"slow";r=0;t=26');
    assert.equal(tightest?.retryAfterMs, 25_500);
  });

  it('lets the request pass that comes after exactly Retry-After seconds', () => {
    const { check, clock } = createFixture();
    const rules = compileRules([{ name: 'odd', limit: 7, window: '1m', burst: 2 }]);
    for (let i = 0; i < 50; i++) {
      const decision = check(rules);
      if (decision.allowed) continue;
      clock.nowMs += (decision.error?.retryAfterSeconds ?? 0) * 1_000;
      assert.equal(check(rules).allowed, true);
    }
  });

  it('never says 0 seconds', () => {
    const { check } = createFixture();
    const rules = compileRules([{ name: 'fast', limit: 1, window: '1ms' }]);
    check(rules);
    const { error, headers } = check(rules);
    assert.equal(error?.retryAfterSeconds, 1);
    assert.equal(headers['ratelimit'], '"fast";r=0;t=1');
  });

  it('lets the burst pass at once and then the steady pace', () => {
    const { check, clock } = createFixture();
    const rules = compileRules([{ name: 'a', limit: 60, window: '1m', burst: 5 }]);
    const passed = () => Array.from({ length: 20 }, () => check(rules)).filter((decision) => decision.allowed).length;
    assert.equal(passed(), 5);
    clock.nowMs = 3_000;
    assert.equal(passed(), 3);
    clock.nowMs = 3_600_000;
    assert.equal(passed(), 5);
  });

  it('lists every rule that was asked and names the one with the least left', () => {
    const { check } = createFixture();
    const decision = check(
      compileRules([
        { name: 'burst', limit: 10, window: '1s' },
        { name: 'daily', limit: 5, window: '1d' },
      ]),
    );
    assert.equal(decision.headers['ratelimit-policy'], '"burst";q=10;w=1, "daily";q=5;w=86400');
    assert.equal(decision.headers['ratelimit'], '"burst";r=9;t=1, "daily";r=4;t=17280');
    assert.equal(decision.tightest?.rule, 'daily');
  });

  it('stops at the first refusal: rules before it have counted the request, rules after it have not', () => {
    const { check, heard } = createFixture();
    const [before, narrow, after] = compileRules([
      { name: 'before', limit: 10, window: '1h' },
      { name: 'narrow', limit: 1, window: '1h' },
      { name: 'after', limit: 10, window: '1h' },
    ]);
    assert.ok(before && narrow && after);
    check([before, narrow, after]);
    const refused = check([before, narrow, after]);
    assert.equal(refused.headers['ratelimit'], '"before";r=8;t=360, "narrow";r=0;t=3600');
    assert.deepEqual(heard.slice(3), ['before allowed', 'narrow refused']);
    assert.equal(check([before]).tightest?.remaining, 7);
    assert.equal(check([after]).tightest?.remaining, 8);
  });

  it('sends nobody back into another rule that is exhausted for longer', () => {
    const { check } = createFixture();
    const rules = compileRules([
      { name: 'daily', limit: 1, window: '1d', burst: 2 },
      { name: 'short', limit: 1, window: '1s' },
    ]);
    check(rules);
    assert.equal(check(rules).error?.retryAfterSeconds, 86_400);
  });

  it('counts anew when the numbers of a rule change', () => {
    const { check } = createFixture();
    check(compileRules([{ name: 'a', limit: 1, window: '1d' }]));
    assert.equal(check(compileRules([{ name: 'a', limit: 2, window: '1d' }])).allowed, true);
  });
});

describe('the headers of limits', () => {
  const rules = compileRules([
    { name: 'large', limit: 1_000, window: '1h', key: 'ip' },
    { name: 'small', limit: 10, window: '1m', key: 'ip' },
  ]);
  const headersBy = (style: RateLimitHeaders, times = 1) => {
    const local = createMemoryRateLimitStore({ now: () => 0 });
    const limiter = createRateLimiter({ local, headers: () => style });
    let decision = limiter.check(rules, subject);
    for (let i = 1; i < times; i++) decision = limiter.check(rules, subject);
    assert.ok(!(decision instanceof Promise));
    return decision.headers;
  };

  it('are the older ones of the tightest rule where that is configured', () => {
    assert.deepEqual(headersBy('legacy'), {
      'x-ratelimit-limit': '10',
      'x-ratelimit-remaining': '9',
      'x-ratelimit-reset': '6',
    });
    assert.equal(headersBy('legacy', 11)['x-ratelimit-remaining'], '0');
    assert.equal(Object.keys(headersBy('both')).length, 5);
    assert.deepEqual(headersBy('none'), {});
  });

  it('tell of a rule that was asked twice what is left at last, and of all others too', () => {
    const limiter = createRateLimiter({ local: createMemoryRateLimitStore({ now: () => 0 }) });
    const [large, small] = rules;
    assert.ok(large !== undefined && small !== undefined);
    const [first, second, third] = [[large], [small], [small]].map((asked) => limiter.check(asked, subject));
    assert.ok(first !== undefined && !(first instanceof Promise));
    assert.ok(second !== undefined && !(second instanceof Promise));
    assert.ok(third !== undefined && !(third instanceof Promise));
    const merged = limiter.merge(limiter.merge(limiter.merge(null, first), second), third);
    assert.equal(merged.headers['ratelimit'], '"large";r=999;t=4, "small";r=8;t=6');
    assert.equal(merged.tightest?.rule, 'small');
  });
});

describe('a rate limiter whose shared store fails', () => {
  const names = ['local', 'allow', 'deny'] as const;
  const rules = compileRules(names.map((name) => ({ name, limit: 1, window: '1h', onStoreError: name })));
  const [local, allow, deny] = rules;
  assert.ok(local && allow && deny);

  function createOutage() {
    const clock = { nowMs: 0 };
    const shared = { asked: 0, broken: true };
    const memory = createMemoryRateLimitStore({ now: () => clock.nowMs });
    const store: RateLimitStore = {
      async take(key, rule, cost): Promise<CountResult> {
        shared.asked++;
        if (shared.broken) throw new Error('gone');
        return memory.take(key, rule, cost);
      },
      async charge(key, rule, cost): Promise<CountResult> {
        if (shared.broken) throw new Error('gone');
        return memory.charge(key, rule, cost);
      },
      close() {},
    };
    const failures: unknown[] = [];
    const heard: string[] = [];
    const limiter = createRateLimiter({
      shared: store,
      local: createMemoryRateLimitStore({ now: () => clock.nowMs }),
      onStoreFailure: (error) => failures.push(error),
      onDecision: (rule, outcome) => heard.push(`${rule} ${outcome}`),
      now: () => clock.nowMs,
    });
    return { clock, shared, failures, heard, limiter };
  }

  it('counts in this process by the rule "local"', async () => {
    const { limiter, heard } = createOutage();
    assert.equal((await limiter.check([local], subject)).allowed, true);
    const refused = await limiter.check([local], subject);
    assert.equal(refused.error?.code, 'RATE_LIMIT_EXCEEDED');
    assert.deepEqual(heard, ['local store-error', 'local allowed', 'local store-error', 'local refused']);
  });

  it('lets pass by the rule "allow", and claims nothing about what is left', async () => {
    const { limiter } = createOutage();
    for (let i = 0; i < 5; i++) {
      const decision = await limiter.check([allow], subject);
      const { allowed, tightest, headers, error } = decision;
      assert.deepEqual(
        { allowed, tightest, headers, error },
        {
          allowed: true,
          tightest: null,
          headers: { 'ratelimit-policy': '"allow";q=1;w=3600' },
          error: null,
        },
      );
    }
  });

  it('answers SERVICE_UNAVAILABLE with Retry-After by the rule "deny"', async () => {
    const { limiter } = createOutage();
    const { allowed, error } = await limiter.check([deny], subject);
    assert.deepEqual([allowed, error?.code, error?.retryAfterSeconds], [false, 'SERVICE_UNAVAILABLE', 1]);
  });

  it('asks a dead store once per pause, not once per request, and reports it as often', async () => {
    const { limiter, clock, shared, failures } = createOutage();
    const ask = async (times: number) => {
      for (let i = 0; i < times; i++) await limiter.check([allow], subject);
    };
    await ask(100);
    assert.equal(shared.asked, 1);
    clock.nowMs = 250;
    await ask(100);
    assert.equal(shared.asked, 2);
    clock.nowMs = 700;
    await ask(100);
    assert.equal(shared.asked, 2, 'the second pause is longer');
    clock.nowMs = 750;
    await ask(100);
    assert.equal(shared.asked, 3);
    assert.equal(failures.length, 3);
  });

  it('reports one outage once although many requests meet it', async () => {
    const { limiter, shared, failures } = createOutage();
    await Promise.all(Array.from({ length: 50 }, () => limiter.check([allow], subject)));
    assert.equal(shared.asked, 50);
    assert.equal(failures.length, 1);
  });

  it('lets one request try while the others go on without', async () => {
    const { limiter, clock, shared } = createOutage();
    await limiter.check([allow], subject);
    clock.nowMs = 250;
    await Promise.all(Array.from({ length: 50 }, () => limiter.check([allow], subject)));
    assert.equal(shared.asked, 2);
  });

  it('returns to the shared counts when the store answers again', async () => {
    const { limiter, clock, shared, heard } = createOutage();
    await limiter.check([local], subject);
    shared.broken = false;
    clock.nowMs = 250;
    assert.equal((await limiter.check([local], subject)).allowed, true, 'the shared count is fresh');
    assert.equal((await limiter.check([local], subject)).allowed, false);
    assert.deepEqual(heard.slice(2), ['local allowed', 'local refused']);
    assert.equal(shared.asked, 3);
  });
});
