/** The differences between the public schemas of two generations, and which parts of the old one each concerns. */
import { buildSchema } from 'graphql';
import { toGatewayError } from '../policies/errors.ts';
import type { Graph } from './graph.ts';

/** One difference. */
export interface SchemaDifference {
  /** Coordinate of what changed, e.g. `Product.price`; empty for the schema as a whole. */
  readonly path: string;
  readonly message: string;
  readonly criticality: 'breaking' | 'dangerous' | 'safe';
  /** Coordinates of the old schema whose users are concerned. */
  readonly concerns: readonly string[];
}

/** All differences, the most critical first. */
export async function findDifferences(before: Graph, after: Graph): Promise<readonly SchemaDifference[]> {
  // Loaded when needed: it is a sixth of the start-up time, and a gateway with a fixed configuration never diffs.
  const { diff } = await import('@graphql-inspector/core');
  try {
    // From the SDL, because the diff reads syntax trees too, and those of the executable schema know about federation.
    const changes = await diff(buildSchema(before.publicSdl), buildSchema(after.publicSdl));
    const isEmpty = before.services.length === 0 || after.services.length === 0;
    return changes
      .map(toDifference)
      .filter(({ path }) => !isEmpty || path !== placeholder)
      .toSorted(compareCriticality);
  } catch (error) {
    throw toGatewayError(error);
  }
}

/** What a graph without services has, because a schema must have something. Nobody misses it. */
const placeholder = 'Query._empty';

const criticalities = { BREAKING: 'breaking', DANGEROUS: 'dangerous', NON_BREAKING: 'safe' } as const;

interface InspectorChange {
  readonly type: string;
  readonly path?: string | undefined;
  readonly message: string;
  readonly meta: unknown;
  readonly criticality: { readonly level: string };
}

function toDifference(change: InspectorChange): SchemaDifference {
  const { path = '', message, criticality } = change;
  return {
    path,
    message,
    criticality: criticalities[criticality.level as keyof typeof criticalities],
    concerns: findConcerned(change),
  };
}

/** Mostly what is at the path. What becomes required concerns everyone who does without it so far. */
function findConcerned({ type, path = '', meta }: InspectorChange): readonly string[] {
  const facts = meta as Readonly<Record<string, unknown>>;
  // With the directive cut off: `Product.price.@deprecated` is about `Product.price`.
  const place = path.replace(/\.@.*$/, '');
  const parent = place.slice(0, Math.max(0, place.lastIndexOf('.')));
  switch (type) {
    case 'FIELD_ARGUMENT_ADDED':
    case 'INPUT_FIELD_ADDED':
    case 'DIRECTIVE_ARGUMENT_ADDED':
      return [parent];
    case 'FIELD_ARGUMENT_TYPE_CHANGED':
      return becomesRequired(facts['oldArgumentType'], facts['newArgumentType']) ? [parent] : [place];
    case 'INPUT_FIELD_TYPE_CHANGED':
      return becomesRequired(facts['oldInputFieldType'], facts['newInputFieldType']) ? [parent] : [place];
    case 'OBJECT_TYPE_INTERFACE_REMOVED':
      return [place, String(facts['removedInterfaceName'])];
    default:
      return place === '' ? ['Query', 'Mutation', 'Subscription'] : [place];
  }
}

function becomesRequired(before: unknown, after: unknown): boolean {
  return String(after).endsWith('!') && !String(before).endsWith('!');
}

function compareCriticality(one: SchemaDifference, other: SchemaDifference): number {
  const order = Object.values(criticalities);
  return order.indexOf(one.criticality) - order.indexOf(other.criticality);
}
