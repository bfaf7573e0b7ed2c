/** Rolling deploys: instances of one service with several versions, and which of their schemas is served. */
import type { ErrorReason } from '../policies/errors.ts';
import { type Service, type VersionSchema, withoutKeys } from './snapshot.ts';

/** What stands for the version of instances that say none. */
export const unversioned = '';

/** The versions that can take calls. */
export function listVersions({ instances }: Service): ReadonlySet<string> {
  return new Set(instances.filter(({ draining }) => !draining).map(({ version }) => version ?? unversioned));
}

/** The versions whose schema is known. */
function listKnown({ schema, schemaVersion = unversioned, versions }: Service): readonly VersionSchema[] {
  if (versions !== undefined) return versions;
  return schema === null || schema.source === 'registration' ? [] : [{ version: schemaVersion, schema }];
}

/** Versions that can take calls, and whose schema nobody could be asked for yet. */
export function findUnknownVersions(service: Service): ReadonlySet<string> {
  const known = new Set(listKnown(service).map(({ version }) => version));
  return new Set([...listVersions(service)].filter((version) => !known.has(version)));
}

/** The service with the schema that instances of a version have. It has the instance already. */
export function withVersionSchema(service: Service, { version, schema }: VersionSchema): Service {
  const present = listVersions(service);
  const known = listKnown(service).filter((other) => present.has(other.version));
  const entry: VersionSchema = { version, schema };
  const isKnown = known.some((other) => other.version === version);
  const versions = isKnown ? known.map((other) => (other.version === version ? entry : other)) : [...known, entry];
  return withVersions(service, versions);
}

/** The service after instances came or went: a version without instances goes, and its schema with it. */
export function withPresentVersions(service: Service): Service {
  if (service.versions === undefined) return service;
  const present = listVersions(service);
  const versions = service.versions.filter(({ version }) => present.has(version));
  // With nobody left, what is known stays.
  if (versions.length === 0 || versions.length === service.versions.length) return service;
  const { rejected } = service;
  const isGone = rejected !== undefined && rejected.held !== true && !present.has(rejected.version ?? unversioned);
  return withVersions(isGone ? withoutKeys(service, 'rejected') : service, versions);
}

/** The service with the schema of a candidate kept aside, and everything else of the schema as it was. */
export function withRejected(
  service: Service,
  { schema, schemaVersion }: Service,
  reasons: readonly ErrorReason[],
): Service {
  if (schema === null) return service;
  return { ...service, rejected: { schema, ...(schemaVersion !== undefined && { version: schemaVersion }), reasons } };
}

/** The service with what was kept aside in the place of what it serves. */
export function withTakenBack(service: Service): Service {
  const { rejected } = service;
  if (rejected === undefined) return service;
  return withSchemaOf(withoutKeys(service, 'rejected'), {
    version: rejected.version ?? unversioned,
    schema: rejected.schema,
  });
}

function withVersions(service: Service, versions: readonly VersionSchema[]): Service {
  const usable = versions.filter(({ schema }) => schema.hash !== service.rejected?.schema.hash);
  const newest = findNewest(usable);
  const rest = withoutKeys(service, 'versions');
  const named = newest === undefined ? rest : withSchemaOf(rest, newest);
  return versions.length > 1 ? { ...named, versions } : named;
}

function withSchemaOf(service: Service, { version, schema }: VersionSchema): Service {
  // The same object when it says the same: what compares services need not read SDL then.
  const isSame = service.schema?.hash === schema.hash && service.schema.source === schema.source;
  const rest = withoutKeys(service, 'schemaVersion');
  return {
    ...rest,
    schema: isSame ? service.schema : schema,
    ...(version !== unversioned && { schemaVersion: version }),
  };
}

/** By semantic version where both are one, else the one that came later. */
export function findNewest<Versioned extends { readonly version: string }>(
  entries: readonly Versioned[],
): Versioned | undefined {
  return entries.reduce<Versioned | undefined>(
    (newest, entry) => (newest !== undefined && compareVersions(entry.version, newest.version) < 0 ? newest : entry),
    undefined,
  );
}

/** Also with fewer numbers than the specification asks for: `v2`, `1.4`. */
const semantic = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;

/** Precedence as in Semantic Versioning 2.0.0, section 11; 0 where it says nothing. */
function compareVersions(a: string, b: string): number {
  const [one, other] = [semantic.exec(a), semantic.exec(b)];
  if (one === null || other === null) return 0;
  for (const part of [1, 2, 3]) {
    const difference = Number(one[part] ?? 0) - Number(other[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return comparePrereleases(one[4], other[4]);
}

function comparePrereleases(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  const [ones, others] = [a.split('.'), b.split('.')];
  for (let index = 0; index < Math.max(ones.length, others.length); index += 1) {
    const [one, other] = [ones[index], others[index]];
    if (one === other) continue;
    if (one === undefined) return -1;
    if (other === undefined) return 1;
    const [isNumber, isOtherNumber] = [/^\d+$/.test(one), /^\d+$/.test(other)];
    if (isNumber && isOtherNumber) return Number(one) - Number(other);
    if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
    return one < other ? -1 : 1;
  }
  return 0;
}
