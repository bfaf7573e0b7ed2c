/** Connections that have left HTTP, from the request that asks to the end of both connections. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import type { UpgradeRule } from '../policies/upgrade-options.ts';
import { endToEndResponseHeaders } from '../subgraphs/forwarding.ts';
import type { OpenUpgrade, UpgradeAnswer } from '../subgraphs/upgrade-call.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { rewriteCookies } from './rest-edge.ts';
import type { OutgoingRequest } from './route-choice.ts';
import type { RouteTarget } from './route-table.ts';
import { Tunnel, type TunnelEnd } from './tunnel.ts';
import { isSwitched } from './upgrade-request.ts';

/** What became of a request that has left HTTP. */
export interface SwitchedFacts {
  readonly protocol: string;
  /** Bytes from the client. What it got stands in `bodyBytes`. */
  received: number;
  readonly end: TunnelEnd | null;
}

/** A request that may go on in another protocol, as it goes to the service. */
export interface OutgoingUpgrade extends Omit<OutgoingRequest, 'headers'> {
  readonly headers: readonly string[];
  readonly route: RouteTarget;
  /** Not the route's where that one is retired and replaced. */
  readonly service: string;
  readonly rule: UpgradeRule;
  readonly protocol: string;
}

export interface UpgradeObserver {
  /** The head of the 101 is on its way. */
  onSwitch(context: GatewayRequest): void;
  onBytes(service: string, from: 'client' | 'service', bytes: number): void;
  onEnd(service: string, end: TunnelEnd, durationMs: number): void;
}

export interface UpgradesOptions {
  readonly open: OpenUpgrade;
  /** Connections at once, those that are still asking included. */
  readonly maxOpen: number;
  readonly observer: UpgradeObserver;
  /** @default Math.random */
  readonly random?: () => number;
}

export class Upgrades {
  readonly #options: UpgradesOptions;
  readonly #tunnels = new Set<Tunnel>();
  readonly #asking = new Set<ServerResponse>();
  #draining = false;
  readonly #drained = Promise.withResolvers<void>();

  constructor(options: UpgradesOptions) {
    this.#options = options;
  }

  /** Resolves when the answer is on its way, whatever it is; what follows a 101 goes on by itself. */
  async forward(
    outgoing: OutgoingUpgrade,
    request: IncomingMessage,
    response: ServerResponse,
    context: GatewayRequest,
  ): Promise<void> {
    this.#assertRoom();
    const { route, protocol, service, method, path, headers, accepts, zone } = outgoing;
    this.#asking.add(response);
    response.once('close', () => {
      this.#asking.delete(response);
      this.#noteEnd();
    });
    const answer = await this.#options.open(
      {
        service,
        method,
        path,
        headers,
        accepts,
        zone,
        protocol,
        timeoutMs: route.timeoutMs,
        isAnsweredBy: (head) => isSwitched(request, protocol, head),
      },
      context,
    );
    if (answer.kind === 'refused') this.#passRefusal(answer, outgoing, response, context);
    else this.#switch(answer, outgoing, response, context);
  }

  /** Takes no more. WebSockets are told to go, and what is left when the time is over is cut. Resolves when none is left. */
  drain(graceMs: number): Promise<void> {
    this.#draining = true;
    for (const tunnel of this.#tunnels) tunnel.leave('drain', graceMs);
    // Theirs are no connections that the server knows of.
    setTimeout(() => {
      for (const response of this.#asking) response.destroy();
      for (const tunnel of this.#tunnels) tunnel.cut();
    }, graceMs).unref();
    this.#noteEnd();
    return this.#drained.promise;
  }

  #noteEnd(): void {
    if (this.#draining && this.#tunnels.size + this.#asking.size === 0) this.#drained.resolve();
  }

  #assertRoom(): void {
    if (this.#draining) throw new GatewayError('SERVICE_UNAVAILABLE', 'The gateway ends', { retryAfterSeconds: 1 });
    if (this.#tunnels.size + this.#asking.size < this.#options.maxOpen) return;
    throw new GatewayError('OVERLOADED', 'Too many connections that have left HTTP are open', { retryAfterSeconds: 1 });
  }

  #passRefusal(
    { rawHeaders, response: refusal }: UpgradeAnswer & { readonly kind: 'refused' },
    { route }: OutgoingUpgrade,
    response: ServerResponse,
    context: GatewayRequest,
  ): void {
    const headers = buildHead(rawHeaders, route, context);
    // RFC 9110 section 15.5.22: what the service would rather speak. It is meant for the client, hop or not.
    if (refusal.statusCode === 426 && refusal.headers.upgrade !== undefined) {
      headers.push('upgrade', refusal.headers.upgrade, 'connection', 'upgrade, close');
    } else headers.push('connection', 'close');
    response.writeHead(refusal.statusCode ?? 502, headers);
    refusal.on('data', (piece: Buffer) => {
      context.bodyBytes += piece.length;
      context.meter?.passResponse(piece.length);
    });
    // `pipeline` listens in many ways to what the policies of a route listen to already: more than Node's ten is no leak.
    response.setMaxListeners(30);
    // A body that breaks off ends the connection, as it should.
    pipeline(refusal, response, () => {});
  }

  #switch(
    { rawHeaders, socket, head }: UpgradeAnswer & { readonly kind: 'switched' },
    { route, service, rule, protocol }: OutgoingUpgrade,
    response: ServerResponse,
    context: GatewayRequest,
  ): void {
    const { upgrade } = context;
    if (upgrade === undefined || context.departure.happened) {
      socket.destroy();
      return;
    }
    // A 101 has no body, so nothing may tell of one (RFC 9110 section 8.6).
    const own = filterHeaders(rawHeaders, (name) => name !== 'content-length' && name !== 'trailer');
    const headers = buildHead(own, route, context).concat('connection', 'Upgrade', 'upgrade', protocol);
    try {
      response.writeHead(101, headers);
    } catch (thrown) {
      socket.destroy();
      throw thrown;
    }
    const client = upgrade.take();
    response.end();
    this.#asking.delete(response);
    const { observer, random = Math.random } = this.#options;
    const startedAtMs = performance.now();
    const tunnel = new Tunnel({
      client,
      service: socket,
      isWebSocket: protocol === 'websocket',
      idleTimeoutMs: rule.idleTimeoutMs,
      lifetimeMs: rule.maxLifetimeMs && rule.maxLifetimeMs * (0.9 + 0.1 * random()),
      onBytes(from, bytes) {
        if (from === 'client') {
          facts.received += bytes;
          context.meter?.passRequest(bytes);
        } else {
          context.bodyBytes += bytes;
          context.meter?.passResponse(bytes);
        }
        observer.onBytes(service, from, bytes);
      },
      onEnd: (end) => {
        this.#tunnels.delete(tunnel);
        observer.onEnd(service, end, performance.now() - startedAtMs);
        // The access line is written by another listener of this very event.
        setImmediate(() => this.#noteEnd());
      },
    });
    const facts: SwitchedFacts = {
      protocol,
      received: 0,
      get end() {
        return tunnel.end;
      },
    };
    context.switched = facts;
    this.#tunnels.add(tunnel);
    observer.onSwitch(context);
    tunnel.start(upgrade.head, head);
    if (this.#draining) tunnel.leave('drain', 1_000);
  }
}

function buildHead(rawHeaders: readonly string[], { edge }: RouteTarget, context: GatewayRequest): string[] {
  const headers = endToEndResponseHeaders(rawHeaders);
  if (edge.cookies !== null) rewriteCookies(headers, edge.cookies);
  headers.push(...edgeHeaders(context));
  return finishHeaders(context, headers);
}
