/** What the parts of a schema cost: as `@cost` and `@listSize` of the services say, and the configuration over them. */
import { type GraphQLSchema, isAbstractType, isInterfaceType } from 'graphql';

/** What is known of a field. */
export interface FieldCost {
  readonly weight?: number | undefined;
  readonly listSize?: number | undefined;
  /** Arguments, or fields in them (`page.first`), that say how long the list will be. */
  readonly slicingArguments?: readonly string[] | undefined;
  /** Fields right below that are as long as this one says; without them, all lists right below a field that is none. */
  readonly sizedFields?: readonly string[] | undefined;
  /** Whether exactly one slicing argument must be given. */
  readonly requiresOneSlicingArgument?: boolean | undefined;
}

/** What directives of the services say. */
export interface CostDirectives {
  /** By `Type.field`. */
  readonly fields: ReadonlyMap<string, FieldCost>;
  /** Of types, input fields (`Input.field`) and arguments (`Type.field(argument:)`). */
  readonly weights: ReadonlyMap<string, number>;
}

export interface CostModel {
  /** Length of lists of which nothing says more. */
  readonly listSize: number;
  /** Arguments that say how long a list will be, unless a field names its own. */
  readonly slicingArguments: readonly string[];
  /** By `Type.field`. */
  readonly fields: ReadonlyMap<string, FieldCost>;
  /** Of types, input fields and arguments, see {@link CostDirectives}. */
  readonly weights?: ReadonlyMap<string, number>;
}

export interface CostModelOptions {
  readonly schema: GraphQLSchema;
  readonly directives: CostDirectives;
  readonly listSize: number;
  readonly slicingArguments: readonly string[];
  /** What is configured, by `Type.field`: its word counts before that of a directive. */
  readonly configured: ReadonlyMap<string, FieldCost>;
}

export function buildCostModel(options: CostModelOptions): CostModel {
  const { schema, directives, configured, listSize, slicingArguments } = options;
  const fields = new Map(directives.fields);
  for (const [coordinate, own] of configured) fields.set(coordinate, overlay(fields.get(coordinate), own));
  const weights = new Map(directives.weights);
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isAbstractType(type)) continue;
    const possible = schema.getPossibleTypes(type);
    // An answer to a field of an interface comes from one of its types: the dearest of them, or it could be read cheaply.
    const heaviest = largest(possible.map(({ name }) => weights.get(name)));
    if (heaviest !== undefined && !weights.has(type.name)) weights.set(type.name, heaviest);
    if (!isInterfaceType(type)) continue;
    for (const name of Object.keys(type.getFields())) {
      const known = possible.map((one) => fields.get(`${one.name}.${name}`)).filter((one) => one !== undefined);
      if (known.length > 0) {
        const coordinate = `${type.name}.${name}`;
        fields.set(coordinate, overlay(joinLargest(known), fields.get(coordinate) ?? {}));
      }
    }
  }
  return { listSize, slicingArguments, fields, weights };
}

/** The one over the other, name by name. A configured list needs no slicing argument any more. */
function overlay(below: FieldCost | undefined, above: FieldCost): FieldCost {
  const requiresOne =
    above.listSize === undefined && above.slicingArguments === undefined ? below?.requiresOneSlicingArgument : false;
  return {
    weight: above.weight ?? below?.weight,
    listSize: above.listSize ?? below?.listSize,
    slicingArguments: above.slicingArguments ?? below?.slicingArguments,
    sizedFields: above.sizedFields ?? below?.sizedFields,
    requiresOneSlicingArgument: above.requiresOneSlicingArgument ?? requiresOne,
  };
}

/** What several say of one field, each at its largest. */
export function joinLargest(all: readonly FieldCost[]): FieldCost {
  const union = (lists: readonly (readonly string[] | undefined)[]) => {
    const known = lists.filter((list) => list !== undefined);
    return known.length === 0 ? undefined : [...new Set(known.flat())];
  };
  return {
    weight: largest(all.map(({ weight }) => weight)),
    listSize: largest(all.map(({ listSize }) => listSize)),
    slicingArguments: union(all.map(({ slicingArguments }) => slicingArguments)),
    sizedFields: union(all.map(({ sizedFields }) => sizedFields)),
    requiresOneSlicingArgument: all.some((one) => one.requiresOneSlicingArgument === true),
  };
}

export function largest(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((one) => one !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
