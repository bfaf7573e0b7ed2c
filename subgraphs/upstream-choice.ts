/** Which instances of a service a call may go to. */
import type { Choice } from './balancer.ts';
import type { BalancingSubject } from './balancing-key.ts';
import type { AcceptsVersion } from './call.ts';
import type { InstanceState } from './instance-state.ts';

/** One object per service, filled anew for every choice: choosing is synchronous, and shall not make garbage. */
export class UpstreamChoice implements Choice<InstanceState> {
  nowMs = 0;
  subject: BalancingSubject = nobody;
  #tried: readonly InstanceState[] = [];
  #accepts: AcceptsVersion | undefined;

  about(
    nowMs: number,
    tried: readonly InstanceState[],
    subject: BalancingSubject,
    accepts: AcceptsVersion | undefined,
  ): this {
    this.nowMs = nowMs;
    this.subject = subject;
    this.#tried = tried;
    this.#accepts = accepts;
    return this;
  }

  accepts(instance: InstanceState): boolean {
    return isPickable(instance, this.nowMs, this.#tried, this.#accepts);
  }
}

const nobody: BalancingSubject = {
  headers: {},
  client: { address: '', protocol: 'http', host: '', forwardedFor: '' },
  viewer: null,
};

/** Whether a call may go there now that was not there before. */
export function isPickable(
  instance: InstanceState,
  nowMs: number,
  tried: readonly InstanceState[],
  accepts: AcceptsVersion | undefined,
): boolean {
  return (
    instance.isAvailable(nowMs) && (tried.length === 0 || !tried.includes(instance)) && hasVersion(instance, accepts)
  );
}

/** Whether an instance understands a request, by its version. */
export function hasVersion({ version }: InstanceState, accepts: AcceptsVersion | undefined): boolean {
  return accepts === undefined || accepts(version);
}
