/** One part of an aggregate: a GET to a service by the normal call, bounded in time and size, and what is taken of its answer. */
import { parseCacheControl } from '../policies/cache-control.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import { filterHeaders, parseNames } from '../policies/http-headers.ts';
import type { Departure, RequestContext } from '../policies/request-context.ts';
import { parseDurationMs, parseSizeBytes } from '../policies/units.ts';
import { BufferedAnswer } from '../subgraphs/buffered-answer.ts';
import type { Call } from '../subgraphs/call.ts';
import { endToEndHeaders } from '../subgraphs/forwarding.ts';
import type { AggregatePart } from './aggregate-options.ts';
import { parsePointer, readPointer } from './json-pointer.ts';
import type { OwnExchange } from './own-answer.ts';
import type { OwnGate } from './own-routes.ts';
import type { PartPath, TemplateValues } from './part-template.ts';

/** What became of a part. */
export type PartOutcome =
  | { readonly kind: 'value'; readonly value: unknown; readonly lifetime: PartLifetime }
  | { readonly kind: 'failed'; readonly error: GatewayError }
  /** The service answered something else than a success. */
  | { readonly kind: 'refused'; readonly answer: BufferedAnswer };

/** What its answer says to caches. */
export interface PartLifetime {
  readonly freshSeconds: number;
  readonly isPrivate: boolean;
  readonly vary: readonly string[];
}

export interface PartDependencies {
  readonly gate: OwnGate;
  readonly send: Call;
  /** Throws where a service may not be asked for this viewer. */
  readonly assertMayAsk: (service: string, context: RequestContext) => void;
}

export class Part {
  readonly name: string;
  readonly service: string;
  /** Path and query at the service, as they are written. */
  readonly template: string;
  /** Parts that must be there before. */
  readonly needs: readonly string[];
  readonly isOptional: boolean;
  readonly fallback: unknown;
  readonly #path: PartPath;
  readonly #pick: readonly string[];
  readonly #timeoutMs: number;
  readonly #maxBytes: number;
  readonly #dependencies: PartDependencies;

  constructor(name: string, options: AggregatePart, path: PartPath, dependencies: PartDependencies) {
    this.name = name;
    this.service = options.service;
    this.template = options.path;
    this.needs = path.needs;
    this.isOptional = options.optional === true || options.fallback !== undefined;
    this.fallback = options.fallback ?? null;
    this.#path = path;
    this.#pick = parsePointer(options.pick ?? '');
    this.#timeoutMs = options.timeout === undefined ? Number.POSITIVE_INFINITY : parseDurationMs(options.timeout);
    this.#maxBytes = parseSizeBytes(options.maxSize ?? '1mb');
    this.#dependencies = dependencies;
  }

  /** Throws where its service may not be asked for the viewer. */
  assertAllowed(context: RequestContext): void {
    this.#dependencies.assertMayAsk(this.service, context);
  }

  /** Throws where a value is missing that the path needs. */
  renderPath(values: TemplateValues): string {
    return this.#path.render(values);
  }

  /** Never rejects. */
  async ask(values: TemplateValues, exchange: OwnExchange, departure: Departure): Promise<PartOutcome> {
    try {
      const answer = await this.#fetch(this.renderPath(values), exchange, departure);
      if (answer.status < 200 || answer.status > 299) return { kind: 'refused', answer };
      return { kind: 'value', value: this.#read(answer), lifetime: readLifetime(answer) };
    } catch (thrown) {
      return { kind: 'failed', error: toGatewayError(thrown) };
    }
  }

  async #fetch(path: string, { request, context }: OwnExchange, departure: Departure): Promise<BufferedAnswer> {
    const { service } = this;
    const { gate, send } = this.#dependencies;
    this.assertAllowed(context);
    const own = [...filterHeaders(endToEndHeaders(request.rawHeaders), isOfTheClient), 'accept', 'application/json'];
    const ruled = gate.edge.request === null ? own : gate.edge.request(own, context, context.path);
    const outgoing = { service, method: 'GET', path, headers: ruled };
    const headers = (await context.plugins?.changeRouteCall(outgoing)) ?? ruled;
    const answer = new BufferedAnswer(this.#maxBytes);
    const derived = new DerivedContext(context, { departure, deadlineAtMs: performance.now() + this.#timeoutMs });
    await send(
      {
        ...outgoing,
        headers,
        body: null,
        idempotent: true,
        bodyByDeadline: true,
        ...(gate.edge.carriesCredentials && { credentialed: true }),
        receiver: answer,
      },
      derived,
    );
    return answer;
  }

  #read(answer: BufferedAnswer): unknown {
    const { service } = this;
    let value: unknown;
    try {
      value = JSON.parse(answer.body.toString('utf8'));
    } catch (cause) {
      throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The answer of the service is no JSON', { service, cause });
    }
    const picked = readPointer(value, this.#pick);
    if (picked !== undefined) return picked;
    throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The answer of the service lacks what is picked', { service });
  }
}

/** What a client says of its own exchange would be untrue of this one: of bodies, conditions, ranges and forms. */
function isOfTheClient(name: string): boolean {
  return !/^(content-.*|if-.*|range|accept|accept-encoding|accept-charset|expect|host|max-forwards|priority)$/.test(
    name,
  );
}

function readLifetime(answer: BufferedAnswer): PartLifetime {
  const said = parseCacheControl(answer.header('cache-control'));
  const vary = parseNames(answer.header('vary'));
  const isNever = ['no-store', 'no-cache'].some((name) => said.has(name)) || vary.includes('*');
  const isPrivate = said.has('private') || answer.header('set-cookie') !== undefined;
  const seconds = Number(said.get('max-age') ?? 0) - Number(answer.header('age') ?? 0);
  return { freshSeconds: isNever || !(seconds > 0) ? 0 : Math.floor(seconds), isPrivate, vary };
}
