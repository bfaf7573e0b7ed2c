/**
 * What one choice of an instance costs, in nanoseconds and bytes: `node --expose-gc test/bench/pick.ts [algorithm]`.
 * With an algorithm alone: all of them in one process keep the compiler from making the best of each.
 */
import { systemClock } from '../../subgraphs/clock.ts';
import type { BalancingAlgorithm, LoadBalancingOptions } from '../../subgraphs/load-balancing-options.ts';
import { balancingAlgorithms } from '../../subgraphs/load-balancing-options.ts';
import { ServiceUpstream } from '../../subgraphs/service-upstream.ts';
import { createRandom } from '../support/random.ts';
import { createRequestContext } from '../support/request-context.ts';

const only = process.argv[2];
const picks = 200_000;
const rounds = 5;
const contexts = Array.from({ length: 64 }, (_, index) =>
  createRequestContext({ headers: { 'x-tenant': `tenant-${index}` } }),
);

function optionsOf(algorithm: BalancingAlgorithm): LoadBalancingOptions {
  return algorithm === 'consistent-hash' ? { algorithm, hash: { header: 'x-tenant' } } : { algorithm };
}

function createUpstream(algorithm: BalancingAlgorithm, instances: number, heavy: boolean): ServiceUpstream {
  const upstream = new ServiceUpstream(
    {
      name: 'shop',
      definition: { loadBalancing: optionsOf(algorithm) },
      schema: null,
      quarantine: null,
      revision: 1,
      origin: 'config',
      instances: Array.from({ length: instances }, (_, index) => ({
        id: `i${index}`,
        url: `http://10.0.${index >> 8}.${index & 255}:8080`,
        weight: heavy ? 1 + (index % 3) : 1,
        origin: 'static',
        draining: false,
      })),
    },
    { resilience: {}, sessionSecrets: [] },
    { now: () => 0, clock: systemClock, random: createRandom(1), closingPools: new Set() },
  );
  for (const instance of upstream.instances) instance.latency.observe(10, 0);
  return upstream;
}

function measure(upstream: ServiceUpstream, times: number): { ns: number; bytes: number } {
  const none: never[] = [];
  const [first] = contexts;
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const startedAt = process.hrtime.bigint();
  for (let i = 0; i < times; i++) upstream.pick(i / 100, none, contexts[i & 63] ?? first ?? createRequestContext());
  const ns = Number(process.hrtime.bigint() - startedAt) / times;
  return { ns, bytes: (process.memoryUsage().heapUsed - before) / times };
}

for (const instances of [3, 500]) {
  for (const heavy of [false, true]) {
    for (const algorithm of balancingAlgorithms) {
      if (only !== undefined && algorithm !== only) continue;
      const upstream = createUpstream(algorithm, instances, heavy);
      const times = instances > 100 && algorithm !== 'p2c' ? picks / 10 : picks;
      measure(upstream, times);
      const best = Array.from({ length: rounds }, () => measure(upstream, times)).reduce((a, b) =>
        b.ns < a.ns ? b : a,
      );
      const name = `${algorithm}${heavy ? ', weights 1-3' : ''}`;
      console.log(
        `${String(instances).padStart(4)} instances  ${name.padEnd(32)} ${best.ns.toFixed(0).padStart(6)} ns  ${best.bytes.toFixed(1)} bytes`,
      );
    }
  }
}
