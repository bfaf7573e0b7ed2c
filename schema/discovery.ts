/** Finds out what schema a service has: federation's SDL, else introspection, else what the registration says. */
import { createHash } from 'node:crypto';
import {
  buildClientSchema,
  type ConstDirectiveNode,
  type DocumentNode,
  getIntrospectionQuery,
  type IntrospectionQuery,
  Kind,
  lexicographicSortSchema,
  printSchema,
} from 'graphql';
import { type Dispatcher, getGlobalDispatcher } from 'undici';
import { GatewayError } from '../policies/errors.ts';
import { type GraphqlEndpoint, maxSdlLength } from '../subgraphs/service-definition.ts';
import type { ServiceTlsOptions } from '../subgraphs/service-tls-options.ts';
import type { ServiceSchema } from '../subgraphs/snapshot.ts';
import { parseSdl } from './sdl.ts';

/** Sends a query to the service and gives the parsed JSON body. Failures of transport throw a GatewayError. */
export type PostQuery = (query: string) => Promise<unknown>;

/** Asks a service for its schema. Without `kind`, federation is tried first. */
export async function discoverSchema(post: PostQuery, kind?: ServiceSchema['kind']): Promise<ServiceSchema> {
  if (kind !== 'plain') {
    const sdl = await askForFederationSdl(post, kind === 'federation');
    if (sdl !== null) return toServiceSchema('federation', sdl, 'federation');
  }
  return toServiceSchema('plain', await introspect(post), 'introspection');
}

/** The schema that a registration brings along. Without `kind`, it is read off the directives. */
export function parseGivenSchema(sdl: string, kind?: ServiceSchema['kind']): ServiceSchema {
  const document = parseSdl(sdl);
  return buildServiceSchema(kind ?? (isFederation(document) ? 'federation' : 'plain'), sdl, 'registration');
}

export interface DiscoveryOptions {
  /** Time for each of the at most three questions. @default 5000 */
  readonly timeoutMs?: number;
  /** Largest answer. Introspection takes several times the room of the SDL. @default four times the longest SDL */
  readonly maxResponseBytes?: number;
  /** Where connections come from: the place to refuse addresses that nobody may register. */
  readonly dispatcher?: Dispatcher;
  /** The same for a service that says something of TLS; closed when it was asked. @default `dispatcher` */
  readonly openDispatcher?: (tls: ServiceTlsOptions) => Dispatcher;
}

export interface Discovery {
  /** Asks one instance. Rejects with DOWNSTREAM_SERVICE_ERROR, SERVICE_UNAVAILABLE or REGISTRATION_REFUSED. */
  discover(
    service: string,
    endpoint: GraphqlEndpoint,
    instanceUrl: string,
    tls?: ServiceTlsOptions,
  ): Promise<ServiceSchema>;
}

/** Discovery over HTTP. */
export function createDiscovery(options: DiscoveryOptions = {}): Discovery {
  const { timeoutMs = 5_000, maxResponseBytes = maxSdlLength * 4, dispatcher, openDispatcher } = options;
  async function post(
    service: string,
    origin: string,
    path: string,
    query: string,
    own: Dispatcher | undefined,
  ): Promise<unknown> {
    try {
      // Origin and path apart: as one URL, a path like `//other.example` or `/..` would be resolved before it is sent.
      const answer = await (own ?? dispatcher ?? getGlobalDispatcher()).request({
        origin,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ query }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await readBounded(answer.body, maxResponseBytes, service);
      // Servers answer 400 to `{ _service }` when they do not know it; a redirect is never followed.
      if (answer.statusCode >= 300 && answer.statusCode < 400) throw new SyntaxError(`status ${answer.statusCode}`);
      return JSON.parse(text);
    } catch (error) {
      throw toDiscoveryError(error, service);
    }
  }
  return {
    async discover(service, endpoint, instanceUrl, tls) {
      const own = tls && openDispatcher?.(tls);
      const origin = new URL(instanceUrl).origin;
      try {
        return await discoverSchema(
          (query) => post(service, origin, endpoint.path ?? '/graphql', query, own),
          endpoint.kind,
        );
      } catch (error) {
        throw error instanceof GatewayError ? naming(error, service) : toDiscoveryError(error, service);
      } finally {
        void own?.destroy();
      }
    },
  };
}

async function readBounded(body: Dispatcher.ResponseData['body'], maxBytes: number, service: string): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes)
      throw downstreamError(`Service "${service}" answered with too much when asked for its schema`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** The messages of undici name addresses, which never leave: they stay in the cause. */
function toDiscoveryError(error: unknown, service: string): GatewayError {
  if (error instanceof GatewayError) return error;
  return error instanceof SyntaxError
    ? new GatewayError(
        'DOWNSTREAM_SERVICE_ERROR',
        `Service "${service}" did not answer with JSON when asked for its schema`,
        { service, cause: error },
      )
    : new GatewayError('SERVICE_UNAVAILABLE', `Service "${service}" could not be asked for its schema`, {
        service,
        cause: error,
      });
}

function naming(error: GatewayError, service: string): GatewayError {
  if (error.service !== undefined) return error;
  const reasons = error.reasons?.map((reason) => ({ service, ...reason }));
  return new GatewayError(error.code, error.message, { service, reasons, cause: error.cause ?? error });
}

function downstreamError(message: string, cause?: unknown): GatewayError {
  return new GatewayError('DOWNSTREAM_SERVICE_ERROR', message, { cause });
}

async function askForFederationSdl(post: PostQuery, required: boolean): Promise<string | null> {
  const sdl = await post('{ _service { sdl } }').then(
    (body) => readObject(readObject(readObject(body, 'data'), '_service'), 'sdl'),
    (error: unknown) => {
      // Some servers answer a query they cannot validate with a page in HTML: they may know introspection all the same.
      if (!required && error instanceof GatewayError && error.code === 'DOWNSTREAM_SERVICE_ERROR') return null;
      throw error;
    },
  );
  if (typeof sdl === 'string' && sdl.trim() !== '') return sdl;
  if (required) throw downstreamError('The service does not answer `{ _service { sdl } }`');
  return null;
}

/** Newer parts of introspection first: without them deprecated arguments would be missing from the schema. */
async function introspect(post: PostQuery): Promise<string> {
  const rich = getIntrospectionQuery({
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    inputValueDeprecation: true,
  });
  const data = (await askForIntrospection(post, rich)) ?? (await askForIntrospection(post, getIntrospectionQuery()));
  if (data === null) throw downstreamError('The service answers neither `{ _service { sdl } }` nor introspection');
  try {
    // Sorted, so that instances that list the same types in another order have the same schema.
    return printSchema(lexicographicSortSchema(buildClientSchema(data)));
  } catch (error) {
    throw downstreamError('The introspection of the service does not describe a schema', error);
  }
}

async function askForIntrospection(post: PostQuery, query: string): Promise<IntrospectionQuery | null> {
  const data = readObject(await post(query), 'data');
  return isIntrospection(data) ? data : null;
}

function isIntrospection(data: unknown): data is IntrospectionQuery {
  return Array.isArray(readObject(readObject(data, '__schema'), 'types'));
}

function readObject(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

function toServiceSchema(kind: ServiceSchema['kind'], sdl: string, source: ServiceSchema['source']): ServiceSchema {
  parseSdl(sdl);
  return buildServiceSchema(kind, sdl, source);
}

function buildServiceSchema(kind: ServiceSchema['kind'], sdl: string, source: ServiceSchema['source']): ServiceSchema {
  const hash = createHash('sha256').update(`${kind}\0${sdl}`).digest('hex');
  return { kind, sdl, hash, source };
}

const federationDirectives = new Set(['external', 'requires', 'provides', 'shareable', 'extends', 'interfaceObject']);
const stitchingDirectives = new Set(['merge', 'computed', 'canonical']);

/** What the SDL says it is (@link), what its directives say, and last whether it extends types that others define. */
function isFederation(document: DocumentNode): boolean {
  const directives = collectDirectives(document);
  if (directives.some(isFederationLink)) return true;
  if (
    directives.some((directive) => stitchingDirectives.has(directive.name.value) || isKey(directive, 'selectionSet'))
  ) {
    return false;
  }
  const ownDirectives = new Set(
    document.definitions.flatMap((node) => (node.kind === Kind.DIRECTIVE_DEFINITION ? [node.name.value] : [])),
  );
  return (
    directives.some((directive) => isKey(directive, 'fields')) ||
    directives.some(({ name }) => federationDirectives.has(name.value) && !ownDirectives.has(name.value)) ||
    extendsForeignTypes(document)
  );
}

function collectDirectives(document: DocumentNode): ConstDirectiveNode[] {
  return document.definitions.flatMap((node) => [
    ...('directives' in node ? ((node.directives ?? []) as readonly ConstDirectiveNode[]) : []),
    ...('fields' in node ? (node.fields ?? []) : []).flatMap((field) => field.directives ?? []),
  ]);
}

function isFederationLink(directive: ConstDirectiveNode): boolean {
  return (
    directive.name.value === 'link' &&
    (directive.arguments ?? []).some(
      ({ name, value }) =>
        name.value === 'url' && value.kind === Kind.STRING && value.value.includes('specs.apollo.dev/federation'),
    )
  );
}

function isKey(directive: ConstDirectiveNode, argument: string): boolean {
  return directive.name.value === 'key' && (directive.arguments ?? []).some(({ name }) => name.value === argument);
}

function extendsForeignTypes(document: DocumentNode): boolean {
  const defined = new Set(
    document.definitions.flatMap((node) => (node.kind === Kind.OBJECT_TYPE_DEFINITION ? [node.name.value] : [])),
  );
  return document.definitions.some((node) => node.kind === Kind.OBJECT_TYPE_EXTENSION && !defined.has(node.name.value));
}
