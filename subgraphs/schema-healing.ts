/**
 * Asks in the background for schemas that are missing, until they are there: a gateway starts with every service down,
 * and heals by itself.
 */
import type { Clock, Timer } from './clock.ts';
import type { Log } from './log.ts';
import type { AskedSchema } from './schema-asking.ts';
import { findUnknownVersions } from './service-versions.ts';
import type { Service, Snapshot } from './snapshot.ts';

/** A schema that was found, and the service as it was when it was asked. */
export interface SchemaNews {
  readonly service: Service;
  /** What was answered, by version. */
  readonly found: readonly AskedSchema[];
}

export interface SchemaHealingOptions {
  readonly ask: (service: Service, attempt: number) => Promise<SchemaNews>;
  /** Takes what was found into the registry. */
  readonly apply: (news: readonly SchemaNews[]) => Promise<void>;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly log: Log;
}

export interface SchemaHealing extends Disposable {
  /** Begins, and asks the services named here once although their schema is known. */
  start(snapshot: Snapshot, unverified: ReadonlySet<string>): void;
  /** Sees who is still in need after a change. */
  follow(snapshot: Snapshot): void;
  /** Resolves when nobody is being asked, and everything found is applied. */
  idle(): Promise<void>;
}

const firstDelayMs = 1_000;
const longestDelayMs = 10_000;
/** News that come close together are tried together: schemas of one graph often compose only with each other. */
const settleMs = 100;

interface Patient {
  service: Service;
  /** Endpoint and instances: when they change, the waiting begins anew. */
  situation: string;
  attempt: number;
  nextAtMs: number;
  asking: boolean;
}

export function createSchemaHealing({ ask, apply, clock, random, log }: SchemaHealingOptions): SchemaHealing {
  const patients = new Map<string, Patient>();
  let unverified = new Set<string>();
  let news: SchemaNews[] = [];
  let outstanding = 0;
  let applying = 0;
  let timer: Timer | null = null;
  let settleTimer: Timer | null = null;
  let idle = Promise.withResolvers<void>();
  let started = false;
  let disposed = false;

  function follow(snapshot: Snapshot, delayMs = firstDelayMs): void {
    if (!started || disposed) return;
    const inNeed = snapshot.services.filter((service) => isInNeed(service, unverified));
    const names = new Set(inNeed.map((service) => service.name));
    for (const name of patients.keys()) if (!names.has(name)) patients.delete(name);
    for (const service of inNeed) {
      const situation = describeSituation(service);
      const patient = patients.get(service.name);
      if (patient !== undefined) patient.service = service;
      if (patient?.situation === situation) continue;
      const fresh = { service, situation, attempt: 0, nextAtMs: clock.now() + delayMs, asking: false };
      patients.set(service.name, fresh);
    }
    arm();
  }

  function arm(): void {
    timer?.cancel();
    timer = null;
    const waiting = [...patients.values()].filter((patient) => !patient.asking);
    if (waiting.length === 0 || disposed) return;
    const next = Math.min(...waiting.map((patient) => patient.nextAtMs));
    timer = clock.setTimer(askDue, Math.max(0, next - clock.now()));
  }

  function askDue(): void {
    const now = clock.now();
    for (const patient of patients.values()) {
      if (!patient.asking && patient.nextAtMs <= now) void askOne(patient);
    }
    arm();
  }

  async function askOne(patient: Patient): Promise<void> {
    const { name } = patient.service;
    patient.asking = true;
    outstanding++;
    try {
      news.push(await ask(patient.service, patient.attempt));
      unverified.delete(name);
    } catch (error) {
      log.info('the schema cannot be asked for yet', { error, service: name, attempt: patient.attempt });
    }
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** patient.attempt);
    patient.attempt++;
    patient.nextAtMs = clock.now() + delayMs * (0.75 + 0.25 * random());
    patient.asking = false;
    outstanding--;
    if (outstanding === 0) void applyNews();
    else if (news.length > 0) settleTimer ??= clock.setTimer(() => void applyNews(), settleMs);
    arm();
  }

  async function applyNews(): Promise<void> {
    settleTimer?.cancel();
    settleTimer = null;
    const found = news;
    news = [];
    applying++;
    try {
      if (found.length > 0 && !disposed) await apply(found);
    } catch (error) {
      log.error('schemas that were found cannot be taken in', { error });
      for (const { service } of found) unverified.add(service.name); // to be asked again
    }
    applying--;
    if (!isIdle()) return;
    idle.resolve();
    idle = Promise.withResolvers();
  }

  function isIdle(): boolean {
    return outstanding === 0 && applying === 0 && news.length === 0;
  }

  return {
    start(snapshot, names) {
      started = true;
      unverified = new Set(names);
      follow(snapshot, 0);
      // Not by the timer: whoever starts waits for the first answers.
      askDue();
    },
    follow: (snapshot) => follow(snapshot),
    idle: () => (isIdle() ? Promise.resolve() : idle.promise),
    [Symbol.dispose]() {
      disposed = true;
      timer?.cancel();
      settleTimer?.cancel();
      patients.clear();
    },
  };
}

function isInNeed(service: Service, unverified: ReadonlySet<string>): boolean {
  const endpoint = service.definition.graphql;
  if (endpoint === undefined || endpoint.schema !== undefined) return false;
  const { schema, quarantine, rejected, name } = service;
  if (rejected?.held === true) return false;
  const isSuspect = schema === null || quarantine !== null || rejected !== undefined || unverified.has(name);
  return (
    (isSuspect || findUnknownVersions(service).size > 0) && service.instances.some((instance) => !instance.draining)
  );
}

function describeSituation({ definition, instances }: Service): string {
  const { path, kind } = definition.graphql ?? {};
  return JSON.stringify([path, kind, instances.map(({ id, url, version }) => [id, url, version])]);
}
