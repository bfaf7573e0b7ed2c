/** A receiver whose head passes through other hands first. */
import type { Receiver } from './call.ts';

/** The same receiver, but for the final head. */
export function withHead(receiver: Receiver, onHead: Receiver['onHead']): Receiver {
  return {
    onInterim: (status, rawHeaders) => receiver.onInterim?.(status, rawHeaders),
    onHead,
    onData: (chunk) => receiver.onData(chunk),
    onEnd: (trailers) => receiver.onEnd(trailers),
    // Whether there is one makes a difference to a breaker.
    ...(receiver.hasErrorCode !== undefined && { hasErrorCode: (codes) => receiver.hasErrorCode?.(codes) === true }),
  };
}
