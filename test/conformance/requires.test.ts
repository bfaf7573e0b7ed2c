/** `@requires`: fields that need values of other services before they can be resolved. */
import { conformance, link, type Subgraphs } from './fixture.ts';

const shipping: Subgraphs = {
  products: {
    sdl: `${link('2.3', '@key')}
      type Query { products: [Product!]! }
      type Product @key(fields: "upc") {
        upc: ID! price(currency: Currency = EUR): Int weight: Int size: Size tags(first: Int): [String!]
      }
      type Size { height: Int width: Int unit: String }
      enum Currency { EUR USD }`,
    resolvers: {
      Query: { products: () => [{ upc: '1' }, { upc: '2' }] },
      Product: {
        __resolveReference: (product) => product,
        price: ({ upc }, { currency }) => Number(upc) * (currency === 'USD' ? 110 : 100),
        weight: ({ upc }) => (upc === '2' ? null : 5),
        size: () => ({ height: 2, width: 3, unit: 'cm' }),
        tags: (_, { first }) => ['x', 'y', 'z'].slice(0, first),
      },
    },
  },
  shipping: {
    sdl: `${link('2.3', '@key', '@external', '@requires')}
      type Query { cheapest: Product }
      type Product @key(fields: "upc") {
        upc: ID!
        price(currency: Currency): Int @external
        weight: Int @external
        size: Size @external
        tags(first: Int): [String!] @external
        cost: String @requires(fields: "price(currency: USD) weight")
        box: String @requires(fields: "size { height width }")
        label(prefix: String!): String @requires(fields: "tags(first: 2) price(currency: EUR)")
        own: Int
      }
      type Size { height: Int @external width: Int @external }
      enum Currency { EUR USD }`,
    resolvers: {
      Query: { cheapest: () => ({ upc: '1' }) },
      Product: {
        __resolveReference: (product) => product,
        cost: ({ price, weight }) => `${price} for ${weight}`,
        box: ({ size }) => `${size.height}x${size.width}`,
        label: ({ tags, price }, { prefix }) => `${prefix}${tags.join('')}${price}`,
        own: () => 1,
      },
    },
  },
};

conformance('@requires', shipping, [
  {
    title: 'fetches what is needed although nobody asked for it',
    query: '{ products { cost box } }',
    data: {
      products: [
        { cost: '110 for 5', box: '2x3' },
        { cost: '220 for null', box: '2x3' },
      ],
    },
  },
  {
    title: 'fetches it for an entity that its own service gave',
    query: '{ cheapest { own cost } }',
    data: { cheapest: { own: 1, cost: '110 for 5' } },
  },
  {
    title: 'with arguments does not disturb the same field with others',
    query: '{ products { price cost usd: price(currency: USD) tags(first: 1) label(prefix: "#") } }',
    data: {
      products: [
        { price: 100, cost: '110 for 5', usd: 110, tags: ['x'], label: '#xy100' },
        { price: 200, cost: '220 for null', usd: 220, tags: ['x'], label: '#xy200' },
      ],
    },
  },
  {
    title: 'keeps its own arguments and variables',
    query: 'query ($p: String!, $q: String!) { products { a: label(prefix: $p) b: label(prefix: $q) } }',
    variables: { p: 'A', q: 'B' },
    data: {
      products: [
        { a: 'Axy100', b: 'Bxy100' },
        { a: 'Axy200', b: 'Bxy200' },
      ],
    },
  },
  {
    title: 'asks for nothing where the field is skipped',
    query: 'query ($no: Boolean!) { cheapest { own cost @include(if: $no) } }',
    variables: { no: false },
    data: { cheapest: { own: 1 } },
    notAsked: ['products'],
  },
]);

conformance(
  '@requires of fields that require others',
  {
    a: {
      sdl: `${link('2.3', '@key', '@external', '@requires')}
        type Query { thing: Thing }
        type Thing @key(fields: "id") {
          id: ID! a1: String b1: String @external a2: String @requires(fields: "b1")
          b3: String @external a4: String @requires(fields: "b3")
        }`,
      resolvers: {
        Query: { thing: () => ({ id: '1' }) },
        Thing: {
          __resolveReference: (thing) => thing,
          a1: () => 'a1',
          a2: ({ b1 }) => `a2(${b1})`,
          a4: ({ b3 }) => `a4(${b3})`,
        },
      },
    },
    b: {
      sdl: `${link('2.3', '@key', '@external', '@requires')}
        type Thing @key(fields: "id") {
          id: ID! a1: String @external b1: String @requires(fields: "a1")
          a2: String @external b3: String @requires(fields: "a2 c")
          c: String @external
        }`,
      resolvers: {
        Thing: {
          __resolveReference: (thing) => thing,
          b1: ({ a1 }) => `b1(${a1})`,
          b3: ({ a2, c }) => `b3(${a2} ${c})`,
        },
      },
    },
    c: {
      sdl: `${link('2.3', '@key')} type Thing @key(fields: "id") { id: ID! c: String }`,
      resolvers: { Thing: { __resolveReference: (thing) => thing, c: () => 'c' } },
    },
  },
  [
    {
      title: 'goes to and fro between two services as often as it takes',
      stitched: 'waits for ever: each of the two services waits for the other',
      query: '{ thing { a4 } }',
      data: { thing: { a4: 'a4(b3(a2(b1(a1)) c))' } },
    },
    {
      title: 'gives every step that was asked for',
      stitched: 'asks before the required value is there',
      query: '{ thing { b3 a1 a2 b1 } }',
      data: { thing: { b3: 'b3(a2(b1(a1)) c)', a1: 'a1', a2: 'a2(b1(a1))', b1: 'b1(a1)' } },
    },
    {
      title: 'stops where nothing needs more',
      query: '{ thing { b1 } }',
      data: { thing: { b1: 'b1(a1)' } },
      notAsked: ['c'],
    },
  ],
);

conformance(
  '@requires inside other entities and lists',
  {
    orders: {
      sdl: `${link('2.3', '@key')}
        type Query { order: Order }
        type Order @key(fields: "id") { id: ID! lines: [Line!]! customer: Customer }
        type Line { count: Int! product: Product! }
        type Product @key(fields: "upc") { upc: ID! }
        type Customer @key(fields: "id") { id: ID! }`,
      resolvers: {
        Query: { order: () => ({ id: 'o' }) },
        Order: {
          __resolveReference: (order) => order,
          lines: () => [
            { count: 2, product: { upc: 'p' } },
            { count: 3, product: { upc: 'q' } },
          ],
          customer: () => ({ id: 'c' }),
        },
      },
    },
    products: {
      sdl: `${link('2.3', '@key')} type Product @key(fields: "upc") { upc: ID! price: Int! }`,
      resolvers: {
        Product: { __resolveReference: (product) => product, price: ({ upc }) => (upc === 'p' ? 10 : 100) },
      },
    },
    customers: {
      sdl: `${link('2.3', '@key')} type Customer @key(fields: "id") { id: ID! discount: Int }`,
      resolvers: { Customer: { __resolveReference: (customer) => customer, discount: () => 5 } },
    },
    billing: {
      sdl: `${link('2.3', '@key', '@external', '@requires')}
        type Order @key(fields: "id") {
          id: ID! lines: [Line!]! @external customer: Customer @external
          total: Int @requires(fields: "lines { count product { price } } customer { discount }")
        }
        type Line { count: Int! @external product: Product! @external }
        type Product @key(fields: "upc") { upc: ID! price: Int! @external }
        type Customer @key(fields: "id") { id: ID! discount: Int @external }`,
      resolvers: {
        Order: {
          __resolveReference: (order) => order,
          total: ({ lines, customer }) =>
            lines.reduce(
              (sum: number, { count, product }: { count: number; product: { price: number } }) =>
                sum + count * product.price,
              0,
            ) - customer.discount,
        },
      },
    },
  },
  [
    {
      title: 'gathers them first',
      stitched: 'waits for ever for a field of an entity in a requirement',
      query: '{ order { total } }',
      data: { order: { total: 315 } },
    },
  ],
);

const media = [
  { __typename: 'Book', id: 'm1', title: 'Emma', author: { name: 'Jane' }, pages: 300 },
  { __typename: 'Film', id: 'm2', title: 'Metropolis', minutes: 150 },
];
const fragments: Subgraphs = {
  library: {
    sdl: `${link('2.3', '@key', '@shareable')}
      type Query { shelves: [Shelf!]! }
      type Shelf @key(fields: "id") { id: ID! medium: Medium any: Any }
      interface Medium { title: String! }
      interface Written implements Medium { title: String! author: Author }
      type Author @shareable { name: String }
      type Book implements Medium & Written @shareable { title: String! author: Author pages: Int }
      type Film implements Medium @shareable { title: String! minutes: Int }
      union Any = Book | Film`,
    resolvers: {
      Query: { shelves: () => [{ id: '0' }, { id: '1' }] },
      Shelf: {
        __resolveReference: (shelf) => shelf,
        medium: ({ id }) => media[id],
        any: ({ id }) => media[id],
      },
    },
  },
  labels: {
    sdl: `${link('2.3', '@key', '@shareable', '@external', '@requires')}
      type Query { shelf: Shelf }
      type Shelf @key(fields: "id") {
        id: ID! medium: Medium @external any: Any @external
        flat: String @requires(fields: "medium { title ... on Book { pages } ... on Film { minutes } }")
        nested: String @requires(fields: "medium { ... on Written { title author { name } ... on Book { pages } } }")
        same: String @requires(fields: "medium { ... on Medium { title } }")
        union: String @requires(fields: "any { ... on Medium { title ... on Film { minutes } } ... on Book { author { name } } }")
      }
      interface Medium { title: String! }
      interface Written implements Medium { title: String! author: Author }
      type Author @shareable { name: String }
      type Book implements Medium & Written @shareable { title: String! author: Author pages: Int }
      type Film implements Medium @shareable { title: String! minutes: Int }
      union Any = Book | Film`,
    resolvers: {
      Query: { shelf: () => ({ id: '0' }) },
      Shelf: {
        __resolveReference: (shelf) => shelf,
        flat: ({ medium }) => `${medium.title} ${medium.pages ?? ''}${medium.minutes ?? ''}`,
        nested: ({ medium }) => `${medium.title ?? '-'} ${medium.author?.name ?? '-'} ${medium.pages ?? '-'}`,
        same: ({ medium }) => medium.title,
        union: ({ any }) => `${any.title} ${any.minutes ?? '-'} ${any.author?.name ?? '-'}`,
      },
    },
  },
};

conformance('@requires with fragments', fragments, [
  {
    title: 'on the types of an interface',
    query: '{ shelves { flat } }',
    data: { shelves: [{ flat: 'Emma 300' }, { flat: 'Metropolis 150' }] },
  },
  {
    title: 'on an interface, with others inside',
    stitched: 'loses objects in a nested fragment',
    query: '{ shelves { nested } }',
    data: { shelves: [{ nested: 'Emma Jane 300' }, { nested: '- - -' }] },
  },
  {
    title: 'on the interface that it is in',
    query: '{ shelves { same } }',
    data: { shelves: [{ same: 'Emma' }, { same: 'Metropolis' }] },
  },
  {
    title: 'on an interface in a union',
    stitched: 'cannot read a union in a requirement',
    query: '{ shelves { union } }',
    data: { shelves: [{ union: 'Emma - Jane' }, { union: 'Metropolis 150 -' }] },
  },
  {
    title: 'all at once, for an entity that its own service gave',
    stitched: 'cannot read a union in a requirement',
    query: '{ shelf { flat nested same union } }',
    data: { shelf: { flat: 'Emma 300', nested: 'Emma Jane 300', same: 'Emma', union: 'Emma - Jane' } },
  },
]);
