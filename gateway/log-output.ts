/** Standard output for a log: lines are gathered and written without waiting, within bounds of time and memory. */
import { destination } from 'pino';

/** What a log writes to. */
export interface LogOutput {
  /** Takes whole lines. */
  write(lines: string): void;
  flush(): void;
  close(): Promise<void>;
}

// Each write wakes a thread: at 8 kB these were a tenth of the work of a small request.
const chunkLength = 65_536;
const flushAfterMs = 500;
/** A reader that has stopped reading does not stop a shutdown. */
const closeWithinMs = 2_000;
/** What may wait for a reader that does not read. Beyond it lines are lost, and counted. */
const maxWaitingBytes = 8 * 1_048_576;

/**
 * Buffered output to a file descriptor. Lines are joined here rather than in pino's destination: that one measures its
 * whole buffer on every line, which makes a line cost more than twice as much.
 */
export function createLogOutput(descriptor: number = process.stdout.fd): LogOutput {
  let waiting = '';
  let timer: NodeJS.Timeout | undefined;
  let dropped = 0;
  let closed = false;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (waiting === '') return;
    const lines = waiting;
    waiting = '';
    stream.write(lines);
  }

  function write(lines: string): void {
    if (closed) return;
    waiting += lines;
    if (waiting.length >= chunkLength) flush();
    else timer ??= setTimeout(flush, flushAfterMs).unref();
  }

  /** Without waiting: a write that is only begun when the process ends may never be made. */
  function flushAtExit(): void {
    const lines = waiting;
    waiting = '';
    stream.flushSync();
    if (lines === '' || closed) return;
    const last = destination({ fd: descriptor, sync: true });
    last.on('error', () => {});
    last.write(lines);
  }

  // Before pino's own listener, which ends the stream.
  process.on('exit', flushAtExit);
  const stream = destination({ fd: descriptor, sync: false, minLength: 0, maxLength: maxWaitingBytes });
  // A log that cannot be written is no reason to stop serving. After EPIPE pino turns the stream off for good.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') closed = true;
  });
  stream.on('drop', (lines: string) => {
    dropped += lines.split('\n').length - 1;
  });
  stream.on('drain', () => {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    write(`${JSON.stringify({ level: 'warn', time: Date.now(), msg: 'log lines were lost', lines })}\n`);
  });

  return {
    write,
    flush,
    async close() {
      if (closed) return;
      flush();
      closed = true;
      process.off('exit', flushAtExit);
      await new Promise<void>((resolve) => {
        stream.once('close', resolve);
        stream.once('error', () => resolve());
        setTimeout(resolve, closeWithinMs).unref();
        stream.end();
      });
    },
  };
}
