import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type WatchConfigOptions, watchConfig } from '../../gateway/config-watch.ts';

/** A watch on a file, with what it told; everything is gone after the test. */
async function createWatch(t: TestContext, options: Partial<WatchConfigOptions<string>> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'selvage-watch-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'selvage.yaml');
  await writeFile(file, 'first');
  const changes: string[] = [];
  const errors: string[] = [];
  let notify = Promise.withResolvers<void>();
  const tell = (list: string[], text: string): void => {
    list.push(text);
    notify.resolve();
    notify = Promise.withResolvers<void>();
  };
  const watch = await watchConfig<string>({
    file,
    load: async () => {
      const text = await readFile(file, 'utf8');
      if (text.startsWith('bad')) throw new Error(text);
      return text;
    },
    onChange: (text) => tell(changes, text),
    onError: (error) => tell(errors, error instanceof Error ? error.message : ''),
    debounceMs: 5,
    intervalMs: 3_600_000,
    ...options,
  });
  t.after(() => watch.close());
  return { directory, file, changes, errors, watch, next: () => notify.promise };
}

describe('watchConfig', () => {
  it('sees a file that is written', async (t) => {
    const { file, changes, next } = await createWatch(t);
    await writeFile(file, 'second');
    // Between truncation and writing the file may have been seen empty.
    while (!changes.includes('second')) await next();
  });

  it('sees a file that is replaced, as editors do', async (t) => {
    const { directory, file, changes, next } = await createWatch(t);
    await writeFile(join(directory, 'new'), 'second');
    const told = next();
    await rename(join(directory, 'new'), file);
    await told;
    assert.deepEqual(changes, ['second']);
  });

  it('sees the symbolic link of a ConfigMap being swapped', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'selvage-configmap-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    for (const [version, content] of [
      ['..1', 'first'],
      ['..2', 'second'],
    ] as const) {
      await mkdir(join(directory, version));
      await writeFile(join(directory, version, 'selvage.yaml'), content);
    }
    await symlink('..1', join(directory, '..data'));
    const file = join(directory, 'selvage.yaml');
    await symlink(join('..data', 'selvage.yaml'), file);
    const told = Promise.withResolvers<string>();
    const watch = await watchConfig<string>({
      file,
      load: () => readFile(file, 'utf8'),
      onChange: told.resolve,
      onError: told.reject,
      debounceMs: 5,
    });
    t.after(() => watch.close());
    await symlink('..2', join(directory, '..data_tmp'));
    await rename(join(directory, '..data_tmp'), join(directory, '..data'));
    assert.equal(await told.promise, 'second');
  });

  it('polls, for what the file system does not tell', async (t) => {
    const target = await mkdtemp(join(tmpdir(), 'selvage-target-'));
    t.after(() => rm(target, { recursive: true, force: true }));
    const { file, changes, next, directory } = await createWatch(t, { intervalMs: 20 });
    await writeFile(join(target, 'far.yaml'), 'linked');
    await symlink(join(target, 'far.yaml'), join(directory, 'link'));
    let told = next();
    await rename(join(directory, 'link'), file);
    await told;
    told = next();
    await writeFile(join(target, 'new'), 'far change');
    await rename(join(target, 'new'), join(target, 'far.yaml'));
    await told;
    assert.deepEqual(changes, ['linked', 'far change']);
  });

  it('reports a bad file once and keeps quiet until it changes again', async (t) => {
    const { file, changes, errors, watch } = await createWatch(t, { debounceMs: 3_600_000 });
    await writeFile(file, 'bad indentation');
    await watch.check();
    await watch.check();
    assert.deepEqual([changes, errors], [[], ['bad indentation']]);
    await writeFile(file, 'good');
    await watch.check();
    assert.deepEqual([changes, errors.length], [['good'], 1]);
  });

  it('does nothing for a touch', async (t) => {
    const { file, changes, watch } = await createWatch(t, { debounceMs: 3_600_000 });
    await writeFile(file, 'first');
    await watch.check();
    assert.deepEqual(changes, []);
  });

  it('misses no change between loading and watching when it is told the hash', async (t) => {
    const { changes, watch } = await createWatch(t, { debounceMs: 3_600_000, hash: 'of something older' });
    await watch.check();
    assert.deepEqual(changes, ['first']);
  });

  it('takes changes over one after another, also when taking over is slow', async (t) => {
    const order: string[] = [];
    const begun = Promise.withResolvers<void>();
    const slow = Promise.withResolvers<void>();
    const { file, watch } = await createWatch(t, {
      debounceMs: 3_600_000,
      onChange: async (text) => {
        order.push(`begin ${text}`);
        begun.resolve();
        if (text === 'second') await slow.promise;
        order.push(`end ${text}`);
      },
    });
    await writeFile(file, 'second');
    const first = watch.check();
    await begun.promise;
    await writeFile(file, 'third');
    const second = watch.check();
    slow.resolve();
    await Promise.all([first, second]);
    assert.deepEqual(order, ['begin second', 'end second', 'begin third', 'end third']);
  });

  it('reports a file that is gone, and takes it when it is back', async (t) => {
    const { file, changes, errors, watch } = await createWatch(t, { debounceMs: 3_600_000 });
    await rm(file);
    await watch.check();
    assert.equal(errors.length, 1);
    await writeFile(file, 'back');
    await watch.check();
    assert.deepEqual(changes, ['back']);
  });

  it('is silent once closed', async (t) => {
    const { file, changes, watch } = await createWatch(t);
    await watch.close();
    await writeFile(file, 'second');
    await watch.check();
    assert.deepEqual(changes, []);
  });
});
