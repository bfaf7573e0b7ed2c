/** `@cost` and `@listSize` of the services (IBM's cost directives, as federation has them), from their own SDL. */
import { type ConstDirectiveNode, type DocumentNode, Kind, valueFromASTUntyped } from 'graphql';
import { type CostDirectives, type FieldCost, joinLargest, largest } from '../policies/cost-model.ts';
import { readRootNames } from './cache-hints.ts';
import { findDirectiveNames } from './spec-directives.ts';

/** Costs of all services together: where several speak of one place, the largest. */
export function collectCosts(documents: readonly DocumentNode[]): CostDirectives {
  const fields = new Map<string, FieldCost>();
  const weights = new Map<string, number>();
  const weigh = (coordinate: string, weight: number | undefined): void => {
    const heavier = largest([weights.get(coordinate), weight]);
    if (heavier !== undefined) weights.set(coordinate, heavier);
  };
  for (const document of documents) {
    const read = createCostReader(document);
    const roots = readRootNames(document);
    for (const definition of document.definitions) {
      if (definition.kind === Kind.DIRECTIVE_DEFINITION || !('name' in definition)) continue;
      if (definition.name === undefined || !('directives' in definition)) continue;
      const type = roots.get(definition.name.value) ?? definition.name.value;
      weigh(type, read(definition.directives as readonly ConstDirectiveNode[] | undefined).weight);
      if (!('fields' in definition)) continue;
      for (const field of definition.fields ?? []) {
        const coordinate = `${type}.${field.name.value}`;
        const cost = read(field.directives);
        if (field.kind === Kind.INPUT_VALUE_DEFINITION) {
          weigh(coordinate, cost.weight);
          continue;
        }
        const known = fields.get(coordinate);
        if (Object.keys(cost).length > 0) fields.set(coordinate, known ? joinLargest([known, cost]) : cost);
        for (const argument of field.arguments ?? [])
          weigh(`${coordinate}(${argument.name.value}:)`, read(argument.directives).weight);
      }
    }
  }
  return { fields, weights };
}

function createCostReader(
  document: DocumentNode,
): (directives: readonly ConstDirectiveNode[] | undefined) => FieldCost {
  const cost = findDirectiveNames(document, 'cost');
  const listSize = findDirectiveNames(document, 'listSize');
  return (directives = []) => {
    let found: FieldCost = {};
    for (const directive of directives) {
      const name = directive.name.value;
      if (cost.has(name)) found = { ...found, ...readWeight(directive) };
      else if (listSize.has(name)) found = { ...found, ...readListSize(directive) };
    }
    return found;
  };
}

/** A number, or a text that is one: federation has `Int!`, IBM's specification `String!`. */
function readWeight(directive: ConstDirectiveNode): FieldCost {
  const written = readArgument(directive, 'weight');
  const weight = typeof written === 'string' && written.trim() !== '' ? Number(written) : written;
  // Less than nothing would pay for something else.
  return typeof weight === 'number' && Number.isFinite(weight) ? { weight: Math.max(0, weight) } : {};
}

function readListSize(directive: ConstDirectiveNode): FieldCost {
  const assumed = readArgument(directive, 'assumedSize');
  const slicing = readNames(directive, 'slicingArguments');
  const sized = readNames(directive, 'sizedFields');
  return {
    ...(typeof assumed === 'number' && assumed >= 0 && { listSize: assumed }),
    ...(slicing.length > 0 && {
      slicingArguments: slicing,
      requiresOneSlicingArgument: readArgument(directive, 'requireOneSlicingArgument') !== false,
    }),
    ...(sized.length > 0 && { sizedFields: sized }),
  };
}

function readNames(directive: ConstDirectiveNode, name: string): string[] {
  const value = readArgument(directive, name);
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  return all.filter((one) => typeof one === 'string');
}

function readArgument(directive: ConstDirectiveNode, name: string): unknown {
  const node = directive.arguments?.find((argument) => argument.name.value === name)?.value;
  return node === undefined ? undefined : valueFromASTUntyped(node);
}
