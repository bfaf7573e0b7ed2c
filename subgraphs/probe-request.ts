/** What a health check asks an instance, and what becomes of it. */
import type { LookupFunction } from 'node:net';
import type { InstanceTls } from './service-tls.ts';

/** Whom a probe looks at. */
export interface ProbeTarget {
  /** Origin of the instance. */
  readonly url: string;
  readonly timeoutMs: number;
  /** Name resolution, which may refuse addresses. */
  readonly lookup?: LookupFunction | undefined;
  /** What the service says of TLS. */
  readonly tls?: InstanceTls | null | undefined;
}

export interface ProbeRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer | null;
}

export interface ProbeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: AsyncIterable<Buffer>;
  /** Filled when the body has ended. */
  readonly trailers: Readonly<Record<string, string | undefined>>;
}

/** Throws with what is wrong with an answer. */
export type JudgeAnswer = (answer: ProbeAnswer) => Promise<void>;

/** What was wrong, and whether the instance could be connected to at all. */
export class ProbeFailure extends Error {
  override readonly name = 'ProbeFailure';
  readonly connected: boolean;
  /** Of the socket's own error. */
  readonly code?: string;

  constructor(cause: Error, connected: boolean) {
    super(cause.message, { cause });
    this.connected = connected;
    if ('code' in cause && typeof cause.code === 'string') this.code = cause.code;
  }
}

/** The answers that are read have some tens of bytes; what is longer is something else. */
const maxAnswerBytes = 65_536;

/** The body of an answer. */
export async function readProbeBody({ body }: ProbeAnswer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maxAnswerBytes) throw new Error('an answer too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
