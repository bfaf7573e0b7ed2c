/** Rules for header fields: set, add, remove, rename and give defaults, by templates, in the order in which they stand. */
import Type from 'typebox';
import {
  compileTemplate,
  findTemplateMistake,
  isCredential,
  listAskerParts,
  readsCredentials,
  type TemplateScope,
} from './header-template.ts';
import type { RequestContext } from './request-context.ts';
import { isReserved } from './reserved-headers.ts';
import type { Mistake } from './schema-mistakes.ts';

const Name = { pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", maxLength: 200 } as const;

export const HeaderRule = Type.Object(
  {
    set: Type.Optional(Type.String({ ...Name, description: 'Puts `value` in place of all fields of this name.' })),
    add: Type.Optional(Type.String({ ...Name, description: 'Adds a field with `value`.' })),
    default: Type.Optional(Type.String({ ...Name, description: 'Adds a field with `value` where there is none.' })),
    remove: Type.Optional(
      Type.String({ ...Name, description: 'Removes fields: of this name, or that begin so (`x-internal-*`).' }),
    ),
    rename: Type.Optional(Type.String({ ...Name, description: 'Gives fields of this name the name `to`.' })),
    to: Type.Optional(Type.String({ ...Name, description: 'The new name. Fields that had it before go.' })),
    value: Type.Optional(
      Type.String({
        pattern: '^[\\t\\x20-\\x7e]*$',
        maxLength: 4_096,
        description:
          'Text with variables: `{viewer.id}`, `{viewer.kind}`, `{viewer.issuer}`, `{viewer.roles}`, `{viewer.scopes}`, `{viewer.claims.NAME}`, `{request.header.NAME}`, `{request.id}`, `{request.method}`, `{request.host}`, `{request.ip}`, `{request.protocol}`, `{service}`, and in routes `{route.params.NAME}`. When one of them has no value there is no field.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type HeaderRule = Type.Static<typeof HeaderRule>;

const RuleList = Type.Array(HeaderRule, { maxItems: 200 });

/** `headers` of the gateway, a service, a route, or the GraphQL door. */
export const HeaderRules = Type.Object(
  {
    request: Type.Optional({ ...RuleList, description: 'For requests to services.' }),
    response: Type.Optional({ ...RuleList, description: 'For answers to clients.' }),
  },
  {
    additionalProperties: false,
    description:
      'Rules for headers. Those of the gateway come first, then those of the service, then those of the route.',
  },
);
export type HeaderRules = Type.Static<typeof HeaderRules>;

export type HeaderDirection = 'request' | 'response';

const operations = ['set', 'add', 'default', 'remove', 'rename'] as const;

/** What is wrong with rules that fit the schema. */
export function findHeaderMistakes(rules: HeaderRules | undefined, scope: TemplateScope): Mistake[] {
  return (['request', 'response'] as const).flatMap((direction) =>
    (rules?.[direction] ?? []).flatMap((rule, index) =>
      findRuleMistakes(rule, direction, scope).map(({ path, message }) => ({
        path: [direction, index, ...path],
        message,
      })),
    ),
  );
}

function findRuleMistakes(rule: HeaderRule, direction: HeaderDirection, scope: TemplateScope): Mistake[] {
  const named = operations.filter((name) => rule[name] !== undefined);
  const [operation] = named;
  if (operation === undefined || named.length > 1) {
    return [{ path: [], message: `expected one of ${operations.map((name) => `\`${name}\``).join(', ')}` }];
  }
  const takesValue = operation !== 'remove' && operation !== 'rename';
  const mistakes: Mistake[] = [];
  if (takesValue !== (rule.value !== undefined)) {
    mistakes.push({
      path: [],
      message: takesValue ? `\`${operation}\` needs a \`value\`` : `\`${operation}\` takes no \`value\``,
    });
  }
  if ((operation === 'rename') !== (rule.to !== undefined)) {
    mistakes.push({ path: [], message: operation === 'rename' ? '`rename` needs `to`' : '`to` stands with `rename`' });
  }
  for (const key of [operation, 'to'] as const) {
    const name = rule[key]?.toLowerCase();
    if (name === undefined) continue;
    if (key === 'remove' && name.endsWith('*') && name.length > 1) continue;
    if (name.includes('*'))
      mistakes.push({ path: [key], message: 'only `remove` takes a `*`, at the end of a beginning' });
    else if (isReserved(name, direction)) mistakes.push({ path: [key], message: `${name} is decided by the gateway` });
  }
  const wrong = rule.value === undefined ? null : findTemplateMistake(rule.value, scope);
  return wrong === null ? mistakes : [...mistakes, { path: ['value'], message: wrong }];
}

/** Rules that are ready: they give a list of names and values for one. */
export type ApplyHeaderRules = (headers: readonly string[], context: RequestContext, path: string) => string[];

/** Compiles rules that have no mistakes; null where there are none. */
export function compileHeaderRules(
  rules: readonly HeaderRule[],
  direction: HeaderDirection,
  scope: TemplateScope,
): ApplyHeaderRules | null {
  if (rules.length === 0) return null;
  const steps = rules.map((rule) => compileRule(rule, direction, scope));
  return (headers, context, path) => {
    let current = [...headers];
    for (const step of steps) current = step(current, context, path);
    return current;
  };
}

/** Whether a service finds credentials of the client under other names: caches do not look there. */
export function carriesCredentials(rules: readonly HeaderRule[]): boolean {
  return rules.some(({ rename, value }) => isCredential(rename?.toLowerCase() ?? '') || readsCredentials(value ?? ''));
}

/** What of a request decides what the rules give, as names for `describeAsker`. */
export function listRuleInputs(rules: readonly HeaderRule[]): readonly string[] {
  return rules.flatMap(({ value }) => listAskerParts(value ?? ''));
}

type Step = (headers: string[], context: RequestContext, path: string) => string[];

function compileRule(rule: HeaderRule, direction: HeaderDirection, scope: TemplateScope): Step {
  const { set, add, remove, rename, to = '' } = rule;
  if (remove !== undefined) return compileRemoval(remove, direction);
  if (rename !== undefined) return compileRenaming(rename, to, direction);
  const value = compileTemplate(rule.value ?? '', scope);
  if (add !== undefined) return (headers, context, path) => withField(headers, add, value(context, path));
  if (set !== undefined) {
    const isSame = matchName(set, direction);
    // Without a value there is no field, whatever the client sent under that name.
    return (headers, context, path) => withField(reject(headers, isSame), set, value(context, path));
  }
  const name = rule.default ?? '';
  const isSame = matchName(name, direction);
  return (headers, context, path) =>
    headers.some((text, index) => index % 2 === 0 && isSame(text))
      ? headers
      : withField(headers, name, value(context, path));
}

function compileRemoval(name: string, direction: HeaderDirection): Step {
  if (!name.endsWith('*')) return (headers) => reject(headers, matchName(name, direction));
  const beginning = normalize(name.slice(0, -1), direction);
  const isMeant = (text: string) =>
    normalize(text, direction).startsWith(beginning) && !isReserved(text.toLowerCase(), direction);
  return (headers) => reject(headers, isMeant);
}

function compileRenaming(from: string, to: string, direction: HeaderDirection): Step {
  const isFrom = (text: string) => text.toLowerCase() === from.toLowerCase();
  const isTo = matchName(to, direction);
  return (headers) => {
    if (!headers.some((text, index) => index % 2 === 0 && isFrom(text))) return headers;
    const others = reject(headers, (text) => isTo(text) && !isFrom(text));
    return others.map((text, index) => (index % 2 === 0 && isFrom(text) ? to : text));
  };
}

/** Services may take `x_tenant` for `x-tenant` (RFC 3875 section 4.1.18): who could send it would choose the value. */
function matchName(name: string, direction: HeaderDirection): (text: string) => boolean {
  const wanted = normalize(name, direction);
  return (text) => text.length === wanted.length && normalize(text, direction) === wanted;
}

function normalize(name: string, direction: HeaderDirection): string {
  const lowerCase = name.toLowerCase();
  return direction === 'request' ? lowerCase.replaceAll(/[^a-z0-9]/g, '-') : lowerCase;
}

function withField(headers: string[], name: string, value: string | undefined): string[] {
  return value === undefined ? headers : [...headers, name, value];
}

function reject(headers: readonly string[], isMeant: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (!isMeant(name)) kept.push(name, headers[i + 1] ?? '');
  }
  return kept;
}
