/**
 * Sessions at one service: a cookie brings a client back to the instance that answered it first. The cookie is the HMAC
 * of the instance's name, so it can neither be made up nor read, and checking it is one look into a map.
 *
 * At the REST door only. One answer of the GraphQL door is made of calls to many services, some of them shared with
 * other requests, and no single cookie could speak for it; `consistent-hash` does the same there without one.
 */
import { createHmac } from 'node:crypto';
import { parseDurationMs } from '../policies/units.ts';
import { type BalancingSubject, readCookie } from './balancing-key.ts';
import type { StickyOptions } from './load-balancing-options.ts';

/** What a session is tied to. */
export interface SessionHolder {
  /** Names this one copy of the service, and no other. */
  readonly key: string;
}

export interface StickySessionsOptions {
  readonly service: string;
  readonly options: StickyOptions;
  /** The first one signs; all are believed. */
  readonly secrets: readonly string[];
}

export class StickySessions<T extends SessionHolder> {
  readonly #service: string;
  readonly #options: StickyOptions;
  readonly #secrets: readonly string[];
  readonly #cookie: string;
  readonly #holders = new Map<string, T>();
  readonly #tokens = new Map<T, string>();

  constructor({ service, options, secrets }: StickySessionsOptions, holders: readonly T[]) {
    this.#service = service;
    this.#options = options;
    this.#secrets = secrets;
    this.#cookie = options.cookie ?? `selvage-${service}`;
    for (const holder of holders) this.#add(holder);
  }

  /** The instance of a client's session; undefined without one, and when the cookie is forged or its instance gone. */
  find(subject: BalancingSubject): T | undefined {
    const token = readCookie(subject.headers.cookie, this.#cookie);
    return token === undefined ? undefined : this.#holders.get(token);
  }

  /** The value of Set-Cookie with which an answer of `holder` goes out; null when the client has it already. */
  cookieFor(holder: T, subject: BalancingSubject): string | null {
    const token = this.#tokens.get(holder);
    // It has left the registry since it was chosen: nobody could be brought back to it.
    if (token === undefined || readCookie(subject.headers.cookie, this.#cookie) === token) return null;
    const {
      maxAge,
      sameSite = 'lax',
      secure = subject.client.protocol === 'https' || sameSite === 'none',
    } = this.#options;
    const parts = [`${this.#cookie}=${token}`, 'Path=/', 'HttpOnly'];
    if (maxAge !== undefined) parts.push(`Max-Age=${Math.ceil(parseDurationMs(maxAge) / 1_000)}`);
    if (secure) parts.push('Secure');
    parts.push(`SameSite=${sameSite[0]?.toUpperCase()}${sameSite.slice(1)}`);
    return parts.join('; ');
  }

  #add(holder: T): void {
    for (const [index, secret] of this.#secrets.entries()) {
      const token = createHmac('sha256', secret)
        .update(JSON.stringify([this.#service, holder.key]))
        .digest('base64url');
      this.#holders.set(token, holder);
      if (index === 0) this.#tokens.set(holder, token);
    }
  }
}
