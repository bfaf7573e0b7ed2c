/** The well-known types whose JSON is a text (google/protobuf/*.proto): timestamps, durations, field masks. */

/** Wrappers of scalars: their JSON is that of `value`. */
export const wrapperTypes: ReadonlySet<string> = new Set(
  ['Double', 'Float', 'Int64', 'UInt64', 'Int32', 'UInt32', 'Bool', 'String', 'Bytes'].map(
    (name) => `google.protobuf.${name}Value`,
  ),
);

/** Types whose JSON is no object of their fields. */
export function isSpecialType(name: string): boolean {
  return specialTypes.has(name) || wrapperTypes.has(name);
}

const specialTypes: ReadonlySet<string> = new Set(
  ['Any', 'Timestamp', 'Duration', 'FieldMask', 'Struct', 'Value', 'ListValue'].map(
    (name) => `google.protobuf.${name}`,
  ),
);

/** Seconds and nanoseconds. */
export interface Seconds {
  readonly seconds: bigint;
  readonly nanos: number;
}

const timestampForm = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const firstSecond = -62_135_596_800n;
const lastSecond = 253_402_300_799n;

/** RFC 3339; null for what is none, or not between the years 1 and 9999. */
export function parseTimestamp(text: string): Seconds | null {
  const match = timestampForm.exec(text);
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const isReal =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  const offset = (match[8] === '-' ? -1 : 1) * (Number(match[9] ?? 0) * 3_600 + Number(match[10] ?? 0) * 60);
  if (!isReal || Number(match[9] ?? 0) > 23 || Number(match[10] ?? 0) > 59) return null;
  const seconds = BigInt(date.getTime() / 1_000 - offset);
  if (seconds < firstSecond || seconds > lastSecond) return null;
  return { seconds, nanos: Number((match[7] ?? '').padEnd(9, '0')) };
}

export function formatTimestamp({ seconds, nanos }: Seconds): string | null {
  if (seconds < firstSecond || seconds > lastSecond || nanos < 0 || nanos > 999_999_999) return null;
  const whole = new Date(Number(seconds) * 1_000).toISOString().slice(0, 19);
  return `${whole}${formatNanos(nanos)}Z`;
}

const longestDuration = 315_576_000_000n;

/** `1.5s`; null for what is none. */
export function parseDuration(text: string): Seconds | null {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
  if (match === null) return null;
  const sign = match[1] === '-' ? -1 : 1;
  const seconds = BigInt(match[2] ?? 0);
  if (seconds > longestDuration) return null;
  return { seconds: BigInt(sign) * seconds, nanos: sign * Number((match[3] ?? '').padEnd(9, '0')) };
}

export function formatDuration({ seconds, nanos }: Seconds): string | null {
  const size = seconds < 0n ? -seconds : seconds;
  if (size > longestDuration || Math.abs(nanos) > 999_999_999) return null;
  if ((seconds > 0n && nanos < 0) || (seconds < 0n && nanos > 0)) return null;
  return `${seconds < 0n || nanos < 0 ? '-' : ''}${size}${formatNanos(Math.abs(nanos))}s`;
}

/** None, three, six or nine digits. */
function formatNanos(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  return `.${digits.endsWith('000000') ? digits.slice(0, 3) : digits.endsWith('000') ? digits.slice(0, 6) : digits}`;
}

/** `user.displayName,photo` is `user.display_name` and `photo`; null where that cannot be undone. */
export function parseFieldMask(text: string): readonly string[] | null {
  if (text === '') return [];
  const paths = text.split(',');
  if (!paths.every((path) => /^[A-Za-z0-9.]+$/.test(path))) return null;
  return paths.map((path) => path.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

export function formatFieldMask(paths: readonly string[]): string {
  return paths.map((path) => path.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())).join(',');
}
