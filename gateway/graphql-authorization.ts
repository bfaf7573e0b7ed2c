/** What a graph asks of viewers: directives of the services and the configuration, worked into fields. */

import type { FieldAuthorizationOptions } from '../policies/authorize-fields.ts';
import type { GraphqlAuthorizeOptions } from '../policies/authorize-options.ts';
import { addRequirement, buildFieldRequirements } from '../policies/field-requirements.ts';
import { buildRequirement, type Requirement } from '../policies/requirement.ts';
import type { Rights } from '../policies/rights.ts';
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
  for (const [name, policy] of Object.entries(types)) add(name, policy);
  for (const [coordinate, policy] of Object.entries(fields)) {
    add(coordinate, policy);
    for (const [name, inner] of Object.entries(policy.arguments ?? {})) add(`${coordinate}(${name})`, inner);
    if (policy.public === true) publicFields.add(coordinate);
  }
  const requirements = buildFieldRequirements(graph.schema, written);
  return { requirements, required: authenticationRequired, publicFields, rights };
}
