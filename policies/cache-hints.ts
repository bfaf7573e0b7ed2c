/** How long an operation's answer may be kept, and for whom: by hints at types and fields, as `@cacheControl` defines them. */
import {
  type DocumentNode,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isObjectType,
  type OperationDefinitionNode,
  separateOperations,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import Type from 'typebox';
import { Duration, OneOf } from './units.ts';

/** What is said of a type or a field. */
export interface CacheHint {
  readonly maxAgeMs?: number | undefined;
  readonly isPrivate?: boolean | undefined;
  /** For fields without a time of their own: that of the object they belong to holds. */
  readonly inherits?: boolean | undefined;
}

/** By `Type` or `Type.field`. */
export type CacheHints = ReadonlyMap<string, CacheHint>;

/** A hint as configured. */
export const CacheHintOptions = Type.Object(
  {
    ttl: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description: 'How long an answer with it may be kept. Default: what `@cacheControl` says.',
      }),
    ),
    scope: Type.Optional(
      OneOf(['public', 'private'], { description: '`private`: the answer is kept for the viewer who asked alone.' }),
    ),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description: 'As `@cacheControl` of a service, which it overrides.',
  },
);
export type CacheHintOptions = Type.Static<typeof CacheHintOptions>;

/** What holds for an operation. */
export interface OperationCaching {
  readonly maxAgeMs: number;
  readonly isPrivate: boolean;
  /** Whether some field of it asks something of the viewer. */
  readonly isAuthorized: boolean;
  /** Root fields, as `Query.products`. */
  readonly rootFields: readonly string[];
}

/**
 * What holds for a query: the least time of all its fields, private where one of them is. As in Apollo's definition, root
 * fields and fields that return objects without any hint may not be kept, and leaves follow their object. `@skip` and
 * `@include` are not looked at: it may only be too careful. Null for what is not kept.
 */
export function readOperationCaching(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  hints: CacheHints,
  isAuthorized: (coordinate: string) => boolean,
): OperationCaching | null {
  const own = separateOperations(document)[operation.name?.value ?? ''] ?? document;
  const typeInfo = new TypeInfo(schema);
  const rootFields = new Set<string>();
  let maxAgeMs = Number.POSITIVE_INFINITY;
  let isPrivate = false;
  let authorized = false;
  const Field = (): void => {
    const [parent, field] = [typeInfo.getParentType(), typeInfo.getFieldDef()];
    if (!parent || !field || field.name === '__typename') return;
    const isRoot = parent === schema.getQueryType();
    if (isRoot) rootFields.add(`${parent.name}.${field.name}`);
    const returned = getNamedType(field.type);
    for (const owner of listTypes(schema, parent)) {
      const coordinate = `${owner.name}.${field.name}`;
      authorized ||= isAuthorized(coordinate);
      const said = hints.get(coordinate);
      isPrivate ||= said?.isPrivate === true;
      if (said?.maxAgeMs !== undefined) maxAgeMs = Math.min(maxAgeMs, said.maxAgeMs);
      else if (said?.inherits !== true || isRoot) {
        const ofType = listTypes(schema, returned).map(({ name }) => hints.get(name));
        isPrivate ||= ofType.some((hint) => hint?.isPrivate === true);
        const times = ofType.flatMap((hint) => hint?.maxAgeMs ?? []);
        if (times.length > 0) maxAgeMs = Math.min(maxAgeMs, ...times);
        else if (isRoot || isCompositeType(returned)) maxAgeMs = 0;
      }
    }
    isPrivate ||= listTypes(schema, returned).some(({ name }) => hints.get(name)?.isPrivate === true);
  };
  visit(own, visitWithTypeInfo(typeInfo, { Field }));
  if (maxAgeMs <= 0 || !Number.isFinite(maxAgeMs)) return null;
  return { maxAgeMs, isPrivate, isAuthorized: authorized, rootFields: [...rootFields] };
}

/** The type, and of an abstract one those that it may be: an object is what it is, whatever it is asked through. */
function listTypes(schema: GraphQLSchema, type: GraphQLNamedType): readonly GraphQLNamedType[] {
  if (isObjectType(type) || !isAbstractType(type)) return [type];
  return [type, ...schema.getPossibleTypes(type)];
}
