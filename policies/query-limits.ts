/** How much one GraphQL operation may ask: in numbers, by class of viewer. */
import Type from 'typebox';
import type { OperationShape } from './document-shape.ts';
import { type ErrorCode, GatewayError } from './errors.ts';
import { OneOf, parseSizeBytes, Size } from './units.ts';
import { type Asker, createClassTest, type IsInClass, ViewerClass } from './viewer-class.ts';

const closed = { additionalProperties: false } as const;

/** What holds where nothing else is said. A cost that is too much depends on the data, so nothing is assumed of it. */
export const defaultQueryLimits = {
  depth: 15,
  introspectionDepth: 20,
  aliases: 30,
  rootFields: 20,
  directives: 50,
  tokens: 2_000,
  documentSize: '64kb',
} as const;

const Count = Type.Integer({ minimum: 1, maximum: 1_000_000_000 });

const counted = {
  depth: 'Levels of fields; those of fragments count where they are used.',
  introspectionDepth: 'Levels of fields below `__schema` and `__type`, which `depth` does not count.',
  aliases: 'Aliases; those of a fragment count as often as it is used.',
  rootFields: 'Fields at the top of an operation.',
  directives: 'Directives; those of a fragment count as often as it is used.',
  tokens: 'Words and signs of a document.',
} as const;

const describeCount = <Name extends keyof typeof counted>(name: Name, withDefault: boolean) =>
  Type.Optional(
    Type.Unsafe<number>({
      ...Count,
      ...(withDefault && { default: defaultQueryLimits[name] }),
      description: counted[name],
    }),
  );

const limitProperties = (withDefault: boolean) => ({
  depth: describeCount('depth', withDefault),
  introspectionDepth: describeCount('introspectionDepth', withDefault),
  aliases: describeCount('aliases', withDefault),
  rootFields: describeCount('rootFields', withDefault),
  directives: describeCount('directives', withDefault),
  tokens: describeCount('tokens', withDefault),
  documentSize: Type.Optional(
    Type.Unsafe<string>({
      ...Size,
      ...(withDefault && { default: defaultQueryLimits.documentSize }),
      description: 'Size of the text of a document.',
    }),
  ),
  cost: Type.Optional(
    Type.Unsafe<number>({
      ...Count,
      description: 'What an operation may cost at most, see `graphql.cost`. Default: nothing is refused for its cost.',
    }),
  ),
});

const ClassLimits = Type.Object({ for: ViewerClass, ...limitProperties(false) }, closed);

export const QueryLimitOptions = Type.Object(
  {
    mode: Type.Optional(
      OneOf(['enforce', 'measure'], {
        default: 'enforce',
        description:
          '`measure`: nothing is refused but documents of more than 10,000 tokens; metrics and the log tell what would have been.',
      }),
    ),
    ...limitProperties(true),
    classes: Type.Optional(
      Type.Array(ClassLimits, {
        default: [],
        maxItems: 50,
        description:
          'Other limits for some viewers: the first class that a viewer belongs to counts. What it does not name is as for everyone.',
      }),
    ),
  },
  { ...closed, description: 'How much one operation may ask.' },
);
export type QueryLimitOptions = Type.Static<typeof QueryLimitOptions>;

/** Limits in numbers. */
export interface QueryLimits {
  /** The class as it is written; `default` for everyone else. */
  readonly className: string;
  readonly depth: number;
  readonly introspectionDepth: number;
  readonly aliases: number;
  readonly rootFields: number;
  readonly directives: number;
  readonly tokens: number;
  readonly documentBytes: number;
  readonly cost: number;
}

/** What an operation has too much of. */
export interface Excess {
  readonly code: ErrorCode;
  readonly limit: number;
  readonly found: number;
}

export interface QueryLimiter {
  readonly mode: 'enforce' | 'measure';
  /** Tokens after which no viewer's document is parsed any further. */
  readonly maxTokens: number;
  /** Whether any class has a limit of cost. */
  readonly limitsCost: boolean;
  limitsFor(asker: Asker): QueryLimits;
}

/** What no document may have, whatever is configured: beyond it the work of validation itself is the danger. */
export const hardMaxTokens = 10_000;

export function createQueryLimiter(options: QueryLimitOptions = {}): QueryLimiter {
  const { mode = 'enforce', classes = [], ...general } = options;
  const everyone = buildLimits('default', general);
  const special = classes.map(({ for: written, ...own }): { isIn: IsInClass; limits: QueryLimits } => ({
    isIn: createClassTest(written),
    limits: buildLimits(written, { ...general, ...own }),
  }));
  const all = [everyone, ...special.map(({ limits }) => limits)];
  return {
    mode,
    maxTokens: mode === 'measure' ? hardMaxTokens : Math.max(...all.map(({ tokens }) => tokens)),
    limitsCost: all.some(({ cost }) => Number.isFinite(cost)),
    limitsFor(asker) {
      for (const { isIn, limits } of special) if (isIn(asker)) return limits;
      return everyone;
    },
  };
}

function buildLimits(className: string, written: Omit<QueryLimitOptions, 'mode' | 'classes'>): QueryLimits {
  const { documentSize, cost = Number.POSITIVE_INFINITY, ...counts } = { ...defaultQueryLimits, ...written };
  return { className, ...counts, documentBytes: parseSizeBytes(documentSize), cost };
}

/** The first limit that a document's text offends against, before it is parsed. */
export function findTextExcess(text: string, { documentBytes: limit }: QueryLimits): Excess | null {
  // No text has more bytes than three times its characters: most need not be counted.
  if (text.length * 3 <= limit) return null;
  const found = Buffer.byteLength(text, 'utf8');
  return found > limit ? { code: 'DOCUMENT_TOO_LARGE', limit, found } : null;
}

/** The first limit that an operation offends against. */
export function findExcess(shape: OperationShape, limits: QueryLimits): Excess | null {
  const over = (code: ErrorCode, limit: number, found: number): Excess | null =>
    found > limit ? { code, limit, found } : null;
  return (
    over('TOO_MANY_TOKENS', limits.tokens, shape.tokens) ??
    over('OPERATION_TOO_DEEP', limits.depth, shape.depth) ??
    over('OPERATION_TOO_DEEP', limits.introspectionDepth, shape.introspectionDepth) ??
    over('TOO_MANY_ALIASES', limits.aliases, shape.aliases) ??
    over('TOO_MANY_ROOT_FIELDS', limits.rootFields, shape.rootFields) ??
    over('TOO_MANY_DIRECTIVES', limits.directives, shape.directives)
  );
}

export function findCostExcess(found: number, { cost: limit }: QueryLimits): Excess | null {
  return found > limit ? { code: 'OPERATION_TOO_COMPLEX', limit, found } : null;
}

const sentences: Partial<Record<ErrorCode, (limit: number, found: string) => string>> = {
  DOCUMENT_TOO_LARGE: (limit, found) => `The document has ${found} bytes; ${limit} are allowed`,
  TOO_MANY_TOKENS: (limit, found) => `The document has ${found} tokens; ${limit} are allowed`,
  OPERATION_TOO_DEEP: (limit, found) => `The operation is ${found} levels deep; ${limit} are allowed`,
  TOO_MANY_ALIASES: (limit, found) => `The operation has ${found} aliases; ${limit} are allowed`,
  TOO_MANY_ROOT_FIELDS: (limit, found) => `The operation has ${found} root fields; ${limit} are allowed`,
  TOO_MANY_DIRECTIVES: (limit, found) => `The operation has ${found} directives; ${limit} are allowed`,
  OPERATION_TOO_COMPLEX: (limit, found) => `The operation may cost ${found}; ${limit} is allowed`,
  BATCH_TOO_LARGE: (limit, found) =>
    limit === 0
      ? 'Several operations in one request are not allowed'
      : `The batch has ${found} operations; ${limit} are allowed`,
};

/** Counts end here: a bomb of fragments has more of everything than a number can say. */
export const maxCount = 1_000_000_000;

/** An excess as the client is told of it. */
export function toLimitError({ code, limit, found }: Excess): GatewayError {
  const text = found >= maxCount ? `${maxCount} or more` : String(found);
  return new GatewayError(code, sentences[code]?.(limit, text));
}
