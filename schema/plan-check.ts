/**
 * Plans of planner 0.0.38 that would give wrong answers.
 *
 * Where a client's alias has the name of a field that a fetch requires, the planner builds the representation out of the client's value: `{ book { id: title price } }` looks the
 * book up by its title. Such operations are refused, and the stitched engine answers. It may go when the planner
 * keeps the two apart; test/schema/plan-check.test.ts shows when.
 *
 * Where the same mutation stands in an operation twice with another service's in between (`{ a: pay  b: send  a: pay }`),
 * the planner has it done twice. GraphQL does it once, and invariant 4 forbids more.
 */
import { type DocumentNode, type FieldNode, parse, visit } from 'graphql';
import { UnsupportedPlanError } from './plan-errors.ts';
import type { FetchRewrite, PlanNode, RequiresSelection } from './query-plan.ts';

interface Findings {
  /** Names of the fields that representations are made of, `__typename` always being one. */
  readonly required: Set<string>;
  readonly fields: FieldNode[];
  readonly renames: Map<string, string>;
  /** Response keys of mutations. */
  readonly changes: Set<string>;
}

const internalAlias = /^_internal_qp_alias_/;

/** Throws UnsupportedPlanError for a plan in which a client's alias hides a required field. */
export function assertPlanIsSound(root: PlanNode | undefined | null, document: DocumentNode): void {
  assertNoInternalAlias(document);
  const findings: Findings = { required: new Set(['__typename']), fields: [], renames: new Map(), changes: new Set() };
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
    if (node.operationKind === 'mutation') inspectChanges(node.operation, findings);
    inspectRequirements(node.requires, findings);
    inspectRewrites(node.outputRewrites, findings);
  } else if (node.kind === 'BatchFetch') {
    inspectOperation(node.operation, findings);
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

function inspectChanges(operation: string, { changes }: Findings): void {
  const keys = new Set<string>();
  visit(parse(operation, { noLocation: true }), {
    Field({ alias, name }) {
      keys.add((alias ?? name).value);
      // Only the fields of the root change anything.
      return false;
    },
  });
  for (const key of keys) {
    if (changes.has(key)) throw new UnsupportedPlanError(`The mutation "${key}" would happen twice`);
    changes.add(key);
  }
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
