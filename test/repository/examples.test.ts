import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { parseConfig } from '../../gateway/config.ts';
import { startGateway } from '../support/gateway.ts';
import { makeFolder } from '../support/process.ts';

// Every example of the documentation runs: YAML is a valid configuration, curl lines are answered, TypeScript compiles.

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

interface Example {
  readonly place: string;
  readonly language: string;
  readonly text: string;
}

async function findExamples(language: string): Promise<Example[]> {
  const pages = [
    'README.md',
    ...(await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  ];
  const found = await Promise.all(
    pages.map(async (page) => {
      const text = await readFile(join(root, page), 'utf8');
      return [...text.matchAll(/```(\w+)\n(.*?)```/gs)].map((match) => ({
        place: `${page}:${text.slice(0, match.index).split('\n').length}`,
        language: match[1] ?? '',
        text: match[2] ?? '',
      }));
    }),
  );
  return found.flat().filter((example) => example.language === language);
}

test('every YAML example is a valid configuration', async (t) => {
  for (const { place, text } of await findExamples('yaml')) {
    await t.test(place, () => {
      const value = parse(text) as { services?: Record<string, object> };
      parseConfig(value);
    });
  }
});

test('every curl example is answered, and not by a fault of the gateway', async (t) => {
  const gateway = await startGateway(t);
  // The tour supposes the demo, in which somebody serves `topProducts` already.
  const products = { graphql: { kind: 'plain', schema: 'type Query { topProducts: [String!] }' } };
  assert.equal((await gateway.admin('PUT', '/services/products', products)).status, 201);
  const examples = (await findExamples('sh')).filter(({ text }) => text.includes('curl '));
  assert.ok(examples.length >= 3);
  for (const { place, text } of examples) {
    await t.test(place, async () => {
      const script = text
        .replaceAll('localhost:4000', new URL(gateway.url).host)
        .replaceAll('localhost:4001', new URL(gateway.adminUrl).host)
        .replaceAll('curl ', 'curl -sS -w "\\n%{http_code}\\n" ');
      const { stdout } = await run('sh', ['-ec', script]);
      const statuses = stdout
        .split('\n')
        .filter((line) => /^\d{3}$/.test(line))
        .map(Number);
      assert.ok(statuses.length > 0, stdout);
      // 404 and 503 are fine: the services of the examples do not run here.
      assert.ok(
        statuses.every((status) => status < 500 || status === 503),
        stdout,
      );
      if (text.includes('/services/bad')) assert.deepEqual(statuses, [422], 'the schema that does not fit is refused');
    });
  }
});

test('every TypeScript example compiles', async (t) => {
  const folder = await makeFolder(t);
  const examples = await findExamples('ts');
  assert.ok(examples.length >= 3);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const [index, { text }] of examples.entries()) await writeFile(join(folder, `example-${index}.ts`), text);
  const compilerOptions = {
    allowImportingTsExtensions: true,
    typeRoots: [join(root, 'node_modules/@types')],
    paths: { selvage: [join(root, 'gateway/index.ts')], 'selvage/client': [join(root, 'subgraphs/client.ts')] },
  };
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: ['*.ts'] }),
  );
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]).catch(({ stdout }) => {
    assert.fail(`${examples.map(({ place }, index) => `example-${index} is ${place}`).join(', ')}\n${stdout}`);
  });
});
