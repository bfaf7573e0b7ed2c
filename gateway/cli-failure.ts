import { GatewayError } from '../policies/errors.ts';

/** What went wrong, for the operator: every reason of a refusal on a line of its own, else the error with its stack. */
export function describeFailure(failure: unknown): string {
  if (failure instanceof GatewayError) {
    const reasons = (failure.reasons ?? []).map((reason) => `  ${reason.message}`);
    return [`${failure.message}${reasons.length > 0 ? ':' : ''}`, ...reasons].join('\n');
  }
  if (!(failure instanceof Error)) return String(failure);
  // A port in use, a directory that may not be written: the operator's matter, and the stack says nothing about it.
  return 'syscall' in failure ? failure.message : (failure.stack ?? failure.message);
}
