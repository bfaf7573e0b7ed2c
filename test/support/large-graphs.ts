/** Graphs as large as companies have them, made up by rule. */

const link =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable", "@external", "@requires"])\n';

export interface NamedSdl {
  readonly name: string;
  readonly sdl: string;
}

/**
 * Many services: each owns an entity, extends those of its neighbours and the one that everybody extends, and leads to
 * others. Every second one requires a field of another service.
 */
export function buildManySubgraphs(count: number): NamedSdl[] {
  return Array.from({ length: count }, (_, index) => {
    const next = (index + 1) % count;
    const far = (index * 7 + 3) % count;
    const requires = index % 2 === 0 ? 'label: String @external' : '';
    const derived = index % 2 === 0 ? `derived${index}: String @requires(fields: "label")` : '';
    const far2 =
      far === next || far === index ? '' : `type Entity${far} @key(fields: "id") { id: ID! seen${index}: Boolean }`;
    return {
      name: `service-${index}`,
      sdl: `${link}
        type Query { entity${index}(id: ID!): Entity${index} all${index}(first: Int): [Entity${index}!]! }
        type Mutation { save${index}(input: Input${index}!): Entity${index} }
        input Input${index} { name: String! tags: [String!] }
        type Entity${index} @key(fields: "id") { id: ID! name: String label: String next: Entity${next} owner: User page: Page }
        type Entity${next} @key(fields: "id") { id: ID! ${requires} ${derived} note${index}: String }
        ${far2}
        type User @key(fields: "id") { id: ID! items${index}(first: Int): [Entity${index}!]! }
        type Page @shareable { size: Int total: Int }
        enum State${index} { OPEN SHUT }
        extend type Entity${index} { state: State${index} }`,
    };
  });
}

/** One service with a schema of the size of GitHub's: interfaces, unions, connections, inputs, descriptions. */
export function buildLargeSchema(types: number): string {
  const parts = [
    link,
    'interface Node { "The node id" id: ID! }',
    'type PageInfo { endCursor: String hasNextPage: Boolean! }',
  ];
  const text =
    'A sentence that tells what this is good for, in the way that public schemas of this size do, at some length. ';
  const rootFields: string[] = [];
  const changes: string[] = [];
  const objects = Math.floor(types / 5);
  for (let index = 0; index < objects; index += 1) {
    const other = (step: number) => (index * step + 11) % objects;
    const fields = Array.from(
      { length: 12 },
      (_, field) =>
        `"""${text}${text}""" field${field}: ${['String', 'Int', 'Boolean!', `Object${other(field + 2)}`, `State${other(3)}`][field % 5]}`,
    );
    parts.push(
      `"""${text}""" type Object${index} implements Node @key(fields: "id") { id: ID! ${fields.join('\n')}
        """${text}""" objects(first: Int, after: String, orderBy: Order${index}): Connection${other(5)}! any: Any${index} }`,
      `type Connection${index} { edges: [Edge${index}] nodes: [Object${index}] pageInfo: PageInfo! """${text}""" totalCount: Int! }`,
      `type Edge${index} { cursor: String! node: Object${index} }`,
      `"""${text}""" enum State${index} { "${text}" OPEN "${text}" CLOSED MERGED }`,
      `"""${text}""" input Order${index} { "${text}" direction: State${index}! "${text}" field: String! }`,
      `union Any${index} = Object${index} | Object${other(7)}`,
    );
    rootFields.push(`"""${text}""" object${index}(id: ID!): Object${index}`);
    changes.push(`"""${text}""" change${index}(input: Order${index}!): Object${index}`);
  }
  parts.push(`type Query { node(id: ID!): Node ${rootFields.join('\n')} } type Mutation { ${changes.join('\n')} }`);
  return parts.join('\n');
}
