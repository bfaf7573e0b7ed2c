/** Text for a terminal, and careful looks into answers whose shape is somebody else's promise. */
import type { ErrorReason } from '../policies/errors.ts';

/** Without what a terminal would obey: names and messages come from teams, and some from the schemas of strangers. */
export function printable(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/\p{Cc}|\p{Cf}/gu, '�');
}

/** Rows below a head, in columns. Nothing but the head when there are no rows. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** Reasons of a refusal, a line each. */
export function formatReasonLines(reasons: readonly ErrorReason[]): string {
  return reasons
    .map(({ path, message, service }) => {
      const place = [service, path].filter((part) => part !== undefined && part !== '').join(' ');
      return `  ${printable(`${place === '' ? '' : `${place}: `}${message}`)}\n`;
    })
    .join('');
}

/** What changes for clients, a line each. */
export function formatChanges(changes: readonly unknown[]): string {
  return changes
    .map((change) => ['criticality', 'path', 'message'].map((key) => printable(fieldText(change, key))))
    .map(
      ([criticality = '', path = '', message = '']) => `  ${criticality.padEnd(9)}  ${path && `${path}: `}${message}\n`,
    )
    .join('');
}

/** A field of an answer; undefined where there is none. */
export function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

/** The same as text, empty where there is none. */
export function fieldText(value: unknown, key: string): string {
  const found = field(value, key);
  return typeof found === 'string' || typeof found === 'number' || typeof found === 'boolean' ? String(found) : '';
}

/** The same as a list, empty where there is none. */
export function fieldList(value: unknown, key: string): readonly unknown[] {
  const found = field(value, key);
  return Array.isArray(found) ? found : [];
}
