import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TSchema } from 'typebox';
import { buildSettings, formatPath, parseConfig } from '../../gateway/config.ts';
import { GatewayConfig } from '../../gateway/config-schema.ts';
import { GatewayError } from '../../policies/errors.ts';
import { buildResilience } from '../../policies/resilience.ts';
import type { SchemaNode } from '../../policies/schema-expectation.ts';
import { parseDurationMs, parsePercentage, parseSizeBytes } from '../../policies/units.ts';

const sha256 = 'a'.repeat(64);

/** What a configuration is refused for, one message per mistake. */
function refusal(value: unknown): string[] {
  try {
    parseConfig(value);
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'BAD_REQUEST');
    return (error.reasons ?? []).map((reason) => reason.message);
  }
  return [];
}

describe('parseConfig', () => {
  it('takes nothing at all', () => {
    assert.deepEqual(parseConfig({}), {});
  });

  it('takes the whole of the documented example', () => {
    assert.deepEqual(
      refusal({
        listen: { host: '0.0.0.0', port: 4000 },
        admin: { host: '0.0.0.0', port: 4001, tokens: [{ name: 'ops', sha256, role: 'admin' }] },
        store: 'file:.selvage',
        redis: 'redis://127.0.0.1:6379',
        authentication: {
          jwt: [{ issuer: 'https://idp.example', audience: 'shop', algorithms: ['RS256'] }],
          apiKeys: [{ name: 'partner-a', sha256, scopes: ['orders:read'] }],
        },
        policies: {
          timeout: '5s',
          retry: { attempts: 2, budget: '20%' },
          circuitBreaker: { failures: '50%', minimumCalls: 10, openFor: '5s' },
          rateLimit: [{ name: 'per-viewer', limit: 600, window: '1m', key: 'viewer' }],
        },
        services: {
          products: { graphql: { path: '/graphql' }, instances: [{ url: 'http://10.0.0.5:8080', weight: 2 }] },
          orders: {
            instances: [{ url: 'http://10.0.0.9:9000' }],
            routes: [
              {
                match: { path: '/api/orders/*', methods: ['GET', 'POST'] },
                rewrite: '/v1/orders/*',
                timeout: '2s',
                authorize: { scopes: ['orders:read'] },
              },
            ],
          },
        },
        fields: { 'User.email': { authorize: { scopes: ['profile:read'] } } },
        trustedProxies: ['10.0.0.0/8', '::1'],
      }),
      [],
    );
  });

  it('tells all mistakes at once, with path, what was expected and what was got', () => {
    const messages = refusal({
      listn: {},
      listen: { port: 'eighty' },
      logging: { level: 'loud' },
      services: { orders: { routes: [{ match: { path: 'orders', methods: ['GETT'] }, timeout: '5' }] } },
      limits: { maxBodySize: 5 },
      admin: { tokens: [{ name: 'x' }] },
      trustedProxies: '10.0.0.1',
    });
    const expected = [
      'listn: unknown key; did you mean `listen`?',
      'listen.port: expected a whole number from 0 to 65535, got "eighty"',
      'logging.level: expected one of "debug", "info", "warn", "error", "silent", got "loud"',
      'services.orders.routes[0].match.path: expected a path that begins with /, got "orders"',
      'services.orders.routes[0].timeout: expected a duration such as 500ms, 5s or 1m, got "5"',
      'limits.maxBodySize: expected a size such as 64kb or 10mb, got the number 5',
      'trustedProxies: expected a list, got "10.0.0.1"',
    ];
    for (const message of expected) assert.ok(messages.includes(message), `${message}\n in \n${messages.join('\n')}`);
    assert.equal(
      messages.filter((message) => message.startsWith('services.orders.routes[0].match.methods[0]')).length,
      1,
    );
    assert.equal(messages.filter((message) => message.startsWith('admin.tokens[0]')).length, 2);
    assert.equal(messages.length, expected.length + 3);
  });

  it('blames the branch of a union that was meant', () => {
    assert.deepEqual(
      refusal({ services: { stock: { graphql: { merge: { Product: { keyField: 'upc', fieldname: 'x' } } } } } }),
      [
        'services.stock.graphql.merge.Product: the key `fieldName` is missing; expected text that matches `^[_A-Za-z][_0-9A-Za-z]*$`',
        'services.stock.graphql.merge.Product.fieldname: unknown key; did you mean `fieldName`?',
      ],
    );
    assert.deepEqual(refusal({ authentication: { jwt: [{ issuer: 'x', audience: 3 }] } }), [
      'authentication.jwt[0].audience: expected text that is not empty, or a list of at least 1, got the number 3',
    ]);
  });

  it('takes one way to Redis, and says what belongs together', () => {
    assert.deepEqual(refusal({ store: 'redis://localhost' }), []);
    assert.deepEqual(refusal({ store: { redis: { nodes: [{ host: 'a' }], tls: true, keyPrefix: 'edge:' } } }), []);
    assert.deepEqual(refusal({ store: { redis: { sentinels: [{ host: 'a' }], url: 'redis://b' } } }), [
      'store.redis: expected one of `url`, `nodes` (Cluster) and `sentinels`',
      'store.redis: `sentinels` and `name` belong together',
    ]);
    assert.deepEqual(refusal({ store: 'redis' }).length, 1);
  });

  it('names the keys that exist when none is close', () => {
    assert.match(refusal({ shutdown: { colour: 1 } })[0] ?? '', /unknown key; known here: `delay`, `grace`/);
  });

  it('says what a key of a record should look like', () => {
    assert.deepEqual(refusal({ fields: { email: {} }, services: { '1st/x': {} } }), [
      'services["1st/x"]: expected a name that matches `^[A-Za-z][A-Za-z0-9_-]{0,62}$` as the key',
      'fields.email: expected a field such as `Query.products` as the key',
    ]);
  });

  it('never prints a credential', () => {
    const secret = 'correct-horse-battery';
    const messages = refusal({
      redis: `http://user:${secret}@redis`,
      admin: { tokens: [{ name: 'ops', role: 'admin', sha256: secret }] },
      services: { a: { instances: [{ url: `http://user:${secret}@10.0.0.1` }] } },
    });
    assert.equal(messages.length, 3);
    assert.ok(!messages.join('\n').includes(secret), messages.join('\n'));
  });

  it('gives the JSON pointer of each mistake', () => {
    assert.throws(
      () => parseConfig({ services: { a: { routes: [{ match: { path: '/x' }, 'a/b': 1 }] } } }),
      (error) => error instanceof GatewayError && error.reasons?.[0]?.path === '/services/a/routes/0/a~1b',
    );
  });

  it('refuses what is not an object', () => {
    assert.deepEqual(refusal([]), ['expected an object, got a list of 0']);
    assert.deepEqual(refusal(null), ['expected an object, got nothing']);
  });
});

describe('rules of the configuration', () => {
  const cases: [string, unknown, RegExp][] = [
    [
      'an admin port open to the network without tokens',
      { admin: { host: '0.0.0.0' } },
      /admin\.host: 0\.0\.0\.0 is not/,
    ],
    [
      'a health check with options of another kind',
      { services: { a: { routes: [{ match: { path: '/a' } }], health: { kind: 'tcp', path: '/x' } } } },
      /services\.a\.health\.path: a check of kind `tcp` has none/,
    ],
    [
      'a team token without services',
      { admin: { tokens: [{ name: 'a', sha256, role: 'team' }] } },
      /tokens\[0\]: a `team` token needs/,
    ],
    [
      'services on a token that they do not restrict',
      { admin: { tokens: [{ name: 'a', sha256, role: 'admin', services: ['a'] }] } },
      /restricts `team` tokens only/,
    ],
    [
      'two tokens of one name',
      {
        admin: {
          tokens: [
            { name: 'a', sha256, role: 'admin' },
            { name: 'a', sha256: 'b'.repeat(64), role: 'viewer' },
          ],
        },
      },
      /tokens\[1\]\.name: the same/,
    ],
    [
      'one secret under two names',
      {
        authentication: {
          apiKeys: [
            { name: 'a', sha256 },
            { name: 'b', sha256 },
          ],
        },
      },
      /apiKeys\[1\]\.sha256: the same/,
    ],
    ['one port for both', { listen: { port: 4001 } }, /listen\.port: the public and the admin port are both 4001/],
    ['a GraphQL path in the way of health', { graphql: { path: '/health' } }, /graphql\.path/],
    ['required authentication that nobody can pass', { authentication: { required: true } }, /nobody could pass/],
    [
      'rate limits of one name in one list',
      {
        services: {
          s: {
            routes: [
              {
                match: { path: '/' },
                rateLimit: [
                  { name: 'a', limit: 1, window: '1m' },
                  { name: 'a', limit: 2, window: '1m' },
                ],
              },
            ],
          },
        },
      },
      /services\.s\.routes\[0\]\.rateLimit\[1\]\.name: the same `name` as entry 0/,
    ],
    [
      'a service whose routes nobody and everybody may use',
      { services: { s: { public: true, authorize: { scopes: ['a'] }, routes: [{ match: { path: '/' } }] } } },
      /services\.s\.public: .*contradict/,
    ],
    [
      'a named policy with a kind that the level does not have',
      { policies: { named: { calm: { bind: { services: ['s'], fields: ['Query.a'] }, bulkhead: { calls: 2 } } } } },
      /policies\.named\.calm\.bulkhead: `bulkhead` cannot hold for a field, but the policy is bound to Query\.a/,
    ],
    [
      'a named policy whose value does not fit the level',
      { policies: { named: { calm: { bind: { fields: ['Query.a'] }, cache: { maxBodySize: '1mb' } } } } },
      /policies\.named\.calm\.cache\.maxBodySize: unknown key/,
    ],
    [
      'a named policy of which no level knows what it says',
      { policies: { named: { calm: { bind: { gateway: true }, timeouts: '1s' } } } },
      /policies\.named\.calm\.timeouts: no level has options of this name/,
    ],
    [
      'two named policies that say one kind of one target',
      {
        policies: {
          named: {
            calm: { bind: { services: ['s', 't'] }, timeout: '1s' },
            hasty: { bind: { services: ['t'] }, timeout: '2s' },
          },
        },
      },
      /policies\.named\.hasty\.bind\.services\[0\]: the policies `hasty` and `calm` both say `timeout` of a service t/,
    ],
    ['an empty requirement', { fields: { 'A.b': { authorize: {} } } }, /authorize: .*at least 1 .*an empty object/],
    [
      'a requirement that asks for nothing',
      { fields: { 'A.b': { authorize: { authenticated: false } } } },
      /authorize: asks for nothing/,
    ],
    [
      'a public route that asks for scopes',
      { services: { s: { routes: [{ match: { path: '/' }, public: true, authorize: { scopes: ['a'] } }] } } },
      /contradict/,
    ],
    ['a public field that is no root field', { fields: { 'User.email': { public: true } } }, /only fields of Query/],
    ['a proxy that is no network', { trustedProxies: ['10.0.0.0/33'] }, /trustedProxies\[0\]: expected an address/],
    ['no time at all', { policies: { deadline: '0s' } }, /policies\.deadline: 0s is too short/],
    ['more time than a timer can wait', { services: { s: { timeout: '40d' } } }, /s\.timeout: 40d is too long/],
    [
      'two instances of one address',
      { services: { s: { instances: [{ url: 'http://a:1' }, { url: 'http://a:1' }] } } },
      /instances\[1\]\.url: the same/,
    ],
  ];
  for (const [title, value, message] of cases) {
    it(`refuse ${title}`, () => {
      const messages = refusal(value);
      assert.equal(messages.length, 1, messages.join('\n'));
      assert.match(messages[0] ?? '', message);
    });
  }

  it('let pass what only looks alike', () => {
    const rule = { name: 'a', limit: 1, window: '1m' };
    assert.deepEqual(
      refusal({
        admin: { host: '127.0.0.2', port: 0 },
        listen: { port: 0 },
        policies: {
          rateLimit: [rule],
          named: { calm: { bind: { services: ['none'], routes: [{ service: 's', path: '/' }] }, timeout: '1s' } },
        },
        services: { s: { routes: [{ match: { path: '/' }, rateLimit: [{ ...rule, limit: 2 }] }] } },
        shutdown: { delay: '0s' },
        fields: { 'Query.me': { public: true } },
      }),
      [],
    );
  });

  it('says what belongs to which algorithm of a rate limit, wherever the rule stands', () => {
    const base = { name: 'a', limit: 1 };
    const rulesOf = (rule: object) => refusal({ policies: { rateLimit: [{ ...base, ...rule }] } });
    assert.deepEqual(rulesOf({}), ['policies.rateLimit[0]: `gcra` needs a `window`']);
    assert.deepEqual(rulesOf({ algorithm: 'concurrency' }), []);
    assert.deepEqual(rulesOf({ algorithm: 'concurrency', window: '1m', count: 'cost', lease: '10ms' }), [
      'policies.rateLimit[0].window: `concurrency` has no window: it counts until the end',
      'policies.rateLimit[0].count: `concurrency` counts requests',
      'policies.rateLimit[0].lease: a lease lasts at least 1s',
    ]);
    assert.deepEqual(rulesOf({ algorithm: 'fixed-window', window: '1m', burst: 2 }), [
      'policies.rateLimit[0].burst: `burst` is for `gcra`, not for `fixed-window`',
    ]);
    assert.deepEqual(refusal({ fields: { 'Query.a': { rateLimit: [base] } } }), [
      'fields["Query.a"].rateLimit[0]: `gcra` needs a `window`',
    ]);
    assert.deepEqual(rulesOf({ window: '1m', key: ['viewer', 'claim:org', 'operation'] }), []);
    assert.equal(rulesOf({ window: '1m', key: ['viewer', 'cookie:x'] }).length, 1);
  });
});

describe('buildSettings', () => {
  it('applies the defaults that the schema documents', () => {
    const settings = buildSettings(parseConfig({}), {});
    const documented = (path: string): unknown =>
      path.split('.').reduce<SchemaNode>((node, key) => node.properties?.[key] ?? {}, GatewayConfig as TSchema).default;
    const text = (path: string): string => String(documented(path));
    assert.deepEqual(settings, {
      listen: {
        host: documented('listen.host'),
        port: documented('listen.port'),
        http2: { tls: true, clear: false, maxConcurrentStreams: documented('listen.http2.maxConcurrentStreams') },
      },
      admin: { host: documented('admin.host'), port: documented('admin.port'), tokens: documented('admin.tokens') },
      workers: 1,
      store: { kind: 'file', directory: text('store').replace('file:', '') },
      cache: { store: documented('cache.store'), maxBytes: parseSizeBytes(text('cache.maxSize')) },
      authentication: {
        required: documented('authentication.required'),
        jwt: documented('authentication.jwt'),
        apiKeys: documented('authentication.apiKeys'),
      },
      authorization: {},
      viewer: {},
      deadlineMs: parseDurationMs(text('policies.deadline')),
      policies: {},
      namedPolicies: [],
      resilience: {},
      rateLimit: documented('policies.rateLimit'),
      rateLimitHeaders: documented('policies.rateLimitHeaders'),
      edge: {},
      services: {},
      own: { static: [], aggregate: {}, rest: {}, openapi: undefined },
      plugins: documented('plugins'),
      fields: {},
      types: {},
      graphql: {
        path: documented('graphql.path'),
        introspection: documented('graphql.introspection'),
        graphiql: true,
        maxBatchSize: documented('graphql.maxBatchSize'),
        limits: {},
        suggestions: true,
        persistedOperations: {
          mode: documented('graphql.persistedOperations.mode'),
          source: undefined,
          reloadMs: parseDurationMs(text('graphql.persistedOperations.reload')),
          copy: undefined,
          allowArbitrary: documented('graphql.persistedOperations.allowArbitrary'),
          trustPersisted: documented('graphql.persistedOperations.trustPersisted'),
          apq: documented('graphql.persistedOperations.apq'),
          apqTtlMs: parseDurationMs(text('graphql.persistedOperations.apqTtl')),
          apqMaxBytes: parseSizeBytes(text('graphql.persistedOperations.apqMaxSize')),
        },
        subgraphErrors: documented('graphql.subgraphErrors'),
        cost: {
          listSize: documented('graphql.cost.listSize'),
          slicingArguments: documented('graphql.cost.slicingArguments'),
        },
        plugins: documented('graphql.plugins'),
        engine: documented('graphql.engine'),
        shareSubgraphRequests: documented('graphql.shareSubgraphRequests'),
        shareOperations: documented('graphql.shareOperations'),
        edge: { csrf: documented('graphql.csrf'), responseHeaders: documented('graphql.responseHeaders') },
        cache: null,
      },
      limits: {
        maxBodyBytes: parseSizeBytes(text('limits.maxBodySize')),
        maxGraphqlBodyBytes: parseSizeBytes(text('limits.maxGraphqlBodySize')),
        maxSubgraphResponseBytes: parseSizeBytes(text('limits.maxSubgraphResponseSize')),
        maxHeaderBytes: parseSizeBytes(text('limits.maxHeaderSize')),
        headersTimeoutMs: parseDurationMs(text('limits.headersTimeout')),
        bodyIdleTimeoutMs: parseDurationMs(text('limits.bodyIdleTimeout')),
        maxHeaderCount: documented('limits.maxHeaderCount'),
        clientIdleMs: parseDurationMs(text('limits.clientIdleTimeout')),
        keepAliveMs: parseDurationMs(text('limits.keepAliveTimeout')),
        maxRequestsPerConnection: documented('limits.maxRequestsPerConnection'),
        maxConnections: documented('limits.maxConnections'),
        maxUpgrades: documented('limits.maxUpgrades'),
      },
      serverTiming: documented('serverTiming'),
      registry: {
        schemaChanges: documented('registry.schemaChanges'),
        usageWindowMs: parseDurationMs(text('registry.usageWindow')),
        maxHistory: documented('registry.history'),
      },
      sessionSecrets: [],
      trustedProxies: documented('trustedProxies'),
      discovery: {},
      massExpiry: {
        share: parsePercentage(text('registry.massExpiry.share')),
        minimum: documented('registry.massExpiry.minimum'),
        patienceMs: parseDurationMs(text('registry.massExpiry.patience')),
      },
      log: { level: documented('logging.level'), access: documented('logging.access') },
      shutdown: {
        delayMs: parseDurationMs(text('shutdown.delay')),
        graceMs: parseDurationMs(text('shutdown.grace')),
      },
    });
  });

  it('leaves the resilience options in the words that buildResilience reads', () => {
    const { resilience, rateLimit, deadlineMs } = buildSettings({
      policies: { timeout: '2s', deadline: '9s', rateLimit: [{ name: 'a', limit: 1, window: '1s' }] },
    });
    assert.deepEqual(resilience, { timeout: '2s' });
    assert.equal(buildResilience(resilience).timeoutMs, 2_000);
    assert.equal(deadlineMs, 9_000);
    assert.equal(rateLimit.length, 1);
  });

  it('offers GraphiQL unless this is production or the configuration says otherwise', () => {
    const production = { NODE_ENV: 'production' };
    assert.equal(buildSettings({}, production).graphql.graphiql, false);
    assert.equal(buildSettings({ graphql: { graphiql: true } }, production).graphql.graphiql, true);
  });

  it('makes whole bytes of fractions', () => {
    assert.equal(buildSettings({ limits: { maxHeaderSize: '16.0001kb' } }).limits.maxHeaderBytes, 16_384);
  });
});

describe('wording', () => {
  it('writes paths as people do', () => {
    assert.equal(formatPath(['services', 'orders', 'routes', 0, 'timeout']), 'services.orders.routes[0].timeout');
    assert.equal(formatPath(['fields', 'User.email']), 'fields["User.email"]');
  });
});
