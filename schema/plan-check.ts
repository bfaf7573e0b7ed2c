/**
 * Plans of planner 0.0.38 that would give wrong answers.
 *
 * Where a client's alias has the name of a field that a fetch requires, the planner builds the representation out of the
 * client's value: `{ book { id: title price } }` looks the book up by its title. The engine gives such aliases other names
 * beforehand (alias-guard.ts), so this is the second line of defence. Such operations are refused, and the stitched engine answers. It may go when the planner
 * keeps the two apart; test/schema/plan-check.test.ts shows when.
 *
 * Where a field with a condition, and another one that is only required, come from one service, the planner has both
 * fetched at once, with representations for the one with the condition: without it there is none, and the other is lost
 * (`{ rank shippingEstimate @include(if: $detailed) }`, `rank` requiring `inStock` of the service of both).
 */
import { type DocumentNode, type FieldNode, parse, visit } from 'graphql';
import { UnsupportedPlanError } from './plan-errors.ts';
import type { FetchRewrite, PlanNode, RequiresSelection } from './query-plan.ts';

interface Findings {
  /** Names of the fields that representations are made of, `__typename` always being one. */
  readonly required: Set<string>;
  readonly fields: FieldNode[];
  readonly renames: Map<string, string>;
}

const internalAlias = /^_internal_qp_alias_/;

/** Throws UnsupportedPlanError for a plan in which a client's alias hides a required field. */
export function assertPlanIsSound(root: PlanNode | undefined | null, document: DocumentNode): void {
  assertNoInternalAlias(document);
  const findings: Findings = { required: new Set(['__typename']), fields: [], renames: new Map() };
  inspectNode(root, findings);
  const { required, fields, renames } = findings;
  for (const { alias, name } of fields) {
    if (alias === undefined || alias.value === name.value) continue;
    const key = renames.get(alias.value) ?? alias.value;
    // The planner's own, for a field that is required with other arguments than the client gave it. At the top of a
    // requirement it is read back by this alias, deeper the planner forgets that it made one.
    const readBack = internalAlias.test(key) && required.has(key) && !required.has(name.value);
    if (!readBack && (internalAlias.test(key) || required.has(key))) {
      throw new UnsupportedPlanError(`The alias "${key}" stands where a field is required`);
    }
  }
}

function assertNoInternalAlias(document: DocumentNode): void {
  visit(document, {
    Field: ({ alias }) => {
      if (alias !== undefined && internalAlias.test(alias.value)) {
        throw new UnsupportedPlanError(`The alias "${alias.value}" is one of the planner's own`);
      }
    },
  });
}

function inspectNode(node: PlanNode | undefined | null, findings: Findings): void {
  if (node === undefined || node === null) return;
  if (node.kind === 'Fetch') {
    inspectOperation(node.operation, findings);
    if (Array.isArray(node.requires)) inspectConditions(node.operation);
    inspectRequirements(node.requires, findings);
    inspectRewrites(node.outputRewrites, findings);
  } else if (node.kind === 'BatchFetch') {
    inspectOperation(node.operation, findings);
    inspectConditions(node.operation);
    for (const { requires, outputRewrites } of node.entityBatch.aliases) {
      inspectRequirements(requires, findings);
      inspectRewrites(outputRewrites, findings);
    }
  } else if (node.kind === 'Flatten') inspectNode(node.node, findings);
  else if (node.kind === 'Sequence' || node.kind === 'Parallel') {
    for (const child of node.nodes) inspectNode(child, findings);
  } else if (node.kind === 'Condition') {
    inspectNode(node.ifClause, findings);
    inspectNode(node.elseClause, findings);
  }
}

function inspectOperation(operation: string, { fields }: Findings): void {
  visit(parse(operation, { noLocation: true }), {
    Field: (field) => {
      fields.push(field);
    },
  });
}

/** Looks at what is asked of entities themselves, not below. */
function inspectConditions(operation: string): void {
  visit(parse(operation, { noLocation: true }), {
    Field: ({ name }) => (name.value === '_entities' ? undefined : false),
    SelectionSet({ selections }) {
      const conditional = selections.filter(({ directives = [] }) => directives.length > 0);
      if (conditional.length === 0 || conditional.length === selections.length) return;
      throw new UnsupportedPlanError('Fields with and without a condition share their representations');
    },
  });
}

function inspectRequirements(selections: readonly RequiresSelection[] | undefined | null, findings: Findings): void {
  for (const selection of selections ?? []) {
    if (selection.kind === 'Field') findings.required.add(selection.name);
    if (selection.kind !== 'FragmentSpread') inspectRequirements(selection.selections, findings);
  }
}

function inspectRewrites(rewrites: readonly FetchRewrite[] | undefined | null, { renames }: Findings): void {
  for (const rewrite of rewrites ?? []) {
    const last = 'KeyRenamer' in rewrite ? rewrite.KeyRenamer.path.at(-1) : undefined;
    if (last !== undefined && 'Key' in last && 'KeyRenamer' in rewrite) {
      renames.set(last.Key, rewrite.KeyRenamer.renameKeyTo);
    }
  }
}
