/** `/api-keys`: makes, lists and removes API keys at run time. */
import { hash, randomBytes } from 'node:crypto';
import { Compile } from 'typebox/compile';
import { ApiKey } from '../policies/api-keys.ts';
import { GatewayError } from '../policies/errors.ts';
import type { ApiKeyStore } from '../policies/managed-api-keys.ts';
import { findSchemaMistakes, formatPointer } from '../policies/schema-mistakes.ts';
import type { Registry } from '../subgraphs/registry.ts';
import { assertMayChangeAll } from './admin-access.ts';
import { authorOf, parameter } from './admin-request.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';

export interface AdminApiKeyOptions {
  /** Undefined where keys are not managed. */
  readonly store: ApiKeyStore | undefined;
  /** Names of keys, and of their clients, in the configuration. */
  readonly configured: () => ReadonlySet<string>;
  /** Notes in the audit what was done. */
  readonly audited: Registry<unknown>['audited'];
  readonly onChange: (author: string, change: 'made' | 'removed', name: string) => void;
}

const apiKeys = Compile(ApiKey);

/** Makes a key. It is told once, in this answer, and kept nowhere; it opens doors within two seconds. */
export async function postApiKey(options: AdminApiKeyOptions, request: AdminRequest): Promise<AdminAnswer> {
  const store = requireStore(options, request);
  const secret = `slv_${randomBytes(32).toString('base64url')}`;
  const key = parseKey(request.body, hash('sha256', secret, 'hex'));
  await options.audited({ action: 'api-key.put', targets: [key.name] }, authorOf(request), async () => {
    if (options.configured().has(key.name) || !(await asked(() => store.add(key)))) throw taken(key.name);
  });
  options.onChange(request.administrator.name, 'made', key.name);
  return { status: 201, body: { key: secret, ...describe(key) } };
}

/** Lists the keys that are managed, without anything one could use. */
export async function listApiKeys(options: AdminApiKeyOptions, request: AdminRequest): Promise<AdminAnswer> {
  const store = requireStore(options, request);
  const keys = await asked(() => store.list());
  const sorted = keys.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return { status: 200, body: { apiKeys: sorted.map(describe) } };
}

/** Removes a key. It opens nothing any more within two seconds. */
export async function deleteApiKey(options: AdminApiKeyOptions, request: AdminRequest): Promise<AdminAnswer> {
  const store = requireStore(options, request);
  const name = parameter(request, 'name');
  await options.audited({ action: 'api-key.delete', targets: [name] }, authorOf(request), async () => {
    if (await asked(() => store.remove(name))) return;
    throw new GatewayError('ROUTE_NOT_FOUND', `There is no managed API key ${JSON.stringify(name)}`);
  });
  options.onChange(request.administrator.name, 'removed', name);
  return { status: 204 };
}

function requireStore({ store }: AdminApiKeyOptions, { administrator }: AdminRequest): ApiKeyStore {
  assertMayChangeAll(administrator, 'API keys');
  if (store === undefined) throw new GatewayError('CONFLICT', '`authentication.managedApiKeys` is not switched on');
  return store;
}

async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof RangeError) throw new GatewayError('CONFLICT', cause.message);
    throw new GatewayError('SERVICE_UNAVAILABLE', 'The store of the API keys is away', { cause });
  }
}

function parseKey(body: unknown, sha256: string): ApiKey {
  const given = typeof body === 'object' && body !== null && !Array.isArray(body) ? body : {};
  const key = 'sha256' in given ? { ...given, sha256: null } : { ...given, sha256 };
  const mistakes = findSchemaMistakes(apiKeys, key);
  const { expires } = key as Partial<ApiKey>;
  const isDate = typeof expires !== 'string' || !Number.isNaN(Date.parse(expires));
  if (mistakes.length === 0 && isDate) return key as ApiKey;
  throw new GatewayError(
    'BAD_REQUEST',
    'The body must be { "name": ..., "client", "scopes", "roles", "expires": as in the configuration }',
    { reasons: mistakes.map(({ path, message }) => ({ message, path: formatPointer(path) })) },
  );
}

function taken(name: string): GatewayError {
  return new GatewayError('CONFLICT', `There is an API key ${JSON.stringify(name)} already`);
}

function describe({ sha256: _, ...key }: ApiKey) {
  return key;
}
