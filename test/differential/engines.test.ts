import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDemoGraph, demoTexts } from './demo-graph.ts';
import { createGeneratedGraph, runOperation } from './differential.ts';
import { createEngines } from './engines.ts';
import { describeOperation } from './operation.ts';
import { generateOperation } from './operation-generator.ts';
import { createRandom } from './random.ts';
import { judge } from './verdict.ts';

/** Chosen so that the planner survives them: it is in this process here. */
const graphs = [1, 3, 5, 6, 7, 8, 9, 10, 11, 13];
const operationsPerGraph = 25;

describe('the planned engine', () => {
  for (const number of graphs) {
    it(`answers operations over generated graph ${number} as the whole graph in one process does`, async () => {
      const graph = createGeneratedGraph(number);
      assert.ok(graph !== null);
      const verdicts: string[] = [];
      for (let operation = 0; operation < operationsPerGraph; operation++) {
        const outcome = await runOperation(graph, { operation, shrink: true });
        assert.equal(outcome.failures.map(({ report }) => report).join('\n'), '', `operation ${operation}`);
        verdicts.push(...outcome.verdicts);
      }
      // Else the test would hold for an engine that plans nothing.
      const planned = verdicts.filter((verdict) => !verdict.startsWith('refused'));
      assert.ok(planned.length > verdicts.length / 2, `${planned.length} of ${verdicts.length} were planned`);
    });
  }

  it('answers operations over the graph of the demo as the stitched engine does, also with a service down', async () => {
    const demo = createDemoGraph();
    const engines = createEngines(demo);
    // Others make stitching give wrong answers, and here is nobody else to ask.
    const aliases = ['a', 'b', 'c', '_x1'];
    let planned = 0;
    for (let seed = 0; seed < 100; seed++) {
      const random = createRandom(seed);
      const operation = generateOperation({ schema: demo.publicSchema, random, texts: demoTexts, aliases });
      for (const down of [undefined, random.pick(demo.graph.services)]) {
        const { kind, what, outcomes } = await judge(engines, operation, down);
        if (kind !== 'refused') planned += 1;
        const report = [
          `seed ${seed}, down: ${down}, ${what}`,
          describeOperation(operation),
          JSON.stringify(outcomes, null, 1),
        ];
        assert.notEqual(kind, 'planned', report.join('\n'));
      }
    }
    assert.ok(planned > 40, `${planned} were planned`);
  });
});
