/** Changes of a query: parameters renamed, removed, set and added. What is left alone stays byte by byte as it came. */
import type { Expression } from './expression.ts';
import { type AskedFacts, parseTransformExpression } from './transform-facts.ts';
import type { QueryOptions } from './transform-options.ts';

/** Compiles rules that are without mistakes. The query has its `?`, or is empty. */
export function compileQueryRules(options: QueryOptions): (query: string, facts: AskedFacts) => string {
  const renamed = new Map(Object.entries(options.rename ?? {}));
  const removed = new Set([...(options.remove ?? []), ...Object.keys(options.set ?? {})]);
  const added = [...Object.entries(options.set ?? {}), ...Object.entries(options.add ?? {})].map(
    ([name, source]) => [name, parseTransformExpression(source, 'query')] as const,
  );
  return (query, facts) => {
    const parts = query
      .slice(1)
      .split('&')
      .filter((part) => part !== '')
      .flatMap((part) => {
        const [name = ''] = part.split('=', 1);
        const decoded = decode(name);
        const to = renamed.get(decoded);
        if (removed.has(to ?? decoded)) return [];
        return [to === undefined ? part : encode(to) + part.slice(name.length)];
      });
    for (const [name, expression] of added) {
      for (const value of evaluate(expression, facts)) parts.push(`${encode(name)}=${encode(value)}`);
    }
    return parts.length === 0 ? '' : `?${parts.join('&')}`;
  };
}

/** As forms are read, since that is how services read queries. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** An expression without a value, such as a parameter that is not there, gives none. */
function evaluate(expression: Expression, facts: AskedFacts): readonly string[] {
  let value: unknown;
  try {
    value = expression.evaluate(facts);
  } catch {
    return [];
  }
  return (Array.isArray(value) ? value : [value]).flatMap((item) =>
    ['string', 'number', 'bigint', 'boolean'].includes(typeof item) ? [String(item).toWellFormed()] : [],
  );
}
