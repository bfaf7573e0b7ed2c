/** A fetch of entities by their representations, for one or several sets of places in the answer. */
import type { ExecutionResult, GraphQLError } from 'graphql';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import { EntityCopies } from './answer-merge.ts';
import { type FetchSelection, readFetchSelection } from './fetch-selection.ts';
import { groupPaths } from './path-groups.ts';
import type { Path } from './plan-errors.ts';
import { compilePath, type JsonObject, type PlanPath } from './plan-paths.ts';
import { askService, errorsOf, type PlanRun, type Step, type StepOptions } from './plan-run.ts';
import type { EntityBatchAlias, FetchNode, FlattenNodePathSegment } from './query-plan.ts';
import { compileRepresentations, type RepresentationBuilder } from './representations.ts';
import { compileRewrites, listRenames, type Rewrite } from './rewrites.ts';
import { compileRequest } from './root-fetch.ts';

/** A fetch of entities: a Fetch with requirements inside a Flatten, or a BatchFetch. */
export interface EntityFetchNode extends Omit<FetchNode, 'kind' | 'requires' | 'inputRewrites' | 'outputRewrites'> {
  readonly aliases: readonly EntityBatchAlias[];
}

/** A look-up within a fetch: one alias of `_entities`. */
interface LookUp {
  readonly key: string;
  readonly variable: string;
  readonly paths: readonly PlanPath[];
  /** By path: which paths may share nested objects. */
  readonly groups: readonly number[];
  readonly representations: RepresentationBuilder;
  readonly rewrite: Rewrite | undefined;
  readonly renames: ReadonlyMap<string, string>;
}

/** The entities of one look-up in one execution. */
interface Wanted {
  readonly representations: JsonObject[];
  /** One entry per place, in step. */
  readonly places: JsonObject[];
  readonly indexes: number[];
  readonly groups: number[];
  /** Objects without a representation. */
  readonly skipped: JsonObject[];
}

/** The Fetch inside a Flatten as a fetch with one look-up. */
export function toEntityFetch(node: FetchNode, path: FlattenNodePathSegment[]): EntityFetchNode {
  const { requires = [], inputRewrites = [], outputRewrites = [], kind: _, ...rest } = node;
  const paths = [path];
  const names = { alias: '_entities', representationsVariableName: 'representations' };
  return { ...rest, aliases: [{ ...names, paths, requires, inputRewrites, outputRewrites }] };
}

/** Compiles a fetch of entities. Nothing is sent when nothing is wanted. */
export function compileEntityFetch(node: EntityFetchNode, options: StepOptions): Step {
  const fetch = new EntityFetch(node, options);
  return (run) => fetch.start(run);
}

class EntityFetch {
  readonly #service: string;
  readonly #options: StepOptions;
  readonly #selection: FetchSelection;
  readonly #lookUps: readonly LookUp[];
  readonly #buildRequest: ReturnType<typeof compileRequest>;

  constructor(node: EntityFetchNode, options: StepOptions) {
    this.#service = node.serviceName;
    this.#options = options;
    this.#selection = readFetchSelection(node.operation, options.fits);
    this.#lookUps = node.aliases.map((alias) => compileLookUp(alias, options));
    this.#buildRequest = compileRequest(node);
  }

  start(run: PlanRun): Promise<void> | undefined {
    let some = false;
    const variables: JsonObject = {};
    const wanted = this.#lookUps.map((lookUp) => {
      const found = collectWanted(lookUp, run);
      variables[lookUp.variable] = found.representations;
      if (found.representations.length > 0) some = true;
      if (found.skipped.length > 0 && run.errors !== null) this.#explainSkipped(run, lookUp, found.skipped);
      return found;
    });
    return some ? this.#fetch(run, wanted, variables) : undefined;
  }

  async #fetch(run: PlanRun, wanted: readonly Wanted[], variables: JsonObject): Promise<void> {
    try {
      this.#merge(run, wanted, await askService(run, this.#buildRequest(run.variables, variables), this.#options));
    } catch (thrown) {
      const error = toGatewayError(thrown);
      this.#lookUps.forEach((lookUp, index) => {
        this.#noteAtFields(run, lookUp, wanted[index], error);
      });
    }
  }

  #merge(run: PlanRun, wanted: readonly Wanted[], { data, errors = [] }: ExecutionResult): void {
    this.#lookUps.forEach((lookUp, index) => {
      const found = wanted[index];
      if (found === undefined || found.representations.length === 0) return;
      const entities = data?.[lookUp.key];
      if (Array.isArray(entities)) mergeEntities(run, lookUp, found, entities);
      else if (errors.length === 0) this.#noteAtFields(run, lookUp, found, this.#noEntities());
    });
    for (const error of errors) this.#noteError(run, wanted, error);
  }

  #noEntities(): GatewayError {
    const message = `Service "${this.#service}" answered without the entities that it was asked for`;
    return new GatewayError('DOWNSTREAM_SERVICE_ERROR', message, { service: this.#service });
  }

  /** An error of one entity belongs to every place that asked for it. */
  #noteError(run: PlanRun, wanted: readonly Wanted[], error: GraphQLError): void {
    const [key, index, ...rest] = error.path ?? [];
    this.#lookUps.forEach((lookUp, at) => {
      const found = wanted[at];
      if (found === undefined || (key !== lookUp.key && this.#lookUps.some((other) => other.key === key))) return;
      if (key !== lookUp.key || typeof index !== 'number') this.#noteAtFields(run, lookUp, found, error);
      else if (rest.length === 0) this.#noteAtFields(run, lookUp, found, error, index);
      else {
        const path = rest.map((segment) => lookUp.renames.get(String(segment)) ?? segment);
        forEachPlace(run, lookUp, placesOf(found, index), (_object, place) => {
          errorsOf(run).add([...place, ...path], error);
        });
      }
    });
  }

  /** Notes the error at each field that the places should have got; those that have a value already do not show it. */
  #noteAtFields(run: PlanRun, lookUp: LookUp, wanted: Wanted | undefined, error: Error, index?: number): void {
    if (wanted === undefined) return;
    forEachPlace(run, lookUp, placesOf(wanted, index), (object, place) => {
      for (const key of this.#keysFor(lookUp, object)) errorsOf(run).add([...place, key], error);
    });
  }

  /** What could not be asked for want of another field failed for the same reason as that field. */
  #explainSkipped(run: PlanRun, lookUp: LookUp, skipped: readonly JsonObject[]): void {
    forEachPlace(run, lookUp, new Set(skipped), (object, place) => {
      const errors = errorsOf(run);
      const causes = lookUp.representations
        .findMissing(object, run.variables)
        .flatMap((field) => errors.peek([...place, field]));
      for (const cause of causes) {
        for (const key of this.#keysFor(lookUp, object)) errors.add([...place, key], cause);
      }
    });
  }

  #keysFor(lookUp: LookUp, object: JsonObject): string[] {
    const typename = object['__typename'];
    const keys = this.#selection.entityKeys(lookUp.key, typeof typename === 'string' ? typename : undefined);
    return [...keys].map((key) => lookUp.renames.get(key) ?? key);
  }
}

function compileLookUp(alias: EntityBatchAlias, options: StepOptions): LookUp {
  const { fits } = options;
  return {
    key: alias.alias,
    variable: alias.representationsVariableName,
    paths: alias.paths.map((path) => compilePath(path, fits)),
    groups: groupPaths(alias.paths, options.targets),
    representations: compileRepresentations(alias.requires, alias.inputRewrites, fits),
    rewrite: compileRewrites(withoutRoot(alias.outputRewrites, alias.alias), fits),
    renames: listRenames(alias.outputRewrites),
  };
}

/** The rewrites apply to the list of entities; some plans write their paths from the root of the answer. */
function withoutRoot(rewrites: EntityBatchAlias['outputRewrites'], key: string): EntityBatchAlias['outputRewrites'] {
  const strip = <Item extends { path: { Key?: string; TypenameEquals?: string[] }[] }>(item: Item): Item => {
    const [first, ...rest] = item.path;
    return first?.Key === key || first?.Key === '_entities' ? { ...item, path: rest } : item;
  };
  return (rewrites ?? []).map((rewrite) => {
    if ('KeyRenamer' in rewrite) return { KeyRenamer: strip(rewrite.KeyRenamer) };
    if ('ValueSetter' in rewrite) return { ValueSetter: strip(rewrite.ValueSetter) };
    return strip(rewrite);
  }) as NonNullable<EntityBatchAlias['outputRewrites']>;
}

function collectWanted(lookUp: LookUp, run: PlanRun): Wanted {
  const wanted: Wanted = { representations: [], places: [], indexes: [], groups: [], skipped: [] };
  const indexes = new Map<string, number>();
  lookUp.paths.forEach((path, at) => {
    const group = lookUp.groups[at] ?? at;
    path.walk(run.data, (object) => {
      const identity = lookUp.representations.identify(object, run.variables);
      if (identity === undefined) {
        wanted.skipped.push(object);
        return;
      }
      let index = indexes.get(identity);
      if (index === undefined) {
        index = wanted.representations.push(lookUp.representations.build(object, run.variables)) - 1;
        indexes.set(identity, index);
      }
      wanted.places.push(object);
      wanted.indexes.push(index);
      wanted.groups.push(group);
    });
  });
  return wanted;
}

function mergeEntities(run: PlanRun, lookUp: LookUp, wanted: Wanted, entities: readonly unknown[]): void {
  lookUp.rewrite?.(entities);
  const copies = new EntityCopies(entities, run.shared);
  const { places, indexes, groups } = wanted;
  for (let at = 0; at < places.length; at++) {
    const place = places[at];
    if (place !== undefined) copies.mergeInto(place, indexes[at] ?? -1, groups[at] ?? -1);
  }
}

/** The objects that asked for one entity, or for any. */
function placesOf({ places, indexes }: Wanted, index: number | undefined): ReadonlySet<JsonObject> {
  return new Set(index === undefined ? places : places.filter((_object, at) => indexes[at] === index));
}

/** Looks up where objects stand. An object that is shared stands in several places. */
function forEachPlace(
  run: PlanRun,
  lookUp: LookUp,
  objects: ReadonlySet<JsonObject>,
  visit: (object: JsonObject, place: Path) => void,
): void {
  for (const path of lookUp.paths) {
    path.locate(run.data, (object, place) => {
      if (objects.has(object)) visit(object, place);
    });
  }
}
