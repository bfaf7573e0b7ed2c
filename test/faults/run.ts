/** `npm run test:faults -- [REQUESTS] [SEED]`: how often mutations and POSTs reach services whose connections break. */
import { runFaults } from './faults.ts';

const [requests = '10000', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
const report = await runFaults({ requests: Number(requests), seed: Number(seed) });
console.log(`seed ${seed}, ${requests} mutations and POSTs`);
for (const [times, count] of [...report.arrivals].toSorted(([a], [b]) => a - b)) {
  console.log(`reached a service ${times} times: ${count}`);
}
for (const [outcome, count] of [...report.outcomes].toSorted(([, a], [, b]) => b - a))
  console.log(`${outcome}: ${count}`);
console.log(`queries and GETs that were sent more than once: ${report.safeRepeated}`);
if (report.repeated.length > 0) {
  console.error(`reached a service more than once: ${report.repeated.join(' ')}`);
  process.exitCode = 1;
}
