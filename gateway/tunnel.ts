/** Two connections that have left HTTP, tied together: bytes both ways with back-pressure, and one end for both. */
import type { Socket } from 'node:net';
import { buildCloseFrame, FrameTracker } from './websocket-frames.ts';

/** Why a tunnel ended. Who closes first is named; `drain` and `cut` come from the gateway's own end. */
export type TunnelEnd =
  | 'client'
  | 'service'
  | 'client-broken'
  | 'service-broken'
  | 'idle'
  | 'lifetime'
  | 'drain'
  | 'cut';

export interface TunnelOptions {
  readonly client: Socket;
  readonly service: Socket;
  readonly isWebSocket: boolean;
  readonly idleTimeoutMs: number;
  /** Undefined: no end. */
  readonly lifetimeMs: number | undefined;
  readonly onBytes: (from: 'client' | 'service', bytes: number) => void;
  /** Once, when both connections are closed. */
  readonly onEnd: (end: TunnelEnd) => void;
}

/** The endpoint goes away (RFC 6455 section 7.4.1): clients connect again, elsewhere. */
const goingAway = 1001;
/** For the peers to answer a Close frame. */
const closePatienceMs = 5_000;
/** Once one side has ended, for the other to go on without a byte. */
const halfOpenMs = 10_000;

export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #fromClient: Direction;
  readonly #fromService: Direction;
  #end: TunnelEnd | null = null;
  #open = 2;
  #timer: NodeJS.Timeout | undefined;

  /** The connections flow from here on. */
  constructor(options: TunnelOptions) {
    const { client, service, isWebSocket, idleTimeoutMs, lifetimeMs, onBytes } = options;
    this.#options = options;
    this.#fromClient = new Direction(client, service, isWebSocket, true, (bytes) => onBytes('client', bytes));
    this.#fromService = new Direction(service, client, isWebSocket, false, (bytes) => onBytes('service', bytes));
    // Of its own accord Node ends what it writes as soon as the other side has: a FIN shall pass, and no more.
    client.allowHalfOpen = true;
    service.allowHalfOpen = true;
    client.setNoDelay(true);
    // Bytes of either direction move on the client's connection, too.
    client.setTimeout(idleTimeoutMs, () => this.#onSilence());
    if (lifetimeMs !== undefined) {
      this.#timer = setTimeout(() => this.leave('lifetime', closePatienceMs), lifetimeMs).unref();
    }
    this.#watch(client, service, 'client');
    this.#watch(service, client, 'service');
  }

  /** Why it ends; null as long as it does not. */
  get end(): TunnelEnd | null {
    return this.#end;
  }

  /** What came before the connections were tied together. Then they flow. */
  start(fromClient: Buffer, fromService: Buffer): void {
    this.#fromService.start(fromService);
    this.#fromClient.start(fromClient);
  }

  /** A WebSocket is told that the gateway leaves it; anything else can only be cut, after the same time. */
  leave(why: 'idle' | 'lifetime' | 'drain', patienceMs: number): void {
    this.#end ??= why;
    clearTimeout(this.#timer);
    if (!this.#options.isWebSocket && why !== 'drain') {
      this.cut();
      return;
    }
    this.#timer = setTimeout(() => this.cut(), patienceMs).unref();
    if (!this.#options.isWebSocket) return;
    this.#fromService.sayGoodbye();
    this.#fromClient.sayGoodbye();
  }

  /** Ends both connections at once. */
  cut(): void {
    this.#end ??= 'cut';
    this.#options.client.destroy();
    this.#options.service.destroy();
  }

  #watch(socket: Socket, other: Socket, side: 'client' | 'service'): void {
    socket.on('error', () => {
      this.#end ??= `${side}-broken`;
    });
    socket.on('end', () => {
      this.#end ??= side;
      other.end();
      this.#options.client.setTimeout(halfOpenMs);
    });
    // First: the access log looks at the end when the client's connection is closed.
    socket.prependListener('close', () => {
      this.#end ??= `${side}-broken`;
      if (--this.#open === 0) this.#finish();
      // What a client has sent to nobody is lost; what a service has said shall still arrive, if it is read.
      else if (side === 'client') other.destroy();
      else {
        other.destroySoon();
        other.setTimeout(halfOpenMs);
      }
    });
  }

  #onSilence(): void {
    // Nobody reads or writes any more, and one side has left or was told to.
    if (this.#end !== null) this.cut();
    else this.leave('idle', closePatienceMs);
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#options.onEnd(this.#end ?? 'cut');
  }
}

/** One direction. */
class Direction {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #toServer: boolean;
  readonly #frames: FrameTracker | null;
  readonly #onBytes: (bytes: number) => void;
  /** A Close frame of ours is to follow the frame under way; it has been sent, and nothing may follow it. */
  #goodbye: 'none' | 'due' | 'said' = 'none';

  constructor(from: Socket, to: Socket, isWebSocket: boolean, toServer: boolean, onBytes: (bytes: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#toServer = toServer;
    this.#frames = isWebSocket ? new FrameTracker() : null;
    this.#onBytes = onBytes;
  }

  start(first: Buffer): void {
    if (first.length > 0) this.#pass(first);
    this.#to.on('drain', () => this.#from.resume());
    this.#from.on('data', (piece: Buffer) => this.#pass(piece));
    if (this.#to.writableNeedDrain) this.#from.pause();
  }

  sayGoodbye(): void {
    // A side that has closed already gets no second Close (RFC 6455 section 5.5.1).
    if (this.#frames === null || this.#frames.closed || this.#goodbye !== 'none') return;
    this.#goodbye = 'due';
    if (this.#frames.isBetween) this.#close();
    // A side that is paused, because the other does not read, could not tell that it has closed.
    this.#from.resume();
  }

  #pass(piece: Buffer): void {
    this.#onBytes(piece.length);
    if (this.#frames === null || this.#goodbye === 'none') {
      this.#frames?.advance(piece);
      this.#write(piece);
      return;
    }
    let rest = piece;
    if (this.#goodbye === 'due') {
      const end = this.#frames.advance(piece, true);
      this.#write(piece.subarray(0, end));
      if (!this.#frames.isBetween) return;
      rest = piece.subarray(end);
      this.#close();
    }
    this.#frames.advance(rest);
    // Both have said it (section 7.1.1); what is still on its way arrives before the end.
    if (this.#frames.closed) this.#from.end();
  }

  #write(piece: Buffer): void {
    if (!this.#to.write(piece)) this.#from.pause();
  }

  #close(): void {
    this.#goodbye = 'said';
    if (this.#frames?.closed !== true && this.#to.writable) this.#to.write(buildCloseFrame(goingAway, this.#toServer));
  }
}
