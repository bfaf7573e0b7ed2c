/** SDL from outside, parsed within bounds. Everything that a service calls its schema comes through here first. */
import { type DocumentNode, GraphQLError, Kind, Lexer, parse, Source, TokenKind } from 'graphql';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { maxSdlLength } from '../subgraphs/graphql-endpoint.ts';

/** Composition blocks the process for 10 to 20 microseconds per token: this keeps one service below some seconds. */
const maxTokens = 250_000;
/** Nesting of brackets. Types and values nest a few levels; parsers, printers and executors recurse over them. */
const maxDepth = 64;

/**
 * Parses the SDL of a service. Throws REGISTRATION_REFUSED with line and column when it is not GraphQL, and when it is
 * longer or deeper than any schema that a person writes.
 */
export function parseSdl(sdl: string, service?: string): DocumentNode {
  try {
    if (sdl.length > maxSdlLength) throw new GraphQLError(`The SDL is longer than ${maxSdlLength} characters`);
    assertBoundedTokens(new Source(sdl, 'SDL'));
    const document = parse(sdl, { noLocation: true, maxTokens });
    assertOrdinaryNames(document);
    return document;
  } catch (error) {
    const reason = toReason(error, service);
    throw new GatewayError('REGISTRATION_REFUSED', reason.message, { service, reasons: [reason], cause: error });
  }
}

/** Before parsing, because the parser recurses: 100,000 opening brackets would exhaust its stack. */
function assertBoundedTokens(source: Source): void {
  const lexer = new Lexer(source);
  let depth = 0;
  for (let count = 0; ; count += 1) {
    const token = lexer.advance();
    if (token.kind === TokenKind.EOF) return;
    if (token.kind === TokenKind.BRACE_L || token.kind === TokenKind.BRACKET_L || token.kind === TokenKind.PAREN_L) {
      depth += 1;
    } else if (
      token.kind === TokenKind.BRACE_R ||
      token.kind === TokenKind.BRACKET_R ||
      token.kind === TokenKind.PAREN_R
    ) {
      depth -= 1;
    }
    if (depth > maxDepth) throw boundError(source, token.start, `nests deeper than ${maxDepth} brackets`);
    if (count >= maxTokens) throw boundError(source, token.start, `has more than ${maxTokens} tokens`);
  }
}

function boundError(source: Source, position: number, what: string): GraphQLError {
  return new GraphQLError(`The SDL ${what}`, { source, positions: [position] });
}

/**
 * Composition and stitching keep types and fields in plain objects: a type called `constructor` would find what every
 * object inherits, and could change it for the whole process. Names with two underscores are introspection's.
 */
function assertOrdinaryNames(document: DocumentNode): void {
  for (const definition of document.definitions) {
    if (!('name' in definition) || definition.name === undefined) continue;
    assertOrdinaryName(definition.name.value, definition.name.value);
    if (definition.kind === Kind.DIRECTIVE_DEFINITION || !('fields' in definition)) continue;
    for (const field of definition.fields ?? []) {
      assertOrdinaryName(field.name.value, `${definition.name.value}.${field.name.value}`);
    }
  }
}

function assertOrdinaryName(name: string, coordinate: string): void {
  if (name in Object.prototype || name.startsWith('__'))
    throw new GraphQLError(`The name of "${coordinate}" is reserved`);
}

function toReason(error: unknown, service: string | undefined): ErrorReason {
  const message = error instanceof GraphQLError ? describeSyntaxError(error) : 'The SDL cannot be read';
  return { message, code: 'INVALID_GRAPHQL', ...(service !== undefined && { service }) };
}

function describeSyntaxError(error: GraphQLError): string {
  const [location] = error.locations ?? [];
  const message = error.message.slice(0, 500);
  return location === undefined ? message : `${message} (line ${location.line}, column ${location.column})`;
}
