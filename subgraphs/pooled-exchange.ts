/** An exchange that undici carries: over HTTP/2, or with a body that is still on its way. */
import type { Dispatcher } from 'undici';
import { findFramingFault } from './answer-framing.ts';
import type { ExchangeHandler } from './exchange.ts';
import { toStrings } from './raw-headers.ts';

type Controller = Dispatcher.DispatchController;

export class PooledExchange implements Dispatcher.DispatchHandler {
  readonly #handler: ExchangeHandler;

  constructor(handler: ExchangeHandler) {
    this.#handler = handler;
  }

  onRequestStart(controller: Controller): void {
    this.#handler.onRequestStart(controller);
  }

  onResponseStart(controller: Controller, status: number): void {
    const rawHeaders = toStrings(controller.rawHeaders);
    const fault = status < 200 ? null : findFramingFault(status, rawHeaders);
    if (fault === null) this.#handler.onResponseStart(controller, status, rawHeaders);
    else controller.abort(new Error(`the answer is malformed: ${fault}`));
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#handler.onResponseData(controller, chunk);
  }

  onResponseEnd(controller: Controller): void {
    this.#handler.onResponseEnd(controller, toStrings(controller.rawTrailers));
  }

  onResponseError(controller: Controller | null, error: Error): void {
    this.#handler.onResponseError(controller, error);
  }
}
