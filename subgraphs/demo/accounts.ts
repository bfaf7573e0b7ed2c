/** Demo service: the people. A federated subgraph. */
import { buildSubgraphSchema } from '@apollo/subgraph';
import { type GraphQLSchema, parse } from 'graphql';
import { type DemoService, runDemoService } from './demo-service.ts';
import { createGraphqlListener, type DemoContext } from './graphql-listener.ts';

/**
 * In all demo schemas, a field that needs another service is nullable, and so are root fields: with a service down, the
 * rest of an answer is still one.
 */
export const accountsSdl = /* GraphQL */ `
  extend schema
    @link(
      url: "https://specs.apollo.dev/federation/v2.5"
      import: ["@key", "@shareable", "@authenticated", "@requiresScopes"]
    )

  type Query {
    "Who asks, by the token. Needs one."
    me: User @authenticated
    user(id: ID!): User
    users: [User!]
    "The instance that answered: ask again to see the load balancer at work."
    accountsInstance: String
  }

  type User @key(fields: "id") {
    id: ID!
    name: String!
    "Two services know it, and either may be asked."
    username: String! @shareable
    "For viewers with the scope profile:read only."
    email: String @requiresScopes(scopes: [["profile:read"]])
    memberSince: String!
  }
`;

interface User {
  readonly id: string;
  readonly name: string;
  readonly username: string;
  readonly email: string;
  readonly memberSince: string;
}

const users: readonly User[] = [
  { id: 'ada', name: 'Ada Lovelace', username: '@ada', email: 'ada@example.com', memberSince: '2019-12-10' },
  { id: 'alan', name: 'Alan Turing', username: '@alan', email: 'alan@example.com', memberSince: '2020-06-23' },
  {
    id: 'barbara',
    name: 'Barbara Liskov',
    username: '@barbara',
    email: 'barbara@example.com',
    memberSince: '2021-11-07',
  },
  {
    id: 'edsger',
    name: 'Edsger Dijkstra',
    username: '@edsger',
    email: 'edsger@example.com',
    memberSince: '2022-05-11',
  },
  { id: 'grace', name: 'Grace Hopper', username: '@grace', email: 'grace@example.com', memberSince: '2023-12-09' },
  {
    id: 'margaret',
    name: 'Margaret Hamilton',
    username: '@margaret',
    email: 'margaret@example.com',
    memberSince: '2024-08-17',
  },
];

/** The executable schema of one instance. */
export function buildAccountsSchema(instance: string): GraphQLSchema {
  const findUser = ({ id }: { readonly id: string }): User | null => {
    const user = users.find((candidate) => candidate.id === id);
    return user === undefined ? null : { ...user };
  };
  return buildSubgraphSchema([
    {
      typeDefs: parse(accountsSdl),
      resolvers: {
        Query: {
          me: (_: unknown, __: unknown, { userId }: DemoContext) =>
            userId === undefined ? null : findUser({ id: userId }),
          user: (_: unknown, args: { id: string }) => findUser(args),
          users: () => users,
          accountsInstance: () => instance,
        },
        User: { __resolveReference: findUser },
      },
    },
  ]);
}

/** The service. */
export const accounts: DemoService = {
  name: 'accounts',
  definition: { graphql: { path: '/graphql' }, health: { path: '/health', interval: '2s' } },
  createListener: (instance) => createGraphqlListener(buildAccountsSchema(instance)),
};

if (import.meta.main) await runDemoService(accounts);
