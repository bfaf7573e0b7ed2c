/** Clients of the GraphQL door: one entity, one across services, lists, aliases, mutations. */
import { describeItem, offersOf } from './content.ts';
import { exchange } from './exchange.ts';
import type { Visit } from './rest-clients.ts';
import { judgeOperation } from './verdict.ts';
import { below, pickWeighted, Violation } from './world.ts';

interface Operation {
  readonly query: string;
  readonly variables: object;
  readonly expected: unknown;
}

/** One operation; a client that leaves does so at any moment. */
export async function visitGraph({ world, agent, id }: Visit, isLeaving: boolean): Promise<string> {
  const { query, variables, expected } = chooseOperation(world.random);
  let text = '';
  const ending = await exchange({
    url: `${world.url}/graphql`,
    agent,
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': id },
    body: JSON.stringify({ query, variables }),
    leaveAfterMs: isLeaving ? world.random() * 40 : undefined,
    onPiece(piece) {
      text += piece;
    },
  });
  if (ending.hasLeft) return 'left';
  // What it says is made before it is sent: no failure of a service can cut it.
  if (!ending.isComplete) throw new Violation(`GraphQL answer with status ${ending.status} broke off: ${ending.error}`);
  return judgeOperation(ending.status, text, expected);
}

function chooseOperation(random: () => number): Operation {
  const id = String(below(random, 500));
  const whole = { ...describeItem(id), offers: offersOf(id) };
  const count = 1 + below(random, 40);
  const from = below(random, 500);
  return pickWeighted<() => Operation>(random, [
    [
      3,
      () => ({
        query: 'query One($id: ID!) { item(id: $id) { id name price } }',
        variables: { id },
        expected: { item: describeItem(id) },
      }),
    ],
    [
      5,
      () => ({
        query: 'query Across($id: ID!) { item(id: $id) { id name price offers { id text } } }',
        variables: { id },
        expected: { item: whole },
      }),
    ],
    [
      3,
      () => ({
        query: 'query List($from: Int!, $count: Int!) { items(from: $from, count: $count) { id offers { text } } }',
        variables: { from, count },
        expected: {
          items: Array.from({ length: count }, (_, n) => ({
            id: String(from + n),
            offers: offersOf(String(from + n)).map(({ text }) => ({ text })),
          })),
        },
      }),
    ],
    [
      1,
      () => ({
        // No literals: plans of thousands of documents are kept, and would look like a leak.
        query: 'query Two($a: ID!, $b: ID!) { a: item(id: $a) { name } b: item(id: $b) { price offers { id } } }',
        variables: { a: id, b: String(from) },
        expected: {
          a: { name: whole.name },
          b: {
            price: describeItem(String(from)).price,
            offers: offersOf(String(from)).map(({ id: own }) => ({ id: own })),
          },
        },
      }),
    ],
    [
      2,
      () => ({
        query: 'mutation Bump($id: ID!) { bump(id: $id) { id name offers { id text } } }',
        variables: { id },
        expected: { bump: { id, name: whole.name, offers: whole.offers } },
      }),
    ],
  ])();
}
