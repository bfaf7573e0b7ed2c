/** What a graph asks of viewers: directives of the services and the configuration, worked into fields. */
import { type GraphQLSchema, getNamedType, isInterfaceType, isObjectType } from 'graphql';
import type { GraphqlAuthorizeOptions } from '../policies/authorize-options.ts';
import { addRequirement, buildFieldRequirements } from '../policies/field-requirements.ts';
import { buildRequirement, type Requirement } from '../policies/requirement.ts';
import type { Rights } from '../policies/rights.ts';
import type { FieldAuthorizationOptions } from '../policies/schema-authorization.ts';
import type { Graph } from '../schema/graph.ts';

type Authorized = { readonly authorize?: GraphqlAuthorizeOptions };

export interface GraphqlAuthorizationOptions {
  readonly authenticationRequired: boolean;
  readonly rights: Rights;
  readonly fields: Readonly<
    Record<
      string,
      Authorized & { readonly public?: boolean; readonly arguments?: Readonly<Record<string, Authorized>> }
    >
  >;
  /** What types ask of who gets them from any field. Their own fields have it in `fields`, or something in its place. */
  readonly types?: Readonly<Record<string, Authorized>> | undefined;
}

/** Where directives and the configuration both speak, both hold. */
export function buildAuthorization(
  graph: Pick<Graph, 'schema' | 'requirements'>,
  { fields, types = {}, authenticationRequired, rights }: GraphqlAuthorizationOptions,
): FieldAuthorizationOptions & { readonly rights: Rights } {
  const written = new Map<string, Requirement>(graph.requirements);
  const publicFields = new Set<string>();
  const add = (coordinate: string, { authorize }: Authorized): void => {
    if (authorize !== undefined) addRequirement(written, coordinate, buildRequirement(authorize));
  };
  for (const [coordinate, policy] of Object.entries(fields)) {
    add(coordinate, policy);
    for (const [name, inner] of Object.entries(policy.arguments ?? {})) add(`${coordinate}(${name})`, inner);
    if (policy.public === true) publicFields.add(coordinate);
  }
  for (const [coordinate, policy] of listReturning(graph.schema, types)) add(coordinate, policy);
  const requirements = buildFieldRequirements(graph.schema, written);
  return { requirements, required: authenticationRequired, publicFields, rights };
}

/** Fields that return a type which asks for something. */
function* listReturning(
  schema: GraphQLSchema,
  types: Readonly<Record<string, Authorized>>,
): Generator<[coordinate: string, Authorized]> {
  if (!Object.values(types).some(({ authorize }) => authorize !== undefined)) return;
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) && !isInterfaceType(type)) continue;
    for (const field of Object.values(type.getFields())) {
      const policy = types[getNamedType(field.type).name];
      if (policy !== undefined) yield [`${type.name}.${field.name}`, policy];
    }
  }
}
