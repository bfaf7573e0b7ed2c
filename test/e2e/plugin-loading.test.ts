import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadConfig } from '../../gateway/config-file.ts';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { definePlugin } from '../../gateway/plugin.ts';
import { startGateway } from '../support/gateway.ts';
import { writeModule, writePackage } from '../support/plugins.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startSubgraph } from '../support/subgraph.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** A plugin of a file that answers `/plugin` with a word, and says when it comes and goes. */
const answering = (word: string, name = 'answers') => `
import { definePlugin } from 'selvage';
interface Options { readonly suffix?: string }
export default definePlugin<Options>({
  name: '${name}',
  optionsSchema: { type: 'object', properties: { suffix: { type: 'string' } }, additionalProperties: false },
  setup({ log, options }) {
    log.info('set up ${word}');
    return {
      onRequest: ({ path }) =>
        path === '/plugin' ? { answer: { status: 200, body: '${word}' + (options.suffix ?? '') } } : undefined,
      dispose: () => log.info('disposed ${word}'),
    };
  },
});
`;

async function answerOf(url: string): Promise<string> {
  const response = await fetch(`${url}/plugin`);
  return `${response.status} ${response.status === 200 ? await response.text() : ''}`;
}

async function load(folder: string, yaml: string): Promise<GatewayConfig> {
  await writeFile(join(folder, 'selvage.yaml'), yaml);
  return (await loadConfig({ directory: folder, environment: {} })).config;
}

async function refusalOf(act: Promise<unknown>): Promise<string> {
  const error = await act.then(
    () => assert.fail('it was accepted'),
    (thrown: unknown) => thrown,
  );
  const { message, reasons = [] } = error as { message: string; reasons?: { message: string }[] };
  return [message, ...reasons.map((reason) => reason.message)].join('\n');
}

describe('modules of plugins', () => {
  it('are files in TypeScript beside the configuration, and packages that can be found from there', async (t) => {
    const folder = await makeFolder(t);
    await writeModule(folder, 'plugins/first.ts', answering('file', 'first'));
    await writePackage(
      folder,
      'some-plugin',
      `export default { name: 'packed', onResponse: () => ({ headers: { 'x-packed': 'yes' } }) };`,
    );
    const config = await load(
      folder,
      'plugins:\n  - module: ./plugins/first.ts\n    options: { suffix: "!" }\n  - { module: some-plugin, timeout: 10ms }\n',
    );
    const { url, lines } = await startGateway(t, config);
    const response = await fetch(`${url}/plugin`);
    assert.deepEqual([await response.text(), response.headers.get('x-packed')], ['file!', 'yes']);
    assert.ok(lines.some(({ msg, plugin }) => msg === 'set up file' && plugin === 'first'));
  });

  it('that cannot be found are mistakes, each with its place', async (t) => {
    const folder = await makeFolder(t);
    const text = await refusalOf(load(folder, 'plugins:\n  - module: no-such-package\n  - module: plugins/a.ts\n'));
    assert.match(text, /selvage\.yaml:2:\d+: plugins\[0\]\.module: no package no-such-package/);
    assert.match(text, /selvage\.yaml:3:\d+: plugins\[1\]\.module: .* a file is named with \.\/ in front/);
  });

  it('that are no plugins, or have other options, keep a gateway from starting, all of them at once', async (t) => {
    const folder = await makeFolder(t);
    const config: GatewayConfig = {
      plugins: [
        { module: join(folder, 'missing.ts') },
        { module: await writeModule(folder, 'syntax.ts', 'export default {{') },
        { module: await writeModule(folder, 'none.ts', 'export default 5') },
        { module: await writeModule(folder, 'answers.ts', answering('x')), options: { sufix: '!' } },
      ],
    };
    const text = await refusalOf(startGateway(t, config));
    for (const place of [0, 1, 2, 3]) assert.match(text, new RegExp(`^plugins\\[${place}\\]: `, 'm'));
    assert.match(text, /sufix/);
  });

  it('and objects are told apart: workers cannot get objects', async (t) => {
    const plugin = definePlugin({ name: 'one' });
    const text = await refusalOf(startGateway(t, { workers: 2, plugins: [{ plugin }] }));
    assert.match(text, /plugins\[0\]\.plugin: .*worker processes.*`module`/);
    assert.match(await refusalOf(startGateway(t, { plugins: [{}] })), /either `module`.*or `plugin`/);
    const twice = [{ plugin }, { plugin: definePlugin({ name: 'one' }) }];
    assert.match(await refusalOf(startGateway(t, { plugins: twice })), /two plugins are called one/);
  });
});

describe('a reload', () => {
  it('takes a changed file, keeps what did not change, and disposes of what is gone', async (t) => {
    const folder = await makeFolder(t);
    const module = await writeModule(folder, 'a.ts', answering('one'));
    const other = await writeModule(folder, 'b.ts', answering('other', 'other'));
    const plugins = [{ module }, { module: other }];
    const { gateway, url, lines } = await startGateway(t, { plugins });
    const messages = () => lines.filter(({ plugin }) => plugin !== undefined).map(({ msg }) => msg);
    assert.equal(await answerOf(url), '200 one');
    await gateway.reload({ plugins });
    assert.deepEqual(messages(), ['set up one', 'set up other'], 'nothing changed');
    await writeFile(module, answering('two'));
    await gateway.reload({ plugins });
    assert.equal(await answerOf(url), '200 two');
    await gateway.reload({ plugins: [{ module, options: { suffix: '!' } }] });
    assert.equal(await answerOf(url), '200 two!');
    await gateway.reload({});
    assert.equal(await answerOf(url), '404 ');
    assert.deepEqual(messages().toSorted(), [
      'disposed one',
      'disposed other',
      'disposed two',
      'disposed two',
      'set up one',
      'set up other',
      'set up two',
      'set up two',
    ]);
  });

  it('with a plugin that does not load is refused whole', async (t) => {
    const folder = await makeFolder(t);
    const module = await writeModule(folder, 'a.ts', answering('one'));
    const { gateway, url, lines } = await startGateway(t, { plugins: [{ module }] });
    await writeFile(module, answering('two'));
    const failing = await writeModule(
      folder,
      'b.ts',
      `export default { name: 'b', setup() { throw new Error('no luck'); } }`,
    );
    const services = { new: { routes: [{ match: { path: '/new' } }] } };
    const text = await refusalOf(gateway.reload({ services, plugins: [{ module }, { module: failing }] }));
    assert.match(text, /plugins\[1\]: no luck/);
    assert.equal(await answerOf(url), '200 one');
    assert.equal((await fetch(`${url}/new`)).status, 404, 'nothing else of it holds');
    assert.ok(
      lines.some(({ msg }) => msg === 'disposed two'),
      'what was set up for it is cleaned up',
    );
    const bad = { services: { shop: { graphql: { schema: 'type Query {' } } }, plugins: [{ module }] };
    await refusalOf(gateway.reload(bad as GatewayConfig));
    assert.equal(await answerOf(url), '200 one');
  });

  it('lets requests in flight end with the plugins that they began with', async (t) => {
    const { promise: waiting, resolve: begin } = Promise.withResolvers<void>();
    const { promise: goOn, resolve: release } = Promise.withResolvers<void>();
    const events: string[] = [];
    const old = definePlugin({
      name: 'old',
      async onRequest() {
        begin();
        await goOn;
      },
      onResponse: () => void events.push('old: response'),
      dispose: () => void events.push('old: disposed'),
    });
    const { gateway, url } = await startGateway(t, { plugins: [{ plugin: old, timeout: '30s' }] });
    const asked = fetch(`${url}/any`);
    await waiting;
    await gateway.reload({
      plugins: [{ plugin: definePlugin({ name: 'new', onResponse: () => void events.push('new') }) }],
    });
    assert.deepEqual(events, []);
    release();
    await asked;
    await until(() => events.length === 2, 'the old one is disposed');
    assert.deepEqual(events, ['old: response', 'old: disposed']);
  });

  it('leaves nothing behind, a hundred times', async (t) => {
    let living = 0;
    const registry = new FinalizationRegistry(() => living--);
    const plugin = definePlugin({
      name: 'held',
      setup() {
        const hooks = { onRequest: () => undefined, onOperation: () => undefined, memory: new Uint8Array(100_000) };
        living++;
        registry.register(hooks, undefined);
        return hooks;
      },
    });
    const { gateway, graphql } = await startGateway(t, { plugins: [{ plugin }] });
    for (let number = 0; number < 100; number++) {
      await gateway.reload({ plugins: [{ plugin, options: { number } }] });
      if (number % 10 === 0) assert.equal((await graphql('{ __typename }')).status < 500, true);
    }
    await until(() => {
      collectGarbage();
      return living <= 2;
    }, `instances are freed`);
  });
});

describe('snapshots', () => {
  it('are told when they are served, and to a plugin that comes later at once', async (t) => {
    const told: string[] = [];
    const plugin = definePlugin({
      name: 'watches',
      onSnapshot: ({ revision, graph, services }) =>
        void told.push(`${revision} ${graph.length > 0} ${services.join()}`),
    });
    const gateway = await startGateway(t, { plugins: [{ plugin }] });
    const before = told.length;
    assert.ok(before >= 1);
    await gateway.admin('PUT', '/services/a', { graphql: { schema: 'type Query { a: Int }' } });
    assert.match(told.at(-1) ?? '', /^\d+ true a$/);
    const other = definePlugin({
      name: 'late',
      onSnapshot: ({ services }) => void told.push(`late ${services.join()}`),
    });
    await gateway.gateway.reload({ plugins: [{ plugin }, { plugin: other }] });
    assert.equal(told.at(-1), 'late a');
  });
});

describe('processes', () => {
  it('each load plugins for themselves, in every worker, and reload them', async (t) => {
    const folder = await makeFolder(t);
    await writeModule(folder, 'a.ts', answering('one'));
    const config: GatewayConfig = { workers: 2, plugins: [{ module: './a.ts' }] };
    const gateway = await startGatewayProcess(t, folder, config);
    const workersThat = (msg: string) =>
      new Set(gateway.lines.filter((line) => line['msg'] === msg).map(({ worker }) => worker));
    assert.deepEqual([...workersThat('set up one')].toSorted(), [1, 2]);
    for (let number = 0; number < 6; number++) assert.equal(await answerOf(gateway.url), '200 one');

    await writeModule(folder, 'a.ts', 'export default 5');
    gateway.child.kill('SIGHUP');
    await until(() => gateway.lines.some(({ msg }) => String(msg).includes('refused')), 'a bad plugin is refused');
    for (let number = 0; number < 6; number++) assert.equal(await answerOf(gateway.url), '200 one');

    await writeModule(folder, 'a.ts', answering('two'));
    gateway.child.kill('SIGHUP');
    await until(() => workersThat('disposed one').size === 2, 'both workers have the new one');
    for (let number = 0; number < 6; number++) assert.equal(await answerOf(gateway.url), '200 two');
    assert.equal(await gateway.end('SIGTERM'), 0);
    assert.equal(workersThat('disposed two').size, 2);
  });

  for (const workers of [1, 2]) {
    it(`survive promises of plugins that nobody awaits, and say whose they are: workers ${workers}`, async (t) => {
      const folder = await makeFolder(t);
      const stray = `export default { name: 'careless', onRequest() { void Promise.reject(new Error('astray')); } };`;
      await writeModule(folder, 'stray.ts', stray);
      const gateway = await startGatewayProcess(t, folder, { workers, plugins: [{ module: './stray.ts' }] });
      assert.equal((await fetch(gateway.url)).status, 404);
      await until(
        () => gateway.lines.some(({ plugin, kind }) => plugin === 'careless' && kind === 'stray'),
        'it is named',
      );
      assert.equal((await fetch(gateway.url)).status, 404);
      assert.equal(gateway.child.exitCode, null);
    });
  }
});

describe('plugins of Envelop and Yoga', () => {
  const text = `
    import { GraphQLError } from 'graphql';
    export const useMark = ({ mark, fail, wrap = true }) => ({
      onParse() { if (fail === 'onParse') throw new Error('broken'); },
      onRequest({ request, endResponse, fetchAPI }) {
        if (request.headers.get('x-end')) endResponse(new fetchAPI.Response('ended', { status: 418 }));
      },
      onExecute({ args, executeFn, setExecuteFn }) {
        if (fail === 'onExecute') throw new Error('broken');
        if (args.operationName === 'Forbidden') throw new GraphQLError('not this', { extensions: { code: 'FORBIDDEN' } });
        const inner = executeFn;
        if (wrap) setExecuteFn(async (own) => {
          const result = await inner(own);
          return { ...result, extensions: { ...result.extensions, around: Object.keys(result.data ?? {}) } };
        });
        return {
          onExecuteDone({ result, setResult }) {
            setResult({ ...result, extensions: { ...result.extensions, mark, saw: result.data?.a } });
          },
        };
      },
    });`;

  async function start(
    t: TestContext,
    options: object,
    more: GatewayConfig['graphql'] = {},
    onFailure?: 'continue' | 'fail',
  ) {
    const folder = await makeFolder(t);
    // In the tree of the tests, where it finds \`graphql\`.
    const code = text.replace("'graphql'", JSON.stringify(import.meta.resolve('graphql')));
    const module = await writeModule(folder, 'mark.mjs', code);
    let asked = 0;
    const service = await startSubgraph(t, 'type Query { a: Int }', { Query: { a: () => ++asked } });
    return await startGateway(t, {
      graphql: { plugins: [{ module, export: 'useMark', options, ...(onFailure && { onFailure }) }], ...more },
      ...(more.cache && { fields: { 'Query.a': { cache: { ttl: '1h' } } } }),
      services: { a: { graphql: { schema: 'type Query { a: Int }' }, instances: [{ url: service.url }] } },
    });
  }

  for (const engine of ['auto', 'stitched'] as const) {
    it(`are listed as they are, and wrap whatever executes: ${engine}`, async (t) => {
      const gateway = await start(t, { mark: 'x' }, { engine });
      const post = async (body: object, headers = {}) => {
        const init = {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify(body),
        };
        return await fetch(`${gateway.url}/graphql`, init);
      };
      const answer = await (await post({ query: '{ a }' })).json();
      assert.deepEqual(answer, { data: { a: 1 }, extensions: { around: ['a'], mark: 'x', saw: 1 } });
      const refused = await (await post({ query: 'query Forbidden { a }', operationName: 'Forbidden' })).json();
      assert.deepEqual([refused.errors[0].message, refused.errors[0].extensions.code], ['not this', 'FORBIDDEN']);
      const ended = await post({ query: '{ a }' }, { 'x-end': '1' });
      assert.deepEqual([ended.status, await ended.text()], [418, 'ended']);
    });
  }

  it('see answers of the cache, and what they make of an answer is not kept', async (t) => {
    const gateway = await start(t, { mark: 'x', wrap: false }, { cache: {} });
    for (const cacheStatus of [/fwd=uri-miss/, /hit/]) {
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"query":"{a}"}' };
      const answer = await fetch(`${gateway.url}/graphql`, init);
      assert.match(answer.headers.get('cache-status') ?? '', cacheStatus);
      assert.deepEqual(await answer.json(), { data: { a: 1 }, extensions: { mark: 'x', saw: 1 } });
    }
  });

  for (const hook of ['onParse', 'onExecute']) {
    it(`that fail in ${hook} fail the operation, unless the configuration lets it go on`, async (t) => {
      const strict = await start(t, { fail: hook });
      const refused = await strict.graphql('{ a }');
      assert.equal(refused.errors?.[0]?.extensions['code'], 'INTERNAL_SERVER_ERROR');
      assert.ok(!JSON.stringify(refused).includes('broken'));
      const lenient = await start(t, { fail: hook }, {}, 'continue');
      assert.deepEqual((await lenient.graphql('{ a }')).data, { a: 1 });
      assert.ok(lenient.lines.some(({ msg, plugin }) => msg === 'a plugin failed' && plugin === 'useMark'));
    });
  }
});
