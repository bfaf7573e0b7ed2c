/**
 * Metrics of what happens with every request: summed up here, and told to the registry when somebody asks. The children of
 * prom-client find their series anew with every call, which made a tenth of the work of a small request.
 */
import { Counter, type Metric, type Registry } from 'prom-client';
import { createSeries, type LabelBound } from './metrics-series.ts';

export interface TallyOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly registry: Registry;
  /** For each label. */
  readonly bounds: readonly LabelBound[];
}

/** One series of a counter. */
export class Tally {
  readonly #child: Counter.Internal;
  #waiting = 0;

  constructor(child: Counter.Internal) {
    this.#child = child;
  }

  inc(): void {
    this.#waiting++;
  }

  /** Passes on what has come together. */
  tell(): void {
    if (this.#waiting > 0) this.#child.inc(this.#waiting);
    this.#waiting = 0;
  }
}

/** A counter; gives the series for values of its labels. */
export function createTalliedCounter({ registry, bounds, ...options }: TallyOptions): (...labels: string[]) => Tally {
  const tallies: Tally[] = [];
  const counter = new Counter({
    ...options,
    registers: [registry],
    collect() {
      for (const tally of tallies) tally.tell();
    },
  });
  return createSeries(bounds, (...labels) => {
    const tally = new Tally(counter.labels(...labels));
    tallies.push(tally);
    return tally;
  });
}

/** One series of a histogram. */
export class HistogramTally {
  readonly labels: Readonly<Record<string, string>>;
  readonly #buckets: readonly number[];
  /** By bucket, what fell into it and into none below. */
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(labels: Readonly<Record<string, string>>, buckets: readonly number[]) {
    this.labels = labels;
    this.#buckets = buckets;
    this.counts = buckets.map(() => 0);
  }

  observe(value: number): void {
    this.sum += value;
    this.count++;
    const buckets = this.#buckets;
    for (let i = 0; i < buckets.length; i++) {
      if (value > (buckets[i] ?? 0)) continue;
      this.counts[i] = (this.counts[i] ?? 0) + 1;
      return;
    }
  }
}

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName: string;
}

/** A histogram of the same form as prom-client's, which knows none that is filled from elsewhere. */
class TalliedHistogram {
  readonly name: string;
  readonly help: string;
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly tallies: HistogramTally[] = [];
  readonly #buckets: readonly number[];

  constructor(name: string, help: string, buckets: readonly number[]) {
    this.name = name;
    this.help = help;
    this.#buckets = buckets;
  }

  /** As the registry asks for it. */
  get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    const values = this.tallies.flatMap((tally) => this.#samplesOf(tally));
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  #samplesOf({ labels, counts, sum, count }: HistogramTally): Sample[] {
    const bucketName = `${this.name}_bucket`;
    let upTo = 0;
    const samples: Sample[] = this.#buckets.map((le, i) => {
      upTo += counts[i] ?? 0;
      return { value: upTo, labels: { le, ...labels }, metricName: bucketName };
    });
    samples.push({ value: count, labels: { le: '+Inf', ...labels }, metricName: bucketName });
    samples.push({ value: sum, labels, metricName: `${this.name}_sum` });
    samples.push({ value: count, labels, metricName: `${this.name}_count` });
    return samples;
  }
}

/** A histogram; gives the series for values of its labels. @param options.buckets upper bounds, growing */
export function createTalliedHistogram({
  name,
  help,
  labelNames,
  registry,
  bounds,
  buckets,
}: TallyOptions & { readonly buckets: readonly number[] }): (...labels: string[]) => HistogramTally {
  const histogram = new TalliedHistogram(name, help, buckets);
  registry.registerMetric(histogram as unknown as Metric);
  return createSeries(bounds, (...values) => {
    const labels = Object.fromEntries(labelNames.map((label, i) => [label, values[i] ?? '']));
    const tally = new HistogramTally(labels, buckets);
    histogram.tallies.push(tally);
    return tally;
  });
}
