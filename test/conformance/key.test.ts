/** `@key`: how the graph finds an entity of one service in another. */
import { conformance, link, type Subgraphs } from './fixture.ts';

const books = [
  { id: 'b1', isbn: '111', title: 'Emma', publisher: { country: 'GB', number: 7 } },
  { id: 'b2', isbn: '222', title: 'Effi Briest', publisher: { country: 'DE', number: 7 } },
];
const findBook = (reference: { id?: string; isbn?: string }) =>
  books.find(({ id, isbn }) => id === reference.id || isbn === reference.isbn) ?? null;

conformance(
  'an entity with several keys',
  {
    catalogue: {
      sdl: `${link('2.3', '@key')}
        type Query { books: [Book!]! }
        type Book @key(fields: "id") @key(fields: "isbn") { id: ID! isbn: String! title: String }`,
      resolvers: { Query: { books: () => books }, Book: { __resolveReference: findBook } },
    },
    stock: {
      sdl: `${link('2.3', '@key')}
        type Query { inStock: Book }
        type Book @key(fields: "isbn") { isbn: String! copies: Int }`,
      resolvers: {
        Query: { inStock: () => ({ isbn: '222' }) },
        Book: { __resolveReference: (book) => book, copies: ({ isbn }) => Number(isbn) },
      },
    },
    loans: {
      sdl: `${link('2.3', '@key')}
        type Query { borrowed: Book }
        type Book @key(fields: "id") { id: ID! borrower: String }`,
      resolvers: {
        Query: { borrowed: () => ({ id: 'b1' }) },
        Book: { __resolveReference: (book) => book, borrower: ({ id }) => `reader of ${id}` },
      },
    },
  },
  [
    {
      title: 'is looked up by the key that the other service knows',
      query: '{ books { title copies borrower } }',
      data: {
        books: [
          { title: 'Emma', copies: 111, borrower: 'reader of b1' },
          { title: 'Effi Briest', copies: 222, borrower: 'reader of b2' },
        ],
      },
    },
    {
      title: 'is found over a third service when two share no key',
      query: '{ inStock { copies borrower } borrowed { borrower copies } }',
      data: {
        inStock: { copies: 222, borrower: 'reader of b2' },
        borrowed: { borrower: 'reader of b1', copies: 111 },
      },
    },
    {
      title: 'gives a key of another service beside its own',
      query: '{ inStock { id isbn } }',
      data: { inStock: { id: 'b2', isbn: '222' } },
      notAsked: ['loans'],
    },
    {
      title: 'is answered by one service alone where that has all',
      query: '{ books { id isbn title } }',
      data: { books: books.map(({ id, isbn, title }) => ({ id, isbn, title })) },
      notAsked: ['stock', 'loans'],
    },
  ],
);

const publishers: Subgraphs = {
  catalogue: {
    sdl: `${link('2.3', '@key', '@shareable')}
      type Query { books: [Book!]! }
      type Book @key(fields: "isbn publisher { country number }") {
        isbn: String! title: String publisher: Publisher! @shareable
      }
      type Publisher { country: String! @shareable number: Int! @shareable }`,
    resolvers: { Query: { books: () => books } },
  },
  prices: {
    sdl: `${link('2.3', '@key', '@shareable')}
      type Query { _prices: Int }
      type Book @key(fields: "publisher { number country } isbn") {
        isbn: String! publisher: Publisher! @shareable price: String
      }
      type Publisher { number: Int! @shareable country: String! @shareable }`,
    resolvers: {
      Book: {
        __resolveReference: (book) => book,
        price: ({ isbn, publisher }) => `${isbn}/${publisher.country}/${publisher.number}`,
      },
    },
  },
};

conformance('a key of several fields, one of them an object', publishers, [
  {
    title: 'is sent whole',
    query: '{ books { title price } }',
    data: {
      books: [
        { title: 'Emma', price: '111/GB/7' },
        { title: 'Effi Briest', price: '222/DE/7' },
      ],
    },
  },
  {
    title: 'is not in the way of aliases and of parts of it that were asked for',
    query: '{ books { isbn: title publisher { number } price } }',
    data: {
      books: [
        { isbn: 'Emma', publisher: { number: 7 }, price: '111/GB/7' },
        { isbn: 'Effi Briest', publisher: { number: 7 }, price: '222/DE/7' },
      ],
    },
    stitched: 'the book is looked up by what the client calls isbn',
  },
]);

conformance(
  'a key with the objects of a list',
  {
    lists: {
      sdl: `${link('2.3', '@key', '@shareable')}
        type Query { basket: Basket }
        type Basket @key(fields: "items { id options { code } }") { items: [Item!]! @shareable }
        type Item @shareable { id: ID! options: [Option!] @shareable }
        type Option @shareable { code: String! }`,
      resolvers: {
        Query: {
          basket: () => ({
            items: [
              { id: 1, options: [{ code: 'x' }, { code: 'y' }] },
              { id: 2, options: [] },
            ],
          }),
        },
      },
    },
    prices: {
      sdl: `${link('2.3', '@key', '@shareable')}
        type Basket @key(fields: "items { id options { code } }") { items: [Item!]! @shareable total: String }
        type Item @shareable { id: ID! options: [Option!] @shareable }
        type Option @shareable { code: String! }`,
      resolvers: {
        Basket: {
          __resolveReference: (basket) => basket,
          total: ({ items }) =>
            items
              .map(
                (item: { id: string; options: { code: string }[] }) =>
                  item.id + item.options.map(({ code }) => code).join(''),
              )
              .join(),
        },
      },
    },
  },
  [{ title: 'is sent whole', query: '{ basket { total } }', data: { basket: { total: '1xy,2' } } }],
);

conformance(
  'a key that cannot be resolved (resolvable: false)',
  {
    reviews: {
      sdl: `${link('2.3', '@key')}
        type Query { latest: Review } type Review { text: String product: Product }
        type Product @key(fields: "upc", resolvable: false) { upc: ID! }`,
      resolvers: { Query: { latest: () => ({ text: 'good', product: { upc: 'p1' } }) } },
    },
    products: {
      sdl: `${link('2.3', '@key')}
        type Query { first: Product } type Product @key(fields: "upc") { upc: ID! name: String }`,
      resolvers: {
        Query: { first: () => ({ upc: 'p1', name: 'Table' }) },
        Product: { __resolveReference: ({ upc }) => ({ upc, name: `name of ${upc}` }) },
      },
    },
  },
  [
    {
      title: 'leads out of its service all the same',
      query: '{ latest { text product { upc name } } }',
      data: { latest: { text: 'good', product: { upc: 'p1', name: 'name of p1' } } },
    },
    {
      title: 'is never asked for an entity',
      query: '{ first { upc name } }',
      data: { first: { upc: 'p1', name: 'Table' } },
      notAsked: ['reviews'],
    },
  ],
);

const missing: Subgraphs = {
  people: {
    sdl: `${link('2.3', '@key')}
      type Query { people: [Person] one: Person! none: Person }
      type Person @key(fields: "id") @key(fields: "email") { id: ID email: String name: String }`,
    resolvers: {
      Query: {
        people: () => [{ id: '1', name: 'Ada' }, null, { id: '2', name: 'Bo' }, { id: '3', name: 'Cy' }],
        one: () => ({ id: '2', name: 'Bo' }),
        none: () => null,
      },
    },
  },
  pets: {
    sdl: `${link('2.3', '@key')}
      type Person @key(fields: "id") { id: ID pet: Pet pets: [Pet!]! count: Int! }
      type Pet { name: String! }`,
    resolvers: {
      Person: {
        __resolveReference: async ({ id }) => {
          if (id === '3') throw new Error('no such person');
          return id === '2' ? null : { id };
        },
        pet: ({ id }) => ({ name: `pet of ${id}` }),
        pets: () => [],
        count: () => 1,
      },
    },
  },
};

conformance('an entity that the other service does not know', missing, [
  {
    title: 'has null in nullable fields, and an error where the service gave one',
    query: '{ people { name pet { name } } none { pet { name } } }',
    data: {
      people: [{ name: 'Ada', pet: { name: 'pet of 1' } }, null, { name: 'Bo', pet: null }, { name: 'Cy', pet: null }],
      none: null,
    },
    errors: ['people.3.pet: DOWNSTREAM_SERVICE_ERROR'],
  },
]);

conformance(
  'a key whose value is null',
  {
    a: {
      sdl: `${link('2.3', '@key')}
        type Query { list: [Thing] }
        type Thing @key(fields: "id") @key(fields: "code") { id: ID code: String label: String }`,
      resolvers: {
        Query: {
          list: () => [
            { id: '1', code: 'c1', label: 'both' },
            { id: null, code: 'c2', label: 'no id' },
            { id: null, code: null, label: 'neither' },
          ],
        },
      },
    },
    b: {
      sdl: `${link('2.3', '@key')} type Thing @key(fields: "id") { id: ID size: Int }`,
      resolvers: {
        Thing: {
          __resolveReference: ({ id }) => (id === null || id === undefined ? null : { id }),
          size: ({ id }) => Number(id),
        },
      },
    },
  },
  [
    {
      title: 'finds nothing',
      query: '{ list { label size } }',
      data: {
        list: [
          { label: 'both', size: 1 },
          { label: 'no id', size: null },
          { label: 'neither', size: null },
        ],
      },
    },
  ],
);

conformance(
  'entities in lists of lists',
  {
    board: {
      sdl: `${link('2.3', '@key')}
        type Query { rows: [[Cell]!] empty: [[Cell]!] } type Cell @key(fields: "at") { at: String! }`,
      resolvers: { Query: { rows: () => [[{ at: 'a1' }, { at: 'b1' }], [], [null, { at: 'a1' }]], empty: () => null } },
    },
    pieces: {
      sdl: `${link('2.3', '@key')}
        type Cell @key(fields: "at") { at: String! piece: String near: [[Cell!]!]! }`,
      resolvers: {
        Cell: {
          __resolveReference: (cell) => cell,
          piece: ({ at }) => `piece on ${at}`,
          near: () => [[{ at: 'z1' }], [{ at: 'z2' }]],
        },
      },
    },
  },
  [
    {
      title: 'keep their places',
      query: '{ rows { at piece } empty { piece } }',
      data: {
        rows: [
          [
            { at: 'a1', piece: 'piece on a1' },
            { at: 'b1', piece: 'piece on b1' },
          ],
          [],
          [null, { at: 'a1', piece: 'piece on a1' }],
        ],
        empty: null,
      },
    },
    {
      title: 'nest',
      query: '{ rows { near { at piece } } }',
      data: {
        rows: [[1, 2], [], [null, 1]].map((row) =>
          row.map((cell) =>
            cell === null
              ? null
              : { near: [[{ at: 'z1', piece: 'piece on z1' }], [{ at: 'z2', piece: 'piece on z2' }]] },
          ),
        ),
      },
    },
  ],
);
