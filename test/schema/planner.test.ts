import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { composeGraph } from '../../schema/composition.ts';
import { createPlanner, type PlannerOptions, type PlanOutcome } from '../../schema/planner.ts';
import { products, reviews } from './shop.ts';
import { buildService } from './subgraph-server.ts';

const double = new URL('./planner-double.ts', import.meta.url);
const graph = { id: 'g1', supergraphSdl: 'type Query { a: Int }' };

function startPlanner(t: TestContext, options: PlannerOptions = {}) {
  const lines: { message: string; fields: Readonly<Record<string, unknown>> }[] = [];
  const log = (message: string, fields = {}) => void lines.push({ message, fields });
  const planner = createPlanner({ log: { info: () => {}, warn: log, error: log }, ...options });
  t.after(() => planner[Symbol.dispose]());
  const kindOf = async (document: string): Promise<PlanOutcome['kind']> =>
    (await planner.plan({ graph, document })).kind;
  return { planner, lines, kindOf };
}

/** Every message that the double got, in all of its lives. */
async function keepJournal(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'selvage-test-'));
  const file = join(folder, 'journal');
  await writeFile(file, '');
  process.env['PLANNER_DOUBLE_JOURNAL'] = file;
  t.after(() => {
    delete process.env['PLANNER_DOUBLE_JOURNAL'];
    return rm(folder, { recursive: true, force: true });
  });
  return async () =>
    (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
}

test('the native planner plans over federated services, and refuses what it does not understand', async (t) => {
  const { planner } = startPlanner(t);
  const { id, supergraphSdl } = composeGraph([products, reviews].map(buildService), () => assert.fail());
  const plan = (document: string) => planner.plan({ graph: { id, supergraphSdl }, document });
  const outcome = await plan('{ topProducts { name reviews { body } } }');
  assert.ok(outcome.kind === 'planned');
  assert.equal(outcome.plan.node?.kind, 'Sequence');
  assert.equal((await plan('{ __schema { queryType { name } } }')).kind, 'refused');
  assert.equal((await plan('{ latestReview { body } }')).kind, 'planned');
});

test('a supergraph that cannot be loaded is refused, and not loaded again for the next document', async (t) => {
  const readJournal = await keepJournal(t);
  const { planner, kindOf } = startPlanner(t, { program: double });
  const broken = { id: 'g2', supergraphSdl: 'FAIL' };
  assert.equal((await planner.plan({ graph: broken, document: '{ a }' })).kind, 'refused');
  assert.equal((await planner.plan({ graph: broken, document: '{ b }' })).kind, 'refused');
  assert.equal(await kindOf('{ a }'), 'planned');
  assert.equal((await readJournal()).filter(({ graph: name }) => name === 'g2').length, 1);
});

test('a document that kills the process is refused, those behind it are planned, and it is not sent again', async (t) => {
  const readJournal = await keepJournal(t);
  const { planner, lines, kindOf } = startPlanner(t, { program: double });
  assert.equal(await kindOf('{ first }'), 'planned');
  const { pid } = planner;
  const outcomes = await Promise.all(['{ before }', '{ ABORT }', '{ behind }', '{ last }'].map(kindOf));
  assert.deepEqual(outcomes, ['planned', 'refused', 'planned', 'planned']);
  assert.notEqual(planner.pid, pid);
  assert.equal(await kindOf('{ ABORT }'), 'refused');
  const sent = (await readJournal()).filter(({ document }) => document === '{ ABORT }');
  assert.equal(sent.length, 1);
  assert.equal(await kindOf('{ first }'), 'planned');
  const text = JSON.stringify(lines);
  assert.match(text, /graph\.rs:11:22/);
  assert.doesNotMatch(text, /Ulm/, 'what a panic says may hold parts of the document');
});

test('the same document may be sent for another graph', async (t) => {
  const { planner, kindOf } = startPlanner(t, { program: double, now: () => 0 });
  assert.equal(await kindOf('{ ABORT }'), 'refused');
  const other = { id: 'g2', supergraphSdl: '' };
  assert.equal((await planner.plan({ graph: other, document: '{ ABORT }' })).kind, 'refused');
});

test('a document that takes too long is refused, and its process replaced', async (t) => {
  const { planner, kindOf } = startPlanner(t, { program: double, timeoutMs: 1_500 });
  assert.equal(await kindOf('{ a }'), 'planned');
  const { pid } = planner;
  assert.equal(await kindOf('{ SLEEP }'), 'refused');
  assert.equal(await kindOf('{ b }'), 'planned');
  assert.notEqual(planner.pid, pid);
});

test('killed from outside, the process comes back and the document is tried once more', async (t) => {
  const { planner, kindOf } = startPlanner(t, { program: double });
  assert.equal(await kindOf('{ a }'), 'planned');
  const pid = planner.pid ?? 0;
  // Else it may have answered by the time it is killed.
  process.kill(pid, 'SIGSTOP');
  const stuck = kindOf('{ b }');
  process.kill(pid, 'SIGKILL');
  assert.equal(await stuck, 'planned');
  assert.notEqual(planner.pid, pid);
});

test('a process that dies again and again is given time, and nobody waits for it meanwhile', async (t) => {
  let nowMs = 0;
  const { kindOf } = startPlanner(t, { program: double, now: () => nowMs });
  assert.equal(await kindOf('{ ABORT1 }'), 'refused');
  const [second, behind] = await Promise.all(['{ ABORT2 }', '{ a }'].map(kindOf));
  assert.equal(second, 'refused');
  assert.equal(behind, 'unavailable');
  assert.equal(await kindOf('{ a }'), 'unavailable');
  nowMs += 99;
  assert.equal(await kindOf('{ a }'), 'unavailable');
  nowMs += 1;
  assert.equal(await kindOf('{ a }'), 'planned');
  assert.equal(await kindOf('{ ABORT3 }'), 'refused');
  nowMs += 199;
  assert.equal(await kindOf('{ a }'), 'unavailable');
  nowMs += 1;
  assert.equal(await kindOf('{ a }'), 'planned');
  // A long life ends the series.
  nowMs += 61_000;
  assert.equal(await kindOf('{ ABORT4 }'), 'refused');
  assert.equal(await kindOf('{ a }'), 'planned');
});

test('more documents than may wait are answered at once', async (t) => {
  const { kindOf } = startPlanner(t, { program: double, maxWaiting: 3 });
  const kinds = await Promise.all(['{ a }', '{ b }', '{ c }', '{ d }'].map(kindOf));
  assert.deepEqual(kinds, ['planned', 'planned', 'planned', 'unavailable']);
});

test('the process keeps some graphs, and loads again what it had to forget', async (t) => {
  const readJournal = await keepJournal(t);
  const { planner } = startPlanner(t, { program: double });
  const ask = (id: string) => planner.plan({ graph: { id, supergraphSdl: '' }, document: '{ a }' });
  for (const id of ['1', '2', '3', '4', '1', '5', '1', '2']) assert.equal((await ask(id)).kind, 'planned');
  const messages = (await readJournal()).map(({ kind, graph: id }) => `${kind} ${id}`);
  assert.deepEqual(
    messages.filter((message) => !message.startsWith('plan')),
    ['load 1', 'load 2', 'load 3', 'load 4', 'unload 2', 'load 5', 'unload 3', 'load 2'],
  );
});

test('without a binary for the platform nothing is planned, and one line says so', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'selvage-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const program = join(folder, 'no-planner.mjs');
  await writeFile(
    program,
    "process.send({ kind: 'unavailable', reason: 'no binary' }); process.on('message', () => {});",
  );
  const { lines, kindOf } = startPlanner(t, { program: pathToFileURL(program) });
  assert.equal(await kindOf('{ a }'), 'unavailable');
  assert.equal(await kindOf('{ a }'), 'unavailable');
  assert.equal(lines.length, 1);
});

test('a program that cannot be started is like one that dies', async (t) => {
  const { kindOf } = startPlanner(t, { program: new URL('./nothing-here.ts', import.meta.url) });
  assert.equal(await kindOf('{ a }'), 'unavailable');
});

test('the process ends with the gateway that started it, also when that is killed', async () => {
  const planner = new URL('../../schema/planner.ts', import.meta.url).href;
  const script = `import { createPlanner } from ${JSON.stringify(planner)};
    const planner = createPlanner();
    await planner.plan({ graph: { id: 'g', supergraphSdl: '' }, document: '{ a }' });
    console.log(planner.pid);
    setInterval(() => {}, 1_000);`;
  const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(parent.stdout, 'data');
  const pid = Number(String(line).trim());
  process.kill(pid, 'SIGTERM');
  process.kill(pid, 0);
  parent.kill('SIGKILL');
  await once(parent, 'close');
  await assert.doesNotReject(waitUntilGone(pid));
});

test('a planner that waits for documents does not keep its process from ending', async () => {
  const planner = new URL('../../schema/planner.ts', import.meta.url).href;
  const script = `import { createPlanner } from ${JSON.stringify(planner)};
    await createPlanner().plan({ graph: { id: 'g', supergraphSdl: '' }, document: '{ a }' });`;
  const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: 'inherit' });
  const [code] = await once(parent, 'close');
  assert.equal(code, 0);
});

async function waitUntilGone(pid: number): Promise<void> {
  for (let left = 500; left > 0; left--) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('it is still there');
}
