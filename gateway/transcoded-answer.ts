/** Answers of gRPC as JSON: one object, or one a line or an event where the method streams. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError, toProblem } from '../policies/errors.ts';
import { decodeGrpcMessage, grpcHttpStatuses, nameGrpcStatus } from '../policies/grpc-status.ts';
import type { Flow, Receiver } from '../subgraphs/call.ts';
import { endToEndResponseHeaders } from '../subgraphs/forwarding.ts';
import { FrameReader } from '../subgraphs/grpc-frames.ts';
import type { GrpcBinding, GrpcSchema } from '../subgraphs/grpc-schema.ts';
import type { Descriptors } from '../subgraphs/protobuf/descriptors.ts';
import { WireError } from '../subgraphs/protobuf/wire.ts';
import { decodeToJson } from '../subgraphs/protobuf/wire-to-json.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { assertGrpcAnswer } from './grpc-call.ts';
import { noteGrpcStatus } from './grpc-facts.ts';
import { decodeStatusDetails } from './grpc-status-details.ts';
import { rewriteCookies } from './rest-edge.ts';
import type { RouteTarget } from './route-table.ts';

type Schema = GrpcSchema & { readonly descriptors: Descriptors };

/** Metadata that is none: the protocol's own. */
const protocolFields = /^(?:grpc-(?!metadata-)|content-|trailer$|date$|server$|via$)/;
/** Metadata that means the same in HTTP, and keeps its name. */
const plainFields: ReadonlySet<string> = new Set([
  'cache-control',
  'deprecation',
  'etag',
  'expires',
  'last-modified',
  'link',
  'location',
  'retry-after',
  'set-cookie',
  'sunset',
  'vary',
  'www-authenticate',
]);

/** What both kinds of answers share. */
abstract class JsonAnswer implements Receiver {
  protected readonly response: ServerResponse;
  protected readonly context: GatewayRequest;
  readonly #schema: Schema;
  readonly #binding: GrpcBinding;
  readonly #route: RouteTarget;
  readonly #frames: FrameReader;
  #head: [string, string][] = [];
  #status = '';

  constructor(
    schema: Schema,
    binding: GrpcBinding,
    route: RouteTarget,
    _request: IncomingMessage,
    response: ServerResponse,
    context: GatewayRequest,
  ) {
    this.#schema = schema;
    this.#binding = binding;
    this.#route = route;
    this.#frames = new FrameReader(schema.maxMessageBytes);
    this.response = response;
    this.context = context;
  }

  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void {
    const own = endToEndResponseHeaders(rawHeaders);
    assertGrpcAnswer(status, own);
    const { cookies } = this.#route.edge;
    if (cookies !== null) rewriteCookies(own, cookies);
    this.#head = pair(own);
    this.response.on('drain', () => flow.resume());
  }

  onData(chunk: Buffer): boolean {
    let goesOn = true;
    for (const message of this.#frames.push(chunk)) goesOn = this.take(this.#toJson(message)) && goesOn;
    return goesOn;
  }

  onEnd(trailers: readonly string[]): void {
    const fields = [...this.#head, ...pair(trailers)];
    const find = (name: string) => fields.find(([given]) => given.toLowerCase() === name)?.[1];
    this.#status = find('grpc-status') ?? '';
    if (this.#status === '' || (this.#status === '0' && this.#frames.isInside)) {
      throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The answer of the service broke off');
    }
    noteGrpcStatus(this.context, this.#status);
    if (this.#status === '0') this.succeed();
    else this.fail(this.#describe(Number(this.#status), find('grpc-message') ?? '', find('grpc-status-details-bin')));
    this.context.meter?.settle();
  }

  hasErrorCode(codes: ReadonlySet<string>): boolean {
    return this.#status !== '0' && codes.has(nameGrpcStatus(Number(this.#status)));
  }

  /** The gateway itself ends an answer that has begun. False where that cannot be said in it. */
  abstract endWith(error: GatewayError): boolean;

  /** A message; false asks for a pause. */
  protected abstract take(json: unknown): boolean;
  protected abstract succeed(): void;
  protected abstract fail(problem: StatusProblem): void;

  protected writeHead(status: number, contentType: string, more: readonly string[] = []): void {
    const headers = [...metadataFields(this.#head), 'content-type', contentType, ...more, ...edgeHeaders(this.context)];
    this.response.writeHead(status, finishHeaders(this.context, headers));
  }

  protected writeProblem({ status, body }: StatusProblem): void {
    const text = Buffer.from(JSON.stringify(body));
    this.writeHead(status, 'application/problem+json', [
      'content-length',
      String(text.length),
      'proxy-status',
      'selvage; received-status=200',
    ]);
    this.context.bodyBytes += text.length;
    this.response.end(this.context.method === 'HEAD' ? undefined : text);
  }

  protected write(text: string): boolean {
    this.context.bodyBytes += Buffer.byteLength(text);
    this.context.meter?.passResponse(Buffer.byteLength(text));
    return this.response.write(text);
  }

  #toJson(message: Buffer): unknown {
    const { descriptors, style } = this.#schema;
    const { method, rule } = this.#binding;
    try {
      const json = decodeToJson(descriptors, method.output, message, style) as Record<string, unknown>;
      if (rule.responseBody === '') return json;
      const field = descriptors.messages.get(method.output)?.byName.get(rule.responseBody);
      const value = json[style.protoNames ? (field?.name ?? '') : (field?.jsonName ?? '')];
      return value ?? (field?.repeated === true ? [] : null);
    } catch (thrown) {
      if (!(thrown instanceof WireError)) throw thrown;
      const message = 'The service sent what is no message of its type';
      throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', message, { service: this.#route.service, cause: thrown });
    }
  }

  #describe(code: number, message: string, details: string | undefined): StatusProblem {
    const name = nameGrpcStatus(code);
    const status = grpcHttpStatuses[name];
    const { descriptors, style } = this.#schema;
    const decoded = details === undefined ? [] : decodeStatusDetails(descriptors, details, style);
    return {
      status,
      body: {
        type: 'about:blank',
        title: name,
        status,
        detail: decodeGrpcMessage(message),
        code: name,
        requestId: this.context.id,
        service: this.#route.service,
        ...(decoded.length > 0 && { details: decoded }),
      },
    };
  }
}

/** What a service answered instead of a message, as a problem of RFC 9457. */
interface StatusProblem {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** One message. Held until its status is known, which comes last and stands first in HTTP. */
export class UnaryJsonAnswer extends JsonAnswer {
  #json: unknown;
  #count = 0;

  override endWith(): boolean {
    return false;
  }

  protected override take(json: unknown): boolean {
    this.#json = json;
    if (++this.#count > 1) throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The service sent several messages');
    return true;
  }

  protected override succeed(): void {
    if (this.#count === 0) throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The service sent no message');
    const text = Buffer.from(JSON.stringify(this.#json));
    this.writeHead(200, 'application/json', ['content-length', String(text.length)]);
    this.context.bodyBytes += text.length;
    this.context.meter?.passResponse(text.length);
    this.response.end(this.context.method === 'HEAD' ? undefined : text);
  }

  protected override fail(problem: StatusProblem): void {
    this.writeProblem(problem);
  }
}

/** Message by message: `{"result": ...}` a line, or an event each where the client asks for events. */
export class StreamedJsonAnswer extends JsonAnswer {
  readonly #isEvents: boolean;

  constructor(...args: ConstructorParameters<typeof UnaryJsonAnswer>) {
    super(...args);
    const [, , , request] = args;
    this.#isEvents = /(?:^|,)\s*text\/event-stream\s*(?:;|,|$)/i.test(request.headers.accept ?? '');
  }

  override endWith(error: GatewayError): boolean {
    this.#writeError(JSON.parse(toProblem(error, this.context.id).body));
    return true;
  }

  protected override take(json: unknown): boolean {
    this.#begin();
    return this.write(this.#isEvents ? `data: ${JSON.stringify(json)}\n\n` : `${JSON.stringify({ result: json })}\n`);
  }

  protected override succeed(): void {
    this.#begin();
    this.response.end();
  }

  protected override fail(problem: StatusProblem): void {
    if (this.response.headersSent) this.#writeError(problem.body);
    else this.writeProblem(problem);
  }

  /** Too late for a status in HTTP. */
  #writeError(problem: unknown): void {
    const text = JSON.stringify(problem);
    this.write(this.#isEvents ? `event: error\ndata: ${text}\n\n` : `{"error":${text}}\n`);
    this.response.end();
  }

  /** Not before the first message: what fails at once still gets its status. */
  #begin(): void {
    if (this.response.headersSent) return;
    if (this.#isEvents) this.writeHead(200, 'text/event-stream', ['cache-control', 'no-store']);
    else this.writeHead(200, 'application/x-ndjson');
    this.response.flushHeaders();
  }
}

function pair(fields: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) pairs.push([fields[i] ?? '', fields[i + 1] ?? '']);
  return pairs;
}

/** Metadata of the answer as header fields: `grpc-metadata-name`, but for what HTTP has itself. */
function metadataFields(head: readonly (readonly [string, string])[]): string[] {
  return head.flatMap(([name, value]) => {
    const lowerCase = name.toLowerCase();
    if (protocolFields.test(lowerCase)) return [];
    return [plainFields.has(lowerCase) ? name : `grpc-metadata-${lowerCase}`, value];
  });
}
