/** The first bytes of a connection without TLS: HTTP/2 by prior knowledge, or HTTP/1.1. */
import type { Socket } from 'node:net';

/** RFC 9113 section 3.4. No request of HTTP/1.1 begins like that. */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/**
 * Reads until it is clear what a client speaks, says so once, and leaves the bytes where they were. A client that does not
 * begin in time is cut off.
 */
export function readPreface(socket: Socket, timeoutMs: number, decide: (isHttp2: boolean) => void): void {
  let held: Buffer | null = null;
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('readable', look).off('end', giveUp).off('close', stop).off('error', ignore);
  };
  const giveUp = (): void => {
    socket.destroy();
  };
  const look = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    held = held === null ? chunk : Buffer.concat([held, chunk]);
    const length = Math.min(held.length, preface.length);
    const agrees = held.compare(preface, 0, length, 0, length) === 0;
    if (agrees && length < preface.length) return;
    stop();
    socket.unshift(held);
    decide(agrees);
  };
  socket.on('readable', look).on('end', giveUp).on('close', stop).on('error', ignore);
}

function ignore(): void {}
