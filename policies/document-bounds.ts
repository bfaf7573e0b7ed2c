/** Bounds on the text of a GraphQL document, checked while it is parsed: before anything of it is understood. */
import type { Plugin } from '@envelop/core';
import { GraphQLError, Lexer, type ParseOptions, parse, Source, TokenKind } from 'graphql';

/** Tokens of the longest document. What people write has some hundreds. */
const maxTokens = 10_000;

/**
 * Brackets within brackets. The parser, the validation rules and the executor all recurse: documents of some thousand
 * levels would overflow the stack of one of them.
 */
const maxNesting = 200;

/** Envelop plugin: parses within the bounds. Documents that are in the parser's cache are not looked at again. */
export function useDocumentBounds(): Plugin {
  return { onParse: ({ setParseFn }) => setParseFn(parseBounded) };
}

/** Parses a document. Throws a GraphQLError, also for what is too long or too deep. */
export function parseBounded(text: string | Source, options: ParseOptions = {}) {
  const source = typeof text === 'string' ? new Source(text) : text;
  assertNesting(source);
  return parse(source, { ...options, maxTokens });
}

function assertNesting(source: Source): void {
  const lexer = new Lexer(source);
  let depth = 0;
  for (let tokens = 0; tokens <= maxTokens; tokens++) {
    const { kind } = lexer.advance();
    if (kind === TokenKind.EOF) return;
    if (kind === TokenKind.BRACE_L || kind === TokenKind.BRACKET_L || kind === TokenKind.PAREN_L) depth++;
    else if (kind === TokenKind.BRACE_R || kind === TokenKind.BRACKET_R || kind === TokenKind.PAREN_R) depth--;
    if (depth > maxNesting) {
      throw new GraphQLError(`The document is nested deeper than ${maxNesting} levels`, {
        source,
        positions: [lexer.token.start],
      });
    }
  }
}
