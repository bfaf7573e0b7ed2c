/** `npm run soak -- [SECONDS] [--seed N] [--clients N] [--workers N] [--log FILE]`: exits with 1 when anything was not as it must be. */
import { parseArgs } from 'node:util';
import { runSoak } from './soak.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    clients: { type: 'string' },
    workers: { type: 'string' },
    log: { type: 'string' },
  },
});
const seconds = Number(positionals[0] ?? 600);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
console.log(`seed ${seed}, ${seconds} seconds`);
const report = await runSoak({
  seconds,
  seed,
  warmUpSeconds: Math.min(45, Math.max(10, seconds / 5)),
  clients: Number(values.clients ?? 24),
  workers: Number(values.workers ?? 1),
  logFile: values.log,
  tell: (line) => console.log(`${new Date().toISOString()} ${line}`),
});
for (const [name, count] of [...report.counts].toSorted(([a], [b]) => a.localeCompare(b)))
  console.log(`${name}: ${count}`);
console.log(report.violations.length === 0 ? 'no violation' : `violations: ${report.counts.get('violations')}`);
process.exitCode = report.violations.length === 0 ? 0 : 1;
