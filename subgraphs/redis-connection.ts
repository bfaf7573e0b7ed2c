/** How Redis is reached: one server, Sentinels that know it, or a Cluster. The names are those of ioredis. */
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { Cluster, type ClusterOptions, type RedisOptions as IoredisOptions, Redis } from 'ioredis';
import Type from 'typebox';

const closed = { additionalProperties: false } as const;

const Address = Type.Object(
  { host: Type.String({ minLength: 1 }), port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })) },
  closed,
);

/** One of `url`, `nodes` and `sentinels`, and how to be let in. */
export const RedisOptions = Type.Object(
  {
    url: Type.Optional(
      Type.String({ pattern: '^rediss?://', description: 'One server: `redis://HOST:PORT/DB`, `rediss://` with TLS.' }),
    ),
    nodes: Type.Optional(
      Type.Array(Address, { minItems: 1, description: 'Redis Cluster: some of its nodes, `{ host, port }`.' }),
    ),
    sentinels: Type.Optional(
      Type.Array(Address, { minItems: 1, description: 'Redis Sentinel: the sentinels, `{ host, port }`.' }),
    ),
    name: Type.Optional(Type.String({ minLength: 1, description: 'For Sentinel: the name of the group of masters.' })),
    username: Type.Optional(Type.String({ description: 'User of the access control list.' })),
    password: Type.Optional(Type.String()),
    sentinelUsername: Type.Optional(Type.String({ description: 'User at the sentinels.' })),
    sentinelPassword: Type.Optional(Type.String()),
    db: Type.Optional(
      Type.Integer({ minimum: 0, default: 0, description: 'Number of the database; a Cluster has only 0.' }),
    ),
    tls: Type.Optional(
      Type.Union(
        [
          Type.Boolean(),
          Type.Object(
            {
              ca: Type.Optional(
                Type.String({
                  description: 'File with the certificates (PEM) to trust instead of the well-known ones.',
                }),
              ),
              cert: Type.Optional(Type.String({ description: 'File with the certificate (PEM) to show.' })),
              key: Type.Optional(Type.String({ description: 'File with the key of that certificate (PEM).' })),
              servername: Type.Optional(
                Type.String({ description: "Name that the server's certificate must have. Default: the host." }),
              ),
            },
            closed,
          ),
        ],
        { default: false, description: 'TLS: `true`, or `{ ca, cert, key, servername }`.' },
      ),
    ),
    keyPrefix: Type.Optional(
      Type.String({
        default: 'selvage:',
        pattern: '^[^{}\\s]{1,100}$',
        description: 'What all keys begin with. Gateways of one prefix share one registry.',
      }),
    ),
  },
  closed,
);
export type RedisOptions = Type.Static<typeof RedisOptions>;

/** How a connection behaves: the part of ioredis' options that has nothing to do with where Redis is. */
export type ConnectionBehaviour = Pick<
  IoredisOptions,
  | 'enableOfflineQueue'
  | 'autoResendUnfulfilledCommands'
  | 'enableAutoPipelining'
  | 'connectTimeout'
  | 'commandTimeout'
  | 'socketTimeout'
> & { readonly maxRetriesPerRequest?: number; readonly retryStrategy?: (attempt: number) => number };

export const defaultKeyPrefix = 'selvage:';

/** Connects in the background, for as long as it takes. */
export function connectRedis(options: RedisOptions, behaviour: ConnectionBehaviour): Redis | Cluster {
  const { url, nodes, sentinels, name, username, password, sentinelUsername, sentinelPassword, db, tls } = options;
  const access = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(db !== undefined && nodes === undefined && { db }),
    ...buildTls(tls),
  };
  const redis = create();
  // Without a listener ioredis prints each failed connection; who asks learns of it from the failed command.
  redis.on('error', () => {});
  return redis;

  function create(): Redis | Cluster {
    if (nodes !== undefined) {
      const { retryStrategy: _, enableOfflineQueue, ...redisOptions } = { ...behaviour, ...access };
      const cluster = {
        redisOptions,
        // With TLS the names must stay, because the certificates are about them.
        ...(access.tls !== undefined && { dnsLookup: keepName }),
        enableOfflineQueue: enableOfflineQueue ?? true,
        enableAutoPipelining: behaviour.enableAutoPipelining === true,
        slotsRefreshTimeout: 2_000,
        clusterRetryStrategy: retryDelayMs,
      } satisfies ClusterOptions;
      return new Cluster(
        nodes.map(({ host, port = 6_379 }) => ({ host, port })),
        cluster,
      );
    }
    if (sentinels !== undefined) {
      return new Redis({
        ...behaviour,
        ...access,
        sentinels: sentinels.map(({ host, port = 26_379 }) => ({ host, port })),
        ...(name !== undefined && { name }),
        ...(sentinelUsername !== undefined && { sentinelUsername }),
        ...(sentinelPassword !== undefined && { sentinelPassword }),
        sentinelRetryStrategy: retryDelayMs,
        ...(access.tls !== undefined && { enableTLSForSentinelMode: true, sentinelTLS: access.tls }),
      });
    }
    return new Redis(url ?? 'redis://127.0.0.1:6379', { ...behaviour, ...access });
  }
}

/** Soon at first; never so rarely that a Redis that is back would be noticed late. */
export function retryDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 10), 1_000);
}

function keepName(host: string, callback: (error: null, address: string) => void): void {
  callback(null, host);
}

function buildTls(tls: RedisOptions['tls']): { tls?: ConnectionOptions } {
  if (tls === undefined || tls === false) return {};
  if (tls === true) return { tls: {} };
  const { ca, cert, key, servername } = tls;
  return {
    tls: {
      ...(ca !== undefined && { ca: readFileSync(ca) }),
      ...(cert !== undefined && { cert: readFileSync(cert) }),
      ...(key !== undefined && { key: readFileSync(key) }),
      ...(servername !== undefined && { servername }),
    },
  };
}

/** What contradicts itself in options that fit the schema. */
export function findRedisMistakes(options: RedisOptions): string[] {
  const { url, nodes, sentinels, name, db } = options;
  const ways = [url, nodes, sentinels].filter((way) => way !== undefined);
  return [
    ...(ways.length === 1 ? [] : ['expected one of `url`, `nodes` (Cluster) and `sentinels`']),
    ...((sentinels === undefined) === (name === undefined) ? [] : ['`sentinels` and `name` belong together']),
    ...(nodes !== undefined && (db ?? 0) !== 0 ? ['a Cluster has only the database 0'] : []),
  ];
}
