/**
 * Rolling deploys on the wire: a query goes only to instances whose version knows all that it asks for. Decided once per
 * text; a service whose instances all have one schema costs a look into an empty map.
 */
import {
  buildASTSchema,
  type DocumentNode,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isInputType,
  Kind,
  type NamedTypeNode,
  parse,
  typeFromAST,
  validate,
} from 'graphql';
import type { AcceptsVersion } from '../subgraphs/call.ts';
import { unversioned } from '../subgraphs/service-versions.ts';
import type { ServiceSchema, Snapshot, VersionSchema } from '../subgraphs/snapshot.ts';
import { PlanCache } from './plan-cache.ts';
import { parseSdl } from './sdl.ts';

export interface VersionRouting {
  /** Takes over what a new snapshot says. */
  apply(snapshot: Snapshot): void;
  /** Which versions understand a query; undefined when all do, or none, so that the service itself says so. */
  acceptsOf(service: string, query: string): AcceptsVersion | undefined;
}

/** The versions of one service, and what was decided about queries to it. */
interface Rollout {
  readonly versions: readonly VersionSchema[];
  readonly served: string;
  readonly decided: PlanCache<AcceptsVersion | 'all'>;
}

export function createVersionRouting(): VersionRouting {
  let rollouts = new Map<string, Rollout>();
  const schemas = new Map<string, GraphQLSchema | null>();

  function schemaOf(schema: ServiceSchema): GraphQLSchema | null {
    const known = schemas.get(schema.hash);
    if (known !== undefined) return known;
    const built = buildVersionSchema(schema);
    schemas.set(schema.hash, built);
    return built;
  }

  function decide({ versions, served }: Rollout, query: string): AcceptsVersion | 'all' {
    const document = parse(query);
    const all = versions.map(({ version, schema }) => ({ version, hash: schema.hash, schema: schemaOf(schema) }));
    const serving = all.find(({ hash }) => hash === served)?.schema ?? null;
    const able = all.filter(({ schema }) => schema === null || knows(schema, document, serving));
    if (able.length === 0 || able.length === all.length) return 'all';
    const names = new Set(able.map(({ version }) => version));
    return (version) => names.has(version ?? unversioned);
  }

  return {
    apply(snapshot) {
      const previous = rollouts;
      rollouts = new Map();
      const inUse = new Set<string>();
      for (const { name, versions, schema } of snapshot.services) {
        if (versions === undefined || schema === null) continue;
        const hashes = new Set(versions.map((version) => version.schema.hash));
        if (hashes.size < 2) continue;
        for (const hash of hashes) inUse.add(hash);
        const known = previous.get(name);
        const isSame = known?.versions === versions && known.served === schema.hash;
        const decided = new PlanCache<AcceptsVersion | 'all'>({ maxEntries: 2_000, maxCharacters: 4_000_000 });
        rollouts.set(name, isSame ? known : { versions, served: schema.hash, decided });
      }
      for (const hash of schemas.keys()) if (!inUse.has(hash)) schemas.delete(hash);
    },
    acceptsOf(service, query) {
      const rollout = rollouts.get(service);
      if (rollout === undefined) return undefined;
      let decision = rollout.decided.get(query);
      if (decision === undefined) {
        decision = decide(rollout, query);
        rollout.decided.set(query, decision);
      }
      return decision === 'all' ? undefined : decision;
    },
  };
}

/** What a query may contain of federation does not differ from version to version; the fields of entities do. */
const federationTypes = /* GraphQL */ `
  scalar _Any
  type _Service { sdl: String }
`;

/** The schema to validate against; null when it cannot be built, and nobody is kept from asking then. */
function buildVersionSchema(schema: ServiceSchema): GraphQLSchema | null {
  try {
    const document = asDefinitions(parseSdl(schema.sdl));
    return buildASTSchema(schema.kind === 'federation' ? withEntities(document) : document, { assumeValidSDL: true });
  } catch {
    return null;
  }
}

/** Extensions of types that another service defines are whole types to this one. */
function asDefinitions(document: DocumentNode): DocumentNode {
  const defined = new Set(
    document.definitions.flatMap((node) =>
      node.kind.endsWith('TypeDefinition') && 'name' in node ? [node.name?.value] : [],
    ),
  );
  const definitions = document.definitions.map((node) => {
    if (!node.kind.endsWith('TypeExtension') || !('name' in node) || defined.has(node.name?.value)) return node;
    defined.add(node.name?.value);
    return { ...node, kind: node.kind.replace('Extension', 'Definition') } as typeof node;
  });
  return { ...document, definitions };
}

function withEntities(document: DocumentNode): DocumentNode {
  const objects = document.definitions.flatMap((node) =>
    node.kind === Kind.OBJECT_TYPE_DEFINITION ? [node.name.value] : [],
  );
  const entities = objects.filter((name) => name !== 'Query' && name !== 'Mutation' && name !== 'Subscription');
  const union = entities.length === 0 ? 'scalar _Entity' : `union _Entity = ${entities.join(' | ')}`;
  const query = objects.includes('Query') ? 'extend type Query' : 'type Query';
  const own = parse(`${federationTypes} ${union}
    ${query} { _entities(representations: [_Any!]!): [_Entity]! _service: _Service! }`);
  return { ...document, definitions: [...document.definitions, ...own.definitions] };
}

function knows(schema: GraphQLSchema, document: DocumentNode, serving: GraphQLSchema | null): boolean {
  if (validate(schema, document, undefined, { maxErrors: 1 }).length > 0) return false;
  return serving === null || serving === schema || takesSameVariables(schema, serving, document);
}

/** Values of variables are not known yet: what may be in them must be known to the version. */
function takesSameVariables(schema: GraphQLSchema, serving: GraphQLSchema, document: DocumentNode): boolean {
  return document.definitions.every(
    (node) =>
      node.kind !== Kind.OPERATION_DEFINITION ||
      (node.variableDefinitions ?? []).every(({ type }) => {
        const [own, other] = [schema, serving].map((from) => typeFromAST(from, type as NamedTypeNode) as unknown);
        return !isInputType(own) || !isInputType(other) || takesAll(own, other, new Set());
      }),
  );
}

function takesAll(own: GraphQLInputType, other: GraphQLInputType, seen: Set<string>): boolean {
  const [mine, theirs] = [getNamedType(own), getNamedType(other)];
  if (seen.has(mine.name)) return true;
  seen.add(mine.name);
  if (isEnumType(mine) && isEnumType(theirs))
    return theirs.getValues().every(({ name }) => mine.getValue(name) != null);
  if (!isInputObjectType(mine) || !isInputObjectType(theirs)) return true;
  const fields = mine.getFields();
  return Object.values(theirs.getFields()).every(({ name, type }) => {
    const field = fields[name];
    return field !== undefined && takesAll(field.type, type, seen);
  });
}
