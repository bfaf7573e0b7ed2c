/** Mutations over several services: one after the other, in the order in which they are written. */
import { conformance, link, type Subgraphs } from './fixture.ts';

/** Every run gets a log of its own: resolvers see the one of the latest `reset`. */
function createServices(): Subgraphs {
  const log: string[] = [];
  const write = async (entry: string) => {
    // Whoever runs two at once gets them in the wrong order.
    await new Promise((resolve) => setTimeout(resolve, log.length === 0 ? 20 : 0));
    log.push(entry);
    return log.join();
  };
  return {
    a: {
      sdl: `${link('2.3', '@key')} type Query { log: String }
        type Mutation { resetA: Int writeA(entry: String!): String makeA: Thing! failA: Thing }
        type Thing @key(fields: "id") { id: ID! a: String }`,
      resolvers: {
        Query: { log: () => log.join() },
        Mutation: {
          resetA: () => {
            log.length = 0;
            return 0;
          },
          writeA: (_, { entry }) => write(`a${entry}`),
          makeA: async () => ({ id: await write('made') }),
          failA: () => Promise.reject(new Error('no')),
        },
        Thing: { __resolveReference: (thing) => thing, a: ({ id }) => `a of ${id}` },
      },
    },
    b: {
      sdl: `${link('2.3', '@key')}
        type Mutation { writeB(entry: String!): String makeB(name: String): Thing }
        type Thing @key(fields: "id") { id: ID! b: String }`,
      resolvers: {
        Mutation: { writeB: (_, { entry }) => write(`b${entry}`), makeB: (_, { name }) => ({ id: name }) },
        Thing: { __resolveReference: (thing) => thing, b: ({ id }) => `b of ${id}` },
      },
    },
  };
}

conformance('mutations', createServices(), [
  {
    title: 'run in series over services',
    query:
      'mutation { resetA writeA(entry: "1") writeB(entry: "2") again: writeA(entry: "3") last: writeB(entry: "4") }',
    data: { resetA: 0, writeA: 'a1', writeB: 'a1,b2', again: 'a1,b2,a3', last: 'a1,b2,a3,b4' },
  },
  {
    title: 'run in series around a fragment and with variables',
    query: `mutation ($one: String!, $two: String! = "2") { resetA ...Rest writeA(entry: $two) } fragment Rest on Mutation { writeB(entry: $one) }`,
    variables: { one: '1' },
    data: { resetA: 0, writeB: 'b1', writeA: 'b1,a2' },
  },
  {
    title: 'give entities that other services complete',
    query: 'mutation { resetA makeA { id a b } makeB(name: "x") { a b } }',
    data: { resetA: 0, makeA: { id: 'made', a: 'a of made', b: 'b of made' }, makeB: { a: 'a of x', b: 'b of x' } },
  },
  {
    title: 'go on after one that failed',
    query: 'mutation { resetA failA { b } writeB(entry: "2") }',
    data: { resetA: 0, failA: null, writeB: 'b2' },
    errors: ['failA: DOWNSTREAM_SERVICE_ERROR'],
  },
]);
