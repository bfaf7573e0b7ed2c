/**
 * Draining on SIGTERM and SIGINT, in a process that belongs to somebody else. A listener takes a signal's default effect
 * away, so the effect is given back afterwards, unless the service listens itself and decides.
 */

const signals = ['SIGTERM', 'SIGINT'] as const;
/** Registered, because two copies of this library in one process must know each other's listeners. */
const mark = Symbol.for('selvage.client.drains');
/** A terminal signals its whole process group, and npm passes signals on: what comes so soon is the same signal. */
const sameSignalMs = 500;

/** Drains at the first signal. Gives the function that stops listening. */
export function drainOnSignals(drain: () => Promise<void>, onDrained?: () => void | Promise<void>): () => void {
  let signalledAtMs: number | undefined;
  const onSignal = async (signal: NodeJS.Signals): Promise<void> => {
    const now = performance.now();
    if (signalledAtMs !== undefined && now - signalledAtMs < sameSignalMs) return;
    const isFirst = signalledAtMs === undefined;
    signalledAtMs = now;
    const givesEffectBack = process.listeners(signal).every(leavesEnding);
    // A second signal means impatience: then nothing is waited for.
    if (isFirst) await drain();
    release();
    if (isFirst) await callSafely(onDrained);
    const areOthersDraining = process.listeners(signal).some(isOurs);
    if (givesEffectBack && !areOthersDraining) process.kill(process.pid, signal);
  };
  const marked = { [mark]: onDrained === undefined ? 'leaves ending' : 'ends' };
  const listener = Object.assign((signal: NodeJS.Signals) => void onSignal(signal), marked);
  const release = (): void => {
    for (const signal of signals) process.off(signal, listener);
  };
  // In front, because a `once` listener of the service that runs earlier is gone by the time it is looked for.
  for (const signal of signals) process.prependListener(signal, listener);
  return release;
}

/** The service is ending, and it is not for this library to end it with an exception. */
async function callSafely(onDrained: (() => void | Promise<void>) | undefined): Promise<void> {
  try {
    await onDrained?.();
  } catch (error) {
    const message = `onDrained failed: ${error instanceof Error ? error.message : String(error)}`;
    process.emitWarning(message, { type: 'SelvageWarning', code: 'SELVAGE_ON_DRAINED' });
  }
}

function isOurs(listener: NodeJS.SignalsListener): boolean {
  return mark in listener;
}

function leavesEnding(listener: NodeJS.SignalsListener): boolean {
  return Reflect.get(listener, mark) === 'leaves ending';
}
