/** Demo service: what people think of products. A federated subgraph that extends types of two others. */
import { buildSubgraphSchema } from '@apollo/subgraph';
import DataLoader from 'dataloader';
import { GraphQLError, type GraphQLSchema, parse } from 'graphql';
import { type DemoService, runDemoService } from './demo-service.ts';
import { createGraphqlListener, type DemoContext } from './graphql-listener.ts';

/**
 * The username of an author is shared rather than `@external` with `@provides`: an external field composes only when the
 * service that owns it is there, and the demo must start in any order.
 */
export const reviewsSdl = /* GraphQL */ `
  extend schema
    @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable", "@authenticated"])

  type Query {
    latestReviews(first: Int = 5): [Review!]
    review(id: ID!): Review
    "The instance that answered: ask again to see the load balancer at work."
    reviewsInstance: String
  }

  type Mutation {
    "Kept by the instance that takes it, because the demo has no database. Needs a token."
    addReview(upc: String!, rating: Int!, body: String!): Review @authenticated
  }

  type Review @key(fields: "id") {
    id: ID!
    body: String!
    "From 1 to 5."
    rating: Int!
    author: User
    product: Product
  }

  type User @key(fields: "id") {
    id: ID!
    "Two services know it, and either may be asked."
    username: String! @shareable
    reviews: [Review!]
  }

  type Product @key(fields: "upc") {
    upc: String!
    reviews(first: Int): [Review!]
    averageRating: Float
  }
`;

interface Review {
  readonly id: string;
  readonly authorId: string;
  readonly upc: string;
  readonly rating: number;
  readonly body: string;
}

/** The oldest first. */
const initialReviews: readonly Review[] = [
  { id: 'r1', authorId: 'ada', upc: '1', rating: 5, body: 'Carries an analytical engine.' },
  { id: 'r2', authorId: 'alan', upc: '1', rating: 4, body: 'Decidable: it is a table.' },
  { id: 'r3', authorId: 'barbara', upc: '3', rating: 5, body: 'Any chair can be replaced by it.' },
  { id: 'r4', authorId: 'edsger', upc: '2', rating: 2, body: 'Considered harmful to backs.' },
  { id: 'r5', authorId: 'grace', upc: '4', rating: 5, body: 'Boils in under a nanosecond. Nearly.' },
  { id: 'r6', authorId: 'margaret', upc: '8', rating: 5, body: 'Would fly it to the moon.' },
  { id: 'r7', authorId: 'ada', upc: '4', rating: 4, body: 'Composes well with tea.' },
  { id: 'r8', authorId: 'alan', upc: '5', rating: 3, body: 'Halts. Eventually.' },
  { id: 'r9', authorId: 'grace', upc: '7', rating: 4, body: 'Good against moths in relays.' },
  { id: 'r10', authorId: 'edsger', upc: '9', rating: 5, body: 'Goes straight to the point.' },
  { id: 'r11', authorId: 'margaret', upc: '6', rating: 4, body: 'Sharp under every priority.' },
  { id: 'r12', authorId: 'barbara', upc: '2', rating: 4, body: 'Comfort by abstraction.' },
];

/** The executable schema of one instance. */
export function buildReviewsSchema(instance: string): GraphQLSchema {
  const reviews = [...initialReviews];
  const findReview = ({ id }: { readonly id: string }): Review | null => {
    const review = reviews.find((candidate) => candidate.id === id);
    return review === undefined ? null : { ...review };
  };
  // As with a database behind: fifty products in one `_entities` request are one look-up, not fifty, or a hundred with
  // their ratings. A loader lives as long as its request, so that nobody sees what somebody else's request read.
  const loaders = new WeakMap<DemoContext, DataLoader<string, readonly Review[]>>();
  const ofProduct = (upc: string, context: DemoContext): Promise<readonly Review[]> => {
    let loader = loaders.get(context);
    if (loader === undefined) {
      loader = new DataLoader(async (upcs) => readByProduct(reviews, upcs));
      loaders.set(context, loader);
    }
    return loader.load(upc);
  };
  const addReview = (_: unknown, args: Omit<Review, 'id' | 'authorId'>, { userId }: DemoContext): Review => {
    if (userId === undefined) throw new GraphQLError('A review needs an author.');
    if (args.rating < 1 || args.rating > 5) throw new GraphQLError('A rating goes from 1 to 5.');
    // Told apart by instance, since each counts for itself.
    const review = { ...args, id: `${instance}-${reviews.length + 1}`, authorId: userId };
    reviews.push(review);
    return review;
  };
  return buildSubgraphSchema([
    {
      typeDefs: parse(reviewsSdl),
      resolvers: {
        Query: {
          latestReviews: (_: unknown, { first }: { first: number }) =>
            reviews.toReversed().slice(0, Math.max(0, first)),
          review: (_: unknown, args: { id: string }) => findReview(args),
          reviewsInstance: () => instance,
        },
        Mutation: { addReview },
        Review: {
          __resolveReference: findReview,
          author: ({ authorId }: Review) => ({ id: authorId }),
          product: ({ upc }: Review) => ({ upc }),
        },
        User: {
          username: ({ id }: { id: string }) => `@${id}`,
          reviews: ({ id }: { id: string }) => reviews.filter(({ authorId }) => authorId === id),
        },
        Product: {
          reviews: async ({ upc }: { upc: string }, { first }: { first?: number | null }, context: DemoContext) =>
            (await ofProduct(upc, context)).slice(0, Math.max(0, first ?? reviews.length)),
          async averageRating({ upc }: { upc: string }, _: unknown, context: DemoContext) {
            const ratings = (await ofProduct(upc, context)).map(({ rating }) => rating);
            return ratings.length === 0 ? null : ratings.reduce((sum, rating) => sum + rating, 0) / ratings.length;
          },
        },
      },
    },
  ]);
}

/** One pass over all reviews for any number of products, in the order asked. */
function readByProduct(reviews: readonly Review[], upcs: readonly string[]): (readonly Review[])[] {
  const byProduct = Map.groupBy(reviews, ({ upc }) => upc);
  return upcs.map((upc) => byProduct.get(upc) ?? []);
}

/** The service. */
export const reviews: DemoService = {
  name: 'reviews',
  definition: { graphql: { path: '/graphql' }, health: { path: '/health', interval: '2s' } },
  createListener: (instance) => createGraphqlListener(buildReviewsSchema(instance)),
};

if (import.meta.main) await runDemoService(reviews);
