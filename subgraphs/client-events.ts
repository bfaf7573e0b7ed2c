/** What the client library tells the service. */
import type { ErrorReason } from '../policies/errors.ts';

/** What happened at one gateway. */
export type LinkEvent =
  /** The gateway knows the instance. Not told again for every heartbeat. */
  | { readonly type: 'registered'; readonly admin: string }
  /**
   * The gateway said no, by its status: the schema does not compose (yet), the token is wrong, the gateway is ill. After
   * `update` the service stays registered as it was before.
   */
  | {
      readonly type: 'refused';
      readonly admin: string;
      readonly status: number;
      readonly message: string;
      readonly reasons: readonly ErrorReason[];
      readonly attempt: number;
      readonly retryInMs: number;
    }
  /** The gateway has taken what `update` of the registration changed. */
  | { readonly type: 'updated'; readonly admin: string }
  /** The gateway could not be asked. */
  | {
      readonly type: 'unreachable';
      readonly admin: string;
      readonly cause: unknown;
      readonly attempt: number;
      readonly retryInMs: number;
    }
  /** The gateway does not know the service any more; it is registered again. */
  | { readonly type: 'forgotten'; readonly admin: string }
  | { readonly type: 'draining'; readonly admin: string }
  /** `confirmed` is false when the gateway could not be told; then the lease ends it. */
  | { readonly type: 'deregistered'; readonly admin: string; readonly confirmed: boolean };

export type ClientEvent = LinkEvent & { readonly service: string; readonly instance: string };

/** For services that do not listen: a refused schema must not stay unnoticed. Once per series of failures. */
export function warnAboutTrouble(event: ClientEvent): void {
  if ((event.type !== 'refused' && event.type !== 'unreachable') || event.attempt > 1) return;
  process.emitWarning(describeTrouble(event), { type: 'SelvageWarning', code: `SELVAGE_${event.type.toUpperCase()}` });
}

/** `admin` comes out of the environment as a rule, and it being empty must not stay unnoticed either. */
export function warnAboutNoGateway(service: string): void {
  const message = `${service}: no gateway is named, so it registers nowhere`;
  process.emitWarning(message, { type: 'SelvageWarning', code: 'SELVAGE_NO_GATEWAY' });
}

function describeTrouble(event: ClientEvent & { readonly type: 'refused' | 'unreachable' }): string {
  const where = `${event.service}/${event.instance} at ${event.admin}`;
  if (event.type === 'unreachable') return `${where}: the gateway cannot be reached; trying on`;
  return `${where}: registration refused (${event.status}): ${event.message}; trying on${formatReasons(event.reasons)}`;
}

/** Reasons as lines below what they explain. */
export function formatReasons(reasons: readonly ErrorReason[]): string {
  return reasons
    .map(({ path, message }) => `\n  ${typeof path === 'string' && path !== '' ? `${path}: ` : ''}${message}`)
    .join('');
}
