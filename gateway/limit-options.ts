/** Bounds on what clients and services may send. */
import Type from 'typebox';
import { Duration, Size } from '../policies/units.ts';
import { MaxUpgrades } from '../policies/upgrade-options.ts';
import { clientLimitProperties } from './client-limits.ts';

const closed = { additionalProperties: false } as const;

export const LimitOptions = Type.Object(
  {
    maxBodySize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '10mb', description: 'Largest body of a REST request.' }),
    ),
    maxGraphqlBodySize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '1mb', description: 'Largest body of a GraphQL request.' }),
    ),
    maxSubgraphResponseSize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '64mb', description: 'Largest answer of a GraphQL service.' }),
    ),
    maxHeaderSize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '16kb', description: 'Request line and headers together.' }),
    ),
    headersTimeout: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '10s', description: 'Time to send the head of a request.' }),
    ),
    ...clientLimitProperties,
    bodyIdleTimeout: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '60s',
        description: 'Time in which a service moves no byte of a body. Not for answers of type `text/event-stream`.',
      }),
    ),
    maxUpgrades: Type.Optional(MaxUpgrades),
  },
  { ...closed, description: 'Bounds on what clients and services may send.' },
);
