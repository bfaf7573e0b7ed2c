/** Who may use the admin API. */
import Type from 'typebox';
import { serviceNamePattern } from '../subgraphs/service-definition.ts';

const closed = { additionalProperties: false } as const;

export const AdminToken = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      description: 'Who holds the token: the author in the audit log.',
    }),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the token, in lower-case hex.' }),
    role: Type.Union([Type.Literal('admin'), Type.Literal('team'), Type.Literal('viewer')], {
      description: '`admin` may do everything, `team` may change the services it names, `viewer` may only look.',
    }),
    services: Type.Optional(
      Type.Array(Type.String({ pattern: serviceNamePattern }), {
        description: 'For `team`: the services it may change.',
      }),
    ),
  },
  closed,
);
export type AdminToken = Type.Static<typeof AdminToken>;
