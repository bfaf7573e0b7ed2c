/** Path templates of `google.api.http` (google/api/http.proto, "Path template syntax"). */

import { readPattern } from './route-pattern.ts';

type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'rest' };

/** A field of the request that stands in the path. */
interface Variable {
  readonly field: readonly string[];
  readonly from: number;
  readonly to: number;
  /** Whether it goes on to the end. */
  readonly isOpen: boolean;
}

export interface HttpTemplate {
  /** The same paths, or some more, as the pattern of a route. */
  readonly pattern: string;
  /** Fields that stand in the path. */
  readonly fields: readonly (readonly string[])[];
  /** Whether a path is one of them. */
  fits(path: string): boolean;
  /** Fields with their text; null for a path that does not fit. Throws a URIError for one that is not encoded well. */
  match(path: string): readonly { readonly field: readonly string[]; readonly text: string }[] | null;
}

/** What is wrong with a template. */
export class TemplateMistake extends Error {
  override readonly name = 'TemplateMistake';
}

const literalForm = /^[A-Za-z0-9._~!$&'()+,;=@-]+(?::[A-Za-z0-9._~!$&'()+,;=@-]+)*$/;

/** Compiles a template such as `/v1/{name=shelves/*}/books:archive`. */
export function compileHttpTemplate(template: string): HttpTemplate {
  const { segments, variables, verb } = parseTemplate(template);
  const rest = segments.findIndex(({ kind }) => kind === 'rest');
  if (rest !== -1 && rest !== segments.length - 1) {
    throw new TemplateMistake(`${template}: \`**\` is read only at the end`);
  }
  const pattern = writePattern(segments, verb);
  // A verb may be too long for a constraint.
  const [mistake] = readPattern(pattern).mistakes;
  if (mistake !== undefined) throw new TemplateMistake(`${template}: ${mistake}`);
  return {
    pattern,
    fields: variables.map(({ field }) => field),
    fits(path) {
      const parts = splitPath(path, verb);
      return parts !== null && fits(segments, parts);
    },
    match(path) {
      const parts = splitPath(path, verb);
      return parts === null || !fits(segments, parts) ? null : capture(variables, parts);
    },
  };
}

function parseTemplate(template: string) {
  const match = /^\/(.*?)(?::([^/{}*]+))?$/.exec(template);
  if (match === null || (match[2] !== undefined && !literalForm.test(match[2]))) {
    throw new TemplateMistake(`${template}: expected a path such as /v1/orders/{id}`);
  }
  const segments: Segment[] = [];
  const variables: Variable[] = [];
  const texts = splitTemplate(match[1] ?? '');
  if (texts.join('/') !== match[1]) throw new TemplateMistake(`${template}: braces that do not close`);
  for (const text of texts) {
    const variable = /^\{([^{}=]+)(?:=([^{}]+))?\}$/.exec(text);
    if (variable === null) {
      segments.push(parseSegment(text, template));
      continue;
    }
    const inner = (variable[2] ?? '*').split('/').map((part) => parseSegment(part, template));
    const field = (variable[1] ?? '').split('.');
    if (!field.every((name) => /^[A-Za-z_]\w*$/.test(name))) {
      throw new TemplateMistake(`${template}: ${variable[1]} names no field`);
    }
    const isOpen = inner.at(-1)?.kind === 'rest';
    const to = segments.length + inner.length;
    variables.push({ field, from: segments.length, to, isOpen });
    segments.push(...inner);
  }
  return { segments, variables, verb: match[2] ?? null };
}

/** At slashes that are not in braces. */
function splitTemplate(text: string): string[] {
  return text.match(/(?:\{[^{}]*\}|[^/{}])+|(?<=\/)(?=\/|$)|^(?=\/)/g) ?? [];
}

function parseSegment(text: string, template: string): Segment {
  if (text === '*') return { kind: 'one' };
  if (text === '**') return { kind: 'rest' };
  if (!literalForm.test(text) || text === '.' || text === '..') {
    throw new TemplateMistake(`${template}: ${JSON.stringify(text)} is no segment of a path`);
  }
  return { kind: 'literal', text };
}

/**
 * The pattern of a route. A verb behind a variable is a constraint of its parameter (`:p2(.+:cancel)`), so that methods with
 * different verbs are told apart.
 */
function writePattern(segments: readonly Segment[], verb: string | null): string {
  const parts = segments.map((segment, index) => {
    const ending = index === segments.length - 1 ? verb : null;
    if (segment.kind === 'literal') return segment.text + (ending === null ? '' : `:${ending}`);
    if (segment.kind === 'rest') return '*';
    return `:p${index}${ending === null ? '' : `(.+:${ending.replaceAll(/[.$()+]/g, '\\$&')})`}`;
  });
  return `/${parts.join('/')}`;
}

function splitPath(path: string, verb: string | null): readonly string[] | null {
  if (verb !== null && !path.endsWith(`:${verb}`)) return null;
  const text = path.slice(1, verb === null ? undefined : -verb.length - 1);
  return text === '' ? [] : text.split('/');
}

function fits(segments: readonly Segment[], parts: readonly string[]): boolean {
  const isOpen = segments.at(-1)?.kind === 'rest';
  if (isOpen ? parts.length < segments.length - 1 : parts.length !== segments.length) return false;
  return segments.every(
    (segment, index) =>
      segment.kind === 'rest' ||
      (segment.kind === 'literal' ? parts[index] === segment.text : (parts[index] ?? '') !== ''),
  );
}

/** Encoded slashes do not come so far: the gateway takes none in a path. */
function capture(variables: readonly Variable[], parts: readonly string[]) {
  return variables.map(({ field, from, to, isOpen }) => {
    const raw = parts.slice(from, isOpen ? undefined : to).join('/');
    return { field, text: decodeURIComponent(raw) };
  });
}
