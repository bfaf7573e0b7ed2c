/** Range requests (RFC 9110 section 14) against an answer that is at hand whole. */

type Headers = Readonly<Record<string, string | undefined>>;

export type RangeChoice =
  | { readonly kind: 'whole' }
  /** Both ends count. */
  | { readonly kind: 'part'; readonly first: number; readonly last: number }
  | { readonly kind: 'unsatisfiable' };

const whole: RangeChoice = { kind: 'whole' };

/**
 * What of the answer a GET asks for. Several ranges, other units and what cannot be read get the whole, as section 14.2
 * allows: many small or overlapping parts would be an attack more often than a wish.
 */
export function chooseRange(request: Headers, answer: Headers, sizeBytes: number): RangeChoice {
  const [, from, to, suffix] = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/i.exec(request['range']?.trim() ?? '') ?? [];
  if (from === undefined && suffix === undefined) return whole;
  if (answer['accept-ranges']?.trim().toLowerCase() === 'none' || !meetsIfRange(request, answer)) return whole;
  if (suffix !== undefined) {
    const length = Math.min(Number(suffix), sizeBytes);
    if (length === 0) return { kind: 'unsatisfiable' };
    return { kind: 'part', first: sizeBytes - length, last: sizeBytes - 1 };
  }
  const first = Number(from);
  const last = to === '' ? Number.POSITIVE_INFINITY : Number(to);
  if (last < first) return whole;
  if (first >= sizeBytes) return { kind: 'unsatisfiable' };
  return { kind: 'part', first, last: Math.min(last, sizeBytes - 1) };
}

/** Whether the client's other parts are of this very answer (RFC 9110 section 13.1.5): by strong comparison only. */
function meetsIfRange(request: Headers, answer: Headers): boolean {
  const condition = request['if-range']?.trim();
  if (condition === undefined) return true;
  if (condition.endsWith('"')) return !condition.startsWith('W/') && condition === answer['etag']?.trim();
  const [wanted, modified, date] = [condition, answer['last-modified'], answer['date']].map((text) =>
    text === undefined ? Number.NaN : Date.parse(text),
  );
  // Section 8.8.2.2: what changed in the second of its answer may have changed again in it.
  return wanted === modified && modified !== undefined && date !== undefined && date - modified >= 1_000;
}
