/** One request and its answer on a connection, whichever client carries them. */
import type { Readable } from 'node:stream';

export interface ExchangeRequest {
  readonly method: string;
  /** In origin form. */
  readonly path: string;
  /** Name, value, name, value ... */
  readonly headers: readonly string[];
  readonly body: Buffer | string | AsyncIterable<Buffer> | Readable | null;
}

/** The hold of a handler on its exchange. Once that is over, nothing comes of it any more. */
export interface ExchangeControl {
  /** What has been read already may still be told. */
  pause(): void;
  resume(): void;
  /** Cuts the connection. The handler hears of it as of any error. */
  abort(reason: Error): void;
}

/** Hears of an exchange, in this order. Nothing is called before {@link onRequestStart} but, with null, an error. */
export interface ExchangeHandler {
  /** The request is about to be written. Aborted here, nothing of it is. */
  onRequestStart(control: ExchangeControl): void;
  /** The head of the answer, or of one before it (1xx, but not 100). The fields are the handler's from here on. */
  onResponseStart(control: ExchangeControl, status: number, rawHeaders: string[]): void;
  onResponseData(control: ExchangeControl, chunk: Buffer): void;
  /** Whether it holds nothing of the pieces so far: then their memory may be taken back. Without it they stay. */
  holdsNothing?(): boolean;
  onResponseEnd(control: ExchangeControl, rawTrailers: string[]): void;
  onResponseError(control: ExchangeControl | null, error: Error): void;
}
