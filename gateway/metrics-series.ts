/** Series of a metric by label values: found fast, and bounded in number. */

/** In seconds, for whatever a client waits for. */
export const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Gives back a label value, or `other` when it would be one too many. */
export type LabelBound = (value: string) => string;

const other = 'other';
const maxValueLength = 128;

/** Lets the first `maxValues` distinct values through. */
export function createLabelBound(maxValues: number): LabelBound {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= maxValues || value.length > maxValueLength) return other;
    known.add(value);
    return value;
  };
}

/** A node of the tree from label values to the series; one label per level. */
interface Node<Child> {
  readonly next: Map<string, Node<Child>>;
  child: Child | undefined;
}

/** Most series of one metric: labels bounded one by one can still be combined in many ways. */
const maxSeries = 5_000;

/**
 * A function from label values to the child of a metric. Children are made once, because making one costs more than
 * using it. The tree is walked by the values as they come, so that known ones need no joined key.
 */
export function createSeries<Child>(
  bounds: readonly LabelBound[],
  createChild: (...labels: string[]) => Child,
): (...labels: string[]) => Child {
  const root: Node<Child> = { next: new Map(), child: undefined };
  let count = 0;

  function find(labels: readonly string[]): Node<Child> | undefined {
    let node: Node<Child> | undefined = root;
    for (const label of labels) {
      node = node.next.get(label);
      if (node === undefined) return undefined;
    }
    return node;
  }

  function add(labels: readonly string[]): Child {
    let node = root;
    for (const label of labels) {
      let next = node.next.get(label);
      if (next === undefined) {
        next = { next: new Map(), child: undefined };
        node.next.set(label, next);
      }
      node = next;
    }
    node.child ??= createChild(...labels);
    count++;
    return node.child;
  }

  return (...labels) => {
    const known = find(labels)?.child;
    if (known !== undefined) return known;
    const bounded = labels.map((label, i) => bounds[i]?.(label) ?? other);
    const allowed = count < maxSeries ? bounded : labels.map(() => other);
    return find(allowed)?.child ?? add(allowed);
  };
}
