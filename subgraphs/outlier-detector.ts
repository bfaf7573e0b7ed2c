/**
 * Which instances of one service are worse than their peers, and for how long each gets no calls. The breaker of an
 * instance judges it alone; here an instance is taken out only when the others do better, and never the last one.
 */
import type { OutlierDetection } from '../policies/outlier-detection.ts';
import { type Clock, systemClock, type Timer } from './clock.ts';

export type EjectionReason = 'consecutive5xx' | 'consecutiveGatewayFailure' | 'failurePercentage' | 'latency';

/** An instance gets no calls, since it is an outlier. */
export interface Ejection {
  readonly reason: EjectionReason;
  /** The figures behind the reason. */
  readonly detail: string;
  /** By the clock of the detector. */
  readonly untilMs: number;
  /** How often it was ejected lately, this time included. */
  readonly count: number;
}

/** What is counted of one instance. The fields belong to the detector. */
export class OutlierRecord {
  calls = 0;
  failures = 0;
  failuresInRow = 0;
  gatewayFailuresInRow = 0;
  /** Answers whose time is known, and the sum of the logarithms of their milliseconds. */
  timed = 0;
  logLatency = 0;
  /** Of the window before. */
  lastCalls = 0;
  lastFailures = 0;
  ejection: Ejection | null = null;
  count = 0;
  returnTimer: Timer | null = null;
  /** Since when it has behaved. */
  goodSinceMs = 0;
  readonly onChange: (ejection: Ejection | null) => void;
  readonly isWell: () => boolean;

  /** `isWell` says whether the instance could take calls if it were no outlier. */
  constructor(isWell: () => boolean, onChange: (ejection: Ejection | null) => void) {
    this.isWell = isWell;
    this.onChange = onChange;
  }
}

type DetectorClock = Pick<Clock, 'now' | 'setTimer'>;

export class OutlierDetector {
  #numbers: OutlierDetection;
  #members: readonly OutlierRecord[] = [];
  #sweepTimer: Timer | null = null;
  #stopped = false;
  readonly #clock: DetectorClock;

  constructor(numbers: OutlierDetection, clock: DetectorClock = systemClock) {
    this.#numbers = numbers;
    this.#clock = clock;
  }

  /** The instances that share the calls. Ejections of others count for nothing. */
  setMembers(members: readonly OutlierRecord[]): void {
    this.#members = members;
  }

  configure(numbers: OutlierDetection): void {
    this.#numbers = numbers;
    if (!numbers.enabled) for (const member of this.#members) this.#return(member);
  }

  /** An instance answered, after so many milliseconds; NaN where the time says nothing about the instance. */
  succeed(record: OutlierRecord, latencyMs: number): void {
    if (!this.#numbers.enabled) return;
    record.calls++;
    record.failuresInRow = 0;
    record.gatewayFailuresInRow = 0;
    if (this.#numbers.latencyFactor > 0 && latencyMs > 0) {
      record.timed++;
      record.logLatency += Math.log(latencyMs);
    }
    if (this.#sweepTimer === null) this.#awaitSweep();
  }

  /** An instance failed: by a status, or, as seen from a gateway, by not answering as a server should. */
  fail(record: OutlierRecord, isGatewayFailure: boolean): void {
    const { enabled, consecutive5xx, consecutiveGatewayFailure } = this.#numbers;
    if (!enabled) return;
    record.calls++;
    record.failures++;
    record.failuresInRow++;
    record.gatewayFailuresInRow = isGatewayFailure ? record.gatewayFailuresInRow + 1 : 0;
    if (this.#sweepTimer === null) this.#awaitSweep();
    if (consecutive5xx > 0 && record.failuresInRow >= consecutive5xx) {
      this.#judgeFailures(record, 'consecutive5xx', 1, `${record.failuresInRow} failures in a row`);
    } else if (consecutiveGatewayFailure > 0 && record.gatewayFailuresInRow >= consecutiveGatewayFailure) {
      const detail = `${record.gatewayFailuresInRow} gateway failures in a row`;
      this.#judgeFailures(record, 'consecutiveGatewayFailure', 1, detail);
    }
  }

  /** An answer that had been counted as good broke off. It does not count as a call of its own. */
  spoil(record: OutlierRecord): void {
    if (this.#numbers.enabled) record.failures = Math.min(record.failures + 1, record.calls);
  }

  /** Another process has taken the instance's place, which shall not pay for what the old one did. */
  pardon(record: OutlierRecord): void {
    if (record.ejection === null) clearRecord(record);
    else this.#return(record);
  }

  /** The instance is gone. */
  forget(record: OutlierRecord): void {
    record.returnTimer?.cancel();
    this.#members = this.#members.filter((member) => member !== record);
  }

  stop(): void {
    this.#stopped = true;
    this.#sweepTimer?.cancel();
    for (const member of this.#members) member.returnTimer?.cancel();
  }

  #awaitSweep(): void {
    if (this.#stopped) return;
    this.#sweepTimer = this.#clock.setTimer(() => this.#sweep(), this.#numbers.intervalMs);
  }

  /** The window is over. Whoever is quiet and has nothing to make good needs no further one. */
  #sweep(): void {
    this.#sweepTimer = null;
    const busy = this.#members.some((member) => member.calls > 0 || member.count > 0);
    this.#compareFailures();
    if (this.#numbers.latencyFactor > 0) this.#compareLatencies();
    for (const member of this.#members) this.#turnWindow(member);
    if (busy) this.#awaitSweep();
  }

  #compareFailures(): void {
    const { failureShare, failureRequestVolume } = this.#numbers;
    if (failureShare <= 0) return;
    const suspects = this.#members
      .filter((member) => member.calls >= failureRequestVolume && shareOf(member) >= failureShare)
      .toSorted((a, b) => shareOf(b) - shareOf(a));
    for (const suspect of suspects) {
      const detail = `${suspect.failures} of ${suspect.calls} calls failed`;
      this.#judgeFailures(suspect, 'failurePercentage', shareOf(suspect), detail);
    }
  }

  /** Geometric means: a single answer that took a minute makes no outlier, nor do many quick ones hide that all are slow. */
  #compareLatencies(): void {
    const { latencyFactor, latencyRequestVolume, latencyMinimumMs } = this.#numbers;
    const measured = this.#members
      .filter((member) => member.ejection === null && member.timed >= latencyRequestVolume)
      .map((member) => ({ member, latencyMs: Math.exp(member.logLatency / member.timed) }))
      .toSorted((a, b) => b.latencyMs - a.latencyMs);
    for (const [index, { member, latencyMs }] of measured.entries()) {
      const peersMs = median(measured.toSpliced(index, 1).map((peer) => peer.latencyMs));
      if (peersMs === undefined || latencyMs < latencyMinimumMs || latencyMs <= peersMs * latencyFactor) return;
      this.#eject(member, 'latency', `${Math.round(latencyMs)} ms, its peers ${Math.round(peersMs)} ms`);
    }
  }

  /** An instance whose peers fail at least half as often is no outlier: what they have in common is at fault. */
  #judgeFailures(record: OutlierRecord, reason: EjectionReason, share: number, detail: string): void {
    let calls = 0;
    let failures = 0;
    for (const member of this.#members) {
      if (member === record || member.ejection !== null) continue;
      calls += member.calls + member.lastCalls;
      failures += member.failures + member.lastFailures;
    }
    if (failures >= (calls * share) / 2 && calls > 0) return;
    this.#eject(record, reason, detail);
  }

  #eject(record: OutlierRecord, reason: EjectionReason, detail: string): void {
    if (record.ejection !== null || !this.#mayEject(record)) return;
    const { baseEjectionMs, maxEjectionMs } = this.#numbers;
    record.count++;
    const durationMs = Math.min(baseEjectionMs * record.count, maxEjectionMs);
    record.ejection = { reason, detail, untilMs: this.#clock.now() + durationMs, count: record.count };
    record.returnTimer = this.#clock.setTimer(() => this.#return(record), durationMs);
    record.onChange(record.ejection);
  }

  #mayEject(record: OutlierRecord): boolean {
    const members = this.#members;
    if (this.#stopped || !members.includes(record)) return false;
    const share = this.#numbers.maxEjectionShare;
    const most = share === 0 ? 0 : Math.max(1, Math.floor(members.length * share));
    if (members.filter((member) => member.ejection !== null).length >= most) return false;
    return members.some((member) => member !== record && member.ejection === null && member.isWell());
  }

  /** It begins anew, but for the number of its ejections. */
  #return(record: OutlierRecord): void {
    if (record.ejection === null) return;
    record.returnTimer?.cancel();
    record.returnTimer = null;
    record.ejection = null;
    clearRecord(record);
    record.goodSinceMs = this.#clock.now();
    record.onChange(null);
  }

  #turnWindow(record: OutlierRecord): void {
    record.lastCalls = record.calls;
    record.lastFailures = record.failures;
    clearWindow(record);
    const nowMs = this.#clock.now();
    if (record.count === 0 || record.ejection !== null) return;
    if (nowMs - record.goodSinceMs < this.#numbers.intervalMs) return;
    record.count--;
    record.goodSinceMs = nowMs;
  }
}

function clearRecord(record: OutlierRecord): void {
  clearWindow(record);
  record.failuresInRow = 0;
  record.gatewayFailuresInRow = 0;
  record.lastCalls = 0;
  record.lastFailures = 0;
}

function clearWindow(record: OutlierRecord): void {
  record.calls = 0;
  record.failures = 0;
  record.timed = 0;
  record.logLatency = 0;
}

function shareOf(record: OutlierRecord): number {
  return record.calls === 0 ? 0 : record.failures / record.calls;
}

function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)];
  return middle % 1 === 0 && upper !== undefined ? ((sorted[middle - 1] ?? upper) + upper) / 2 : upper;
}
