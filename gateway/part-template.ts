/** Paths with places for values, of the parts of an aggregate. A value is always one segment, or one value of a query. */
import { GatewayError } from '../policies/errors.ts';
import { readPointer } from './json-pointer.ts';

/** What a template says that cannot be. */
export class TemplateMistake extends Error {}

/** What the values come from. */
export interface TemplateValues {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Answers of other parts. */
  readonly parts: ReadonlyMap<string, unknown>;
}

export interface PartPath {
  /** Parts whose values it takes. */
  readonly needs: readonly string[];
  /** Throws DOWNSTREAM_SERVICE_ERROR where a part did not give a value that could stand in a path. */
  render(values: TemplateValues): string;
}

type Place = (values: TemplateValues) => unknown;

/** `:name` after a separator, or `{source.name}`. */
const places = /(?<=[/=&,]):([A-Za-z_]\w*)|\{([^{}]*)\}/g;

/** Compiles a template. Throws a TemplateMistake. */
export function parsePartPath(
  template: string,
  known: { readonly params: ReadonlySet<string>; readonly parts: ReadonlySet<string> },
): PartPath {
  const needs = new Set<string>();
  const texts: string[] = [];
  const values: { readonly read: Place; readonly inPath: boolean }[] = [];
  const queryAt = template.indexOf('?');
  let end = 0;
  for (const match of template.matchAll(places)) {
    const [whole, param, reference] = match;
    texts.push(template.slice(end, match.index));
    end = match.index + whole.length;
    const read = param === undefined ? parseReference(reference ?? '', known, needs) : readParam(param, known.params);
    values.push({ read, inPath: queryAt < 0 || match.index < queryAt });
  }
  texts.push(template.slice(end));
  if (/[{}#\\]/.test(texts.join(''))) throw new TemplateMistake('a brace without its other half, a `#` or a backslash');
  return {
    needs: [...needs],
    render: (given) =>
      values.reduce(
        (path, { read, inPath }, index) => path + encodeValue(read(given), inPath) + (texts[index + 1] ?? ''),
        texts[0] ?? '',
      ),
  };
}

function readParam(name: string, params: ReadonlySet<string>): Place {
  if (!params.has(name)) throw new TemplateMistake(`the path of the route has no \`:${name}\``);
  return (values) => values.params[name];
}

function parseReference(text: string, known: Parameters<typeof parsePartPath>[1], needs: Set<string>): Place {
  const [source = '', ...keys] = text.split('.');
  if (keys.length === 0 || keys.some((key) => key === '')) {
    throw new TemplateMistake(`expected {query.name} or {part.field}, got {${text}}`);
  }
  if (source === 'query') return ({ query }) => query.get(keys.join('.')) ?? '';
  if (!known.parts.has(source)) throw new TemplateMistake(`no part is named \`${source}\``);
  needs.add(source);
  return ({ parts }) => readPointer(parts.get(source), keys);
}

function encodeValue(value: unknown, inPath: boolean): string {
  const isText = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
  // In a path, nothing and dots would make it another path.
  if (!isText || (inPath && /^\.{0,2}$/.test(String(value)))) {
    throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'A value that the path needs is missing');
  }
  try {
    return encodeURIComponent(value);
  } catch (cause) {
    throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'A value that the path needs is no text', { cause });
  }
}
