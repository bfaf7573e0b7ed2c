/**
 * Instances out of etcd v3, by its JSON gateway, so that no gRPC library is needed. Each key under the prefix of the
 * service is one instance; a key that hangs on a lease of etcd is gone with it. The watch says when to look, a read of the
 * whole prefix says what there is.
 */
import Type from 'typebox';
import { createAnswerParser } from './answer-parser.ts';
import { type ControlPlane, PlaneStatusError } from './control-plane.ts';
import { createDelayedLook } from './delayed-look.ts';
import type { DiscoveryOptions } from './discovery-options.ts';
import {
  buildInstanceId,
  type DiscoveredInstance,
  DiscoveryError,
  maxDiscoveredInstances,
  parseWeight,
  type Watch,
  type WatchSession,
} from './provider.ts';
import type { EtcdLookup } from './service-discovery.ts';

/** 64-bit numbers are text in the JSON of protocol buffers. What is 0 or false is left out. */
const Int64 = Type.String({ pattern: '^\\d{1,20}$' });

const parseRange = createAnswerParser(
  'etcd',
  Type.Object({
    header: Type.Object({ revision: Int64 }),
    more: Type.Optional(Type.Boolean()),
    kvs: Type.Optional(
      Type.Array(Type.Object({ key: Type.String(), value: Type.Optional(Type.String()) }), {
        maxItems: maxDiscoveredInstances,
      }),
    ),
  }),
);
const parseWatch = createAnswerParser(
  'etcd',
  Type.Object({
    error: Type.Optional(Type.Object({ message: Type.Optional(Type.String()) })),
    result: Type.Optional(
      Type.Object({
        canceled: Type.Optional(Type.Boolean()),
        events: Type.Optional(Type.Array(Type.Unknown())),
      }),
    ),
  }),
);
const parseToken = createAnswerParser('etcd', Type.Object({ token: Type.String({ minLength: 1 }) }));

const resyncMs = 60_000;

export function createEtcdWatch(
  planes: readonly ControlPlane[],
  options: NonNullable<DiscoveryOptions['etcd']>,
  lookup: EtcdLookup,
  serviceName: string,
): Watch {
  const prefix = `${options.prefix ?? '/selvage/'}${lookup.service ?? serviceName}/`;
  let turn = 0;
  return async (session) => {
    const plane = planes[turn++ % planes.length];
    if (plane === undefined) throw new DiscoveryError('etcd has no URL');
    while (!session.signal.aborted) {
      // Tokens of etcd live minutes; one per round is always fresh.
      const headers = await authenticate(plane, options, session.signal);
      await followPrefix(plane, prefix, headers, session);
      await session.sleep(250);
    }
  };
}

async function followPrefix(
  plane: ControlPlane,
  prefix: string,
  headers: Readonly<Record<string, string>>,
  { signal, report }: WatchSession,
): Promise<void> {
  const range = { key: encode(prefix), range_end: encode(endOf(prefix)) };
  const first = Promise.withResolvers<string>();
  const looking = createDelayedLook(signal, async () => {
    const body = { ...range, limit: maxDiscoveredInstances };
    const answer = parseRange((await plane.ask({ path: '/v3/kv/range', body, headers, signal })).body);
    if (answer.more === true) throw new DiscoveryError(`etcd has more than ${maxDiscoveredInstances} keys there`);
    report(
      (answer.kvs ?? []).map(({ key, value = '' }) => buildInstance(decode(key).slice(prefix.length), decode(value))),
    );
    first.resolve(answer.header.revision);
  });
  await looking.run(async (stop) => {
    stop.addEventListener('abort', () => first.reject(stop.reason), { once: true });
    // From the revision that was read, so that nothing falls between the two.
    const revision = BigInt(await first.promise) + 1n;
    const body = { create_request: { ...range, start_revision: String(revision) } };
    for await (const value of plane.stream({ path: '/v3/watch', body, headers, signal: stop, timeoutMs: resyncMs })) {
      const { error, result } = parseWatch(value);
      if (error !== undefined) throw new DiscoveryError('etcd ended the watch with an error');
      if (result?.canceled === true) return; // compacted, or no longer allowed: the next round finds out
      if ((result?.events ?? []).length > 0) looking.request();
    }
  });
}

async function authenticate(
  plane: ControlPlane,
  { username, password }: NonNullable<DiscoveryOptions['etcd']>,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  if (username === undefined) return {};
  try {
    const body = { name: username, password: password ?? '' };
    const answer = await plane.ask({ path: '/v3/auth/authenticate', body, signal });
    return { authorization: parseToken(answer.body).token };
  } catch (error) {
    // etcd answers 400 to a wrong password.
    if (error instanceof PlaneStatusError && error.status === 400)
      throw new DiscoveryError('etcd refused user and password');
    throw error;
  }
}

/**
 * The value of a key: a URL, or an object with `url`, `weight`, `zone` and `version`. What is neither is refused later,
 * with the id of the instance.
 */
function buildInstance(name: string, value: string): DiscoveredInstance {
  const id = buildInstanceId(name);
  if (!value.trimStart().startsWith('{')) return { id, url: value.trim() };
  try {
    const { url, weight, zone, version } = JSON.parse(value) as Record<string, unknown>;
    return { id, url: textOf(url) ?? '', weight: parseWeight(weight), zone: textOf(zone), version: textOf(version) };
  } catch {
    return { id, url: '' };
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString();
}

/** The key behind all that begin with the prefix. It ends with a slash, so the next letter does. */
function endOf(prefix: string): string {
  return `${prefix.slice(0, -1)}0`;
}
