import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLineReader } from '../../gateway/worker-lines.ts';
import { createWorkerLink, type WorkerLink } from '../../gateway/worker-link.ts';

interface Calculator {
  double(body: number): number;
  note(body: string): void;
  never(body: null): void;
}
interface Nothing {
  nothing(body: null): void;
}

function createPair() {
  const noted: string[] = [];
  const failures: unknown[] = [];
  const asking: WorkerLink<Calculator> = createWorkerLink<Nothing, Calculator>({
    send: (message) => queueMicrotask(() => answering.receive(JSON.parse(JSON.stringify(message)))),
    handlers: { nothing() {} },
    onFailure: () => {},
  });
  const answering: WorkerLink<Nothing> = createWorkerLink<Calculator, Nothing>({
    send: (message) => queueMicrotask(() => asking.receive(JSON.parse(JSON.stringify(message)))),
    handlers: {
      double(number) {
        if (number > 100) throw Object.assign(new Error('too large'), { syscall: 'listen' });
        return number * 2;
      },
      note: (text) => void noted.push(text),
      never: () => new Promise(() => {}),
    },
    onFailure: (error) => failures.push(error),
  });
  return { asking, answering, noted, failures };
}

describe('a worker link', () => {
  it('answers each question with its own answer', async () => {
    const { asking } = createPair();
    assert.deepEqual(await Promise.all([1, 2, 3].map((number) => asking.ask('double', number))), [2, 4, 6]);
  });

  it('carries failures, with what tells the operator’s matters from faults', async () => {
    const { asking } = createPair();
    await assert.rejects(asking.ask('double', 101), { message: 'too large', syscall: 'listen' });
  });

  it('gives up on an answer that does not come', async () => {
    const { asking } = createPair();
    await assert.rejects(asking.ask('never', null, 10), /in time/);
  });

  it('leaves nobody waiting when the other process goes', async () => {
    const { asking } = createPair();
    const question = asking.ask('never', null);
    asking.close();
    await assert.rejects(question, /gone/);
    await assert.rejects(asking.ask('double', 1), /gone/);
  });

  it('takes news without an answer, and passes over what others send through the channel', async () => {
    const { asking, answering, noted, failures } = createPair();
    asking.tell('note', 'one');
    answering.receive('something else');
    answering.receive(null);
    answering.receive({ type: 'prom-client' });
    answering.receive({ selvage: 'tell', kind: 'unknown', body: null });
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.deepEqual(noted, ['one']);
    assert.equal(failures.length, 1);
  });
});

describe('a line reader', () => {
  it('hands on whole lines, however they are cut, characters included', () => {
    const lines: string[] = [];
    const read = createLineReader((text) => lines.push(text));
    const bytes = new TextEncoder().encode('{"a":"ä"}\n{"b":1}\n{"c"');
    for (const byte of bytes) read(Uint8Array.of(byte));
    assert.deepEqual(lines, ['{"a":"ä"}\n', '{"b":1}\n']);
    read(new TextEncoder().encode(':1}\n{"d":1}\n'));
    assert.equal(lines.at(-1), '{"c":1}\n{"d":1}\n');
  });
});
