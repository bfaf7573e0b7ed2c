/** An answer that is looked at while it passes: what is not as the document of the service says is told. */
import { toHeaderMap } from '../policies/http-headers.ts';
import type { SchemaValidator, ValueError } from '../policies/json-schema.ts';
import { parseJson } from '../policies/json-text.ts';
import type { FindBody } from '../policies/openapi.ts';
import type { Flow, Receiver } from './call.ts';
import { decodeBody } from './transformed-answer.ts';

interface AnswerMistake extends ValueError {
  readonly in: 'status' | 'header' | 'body';
}

export interface ObservedAnswerOptions {
  /** Larger bodies are not looked at. */
  readonly maxBytes: number;
  readonly method: string;
  readonly findAnswer: (status: number) => FindBody | null;
  readonly tell: (mistakes: readonly AnswerMistake[]) => void;
}

export class ObservedAnswer implements Receiver {
  readonly #options: ObservedAnswerOptions;
  readonly #target: Receiver;
  #validator: SchemaValidator | null = null;
  #coding: string | undefined;
  #chunks: Buffer[] = [];
  #sizeBytes = 0;

  constructor(options: ObservedAnswerOptions, target: Receiver) {
    this.#options = options;
    this.#target = target;
  }

  onInterim(status: number, rawHeaders: readonly string[]): void {
    this.#target.onInterim?.(status, rawHeaders);
  }

  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void {
    const { findAnswer, method, tell } = this.#options;
    const fields = toHeaderMap(rawHeaders);
    const find = findAnswer(status);
    const hasBody = method !== 'HEAD' && ![204, 206, 304].includes(status) && fields['content-length'] !== '0';
    if (find !== null && hasBody) {
      const found = find(fields['content-type']);
      if (found === null) tell([{ in: 'header', pointer: '/content-type', message: 'is none of the document' }]);
      else if (found !== 'any') this.#validator = found;
      this.#coding = fields['content-encoding'];
    }
    this.#target.onHead(status, rawHeaders, flow);
  }

  onData(chunk: Buffer): boolean {
    if (this.#validator !== null) {
      this.#sizeBytes += chunk.length;
      if (this.#sizeBytes <= this.#options.maxBytes) this.#chunks.push(chunk);
      else {
        this.#validator = null;
        this.#chunks = [];
      }
    }
    return this.#target.onData(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    this.#target.onEnd(trailers);
    if (this.#validator === null) return;
    this.#options.tell(this.#look(this.#validator).map((error) => ({ in: 'body', ...error })));
    this.#chunks = [];
  }

  #look(validator: SchemaValidator): readonly ValueError[] {
    try {
      return validator.validate(
        parseJson(decodeBody(Buffer.concat(this.#chunks), this.#coding, this.#options.maxBytes), false),
      );
    } catch {
      return [{ pointer: '', message: 'cannot be read as JSON' }];
    }
  }
}
