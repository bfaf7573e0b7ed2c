/** Bounds on the text of a GraphQL document, checked while it is parsed: before anything of it is understood. */
import type { Plugin } from '@envelop/core';
import { GraphQLError, Lexer, type ParseOptions, parse, Source, TokenKind } from 'graphql';
import { GatewayError } from './errors.ts';
import { hardMaxTokens, toLimitError } from './query-limits.ts';

/**
 * Brackets within brackets. The parser, the validation rules and the executor all recurse: documents of some thousand
 * levels would overflow the stack of one of them.
 */
const maxNesting = 200;

/**
 * Envelop plugin: parses within the bounds. Documents that are in the parser's cache are not looked at again, and neither
 * are those that were refused: so the bounds must be the same for every viewer.
 */
export function useDocumentBounds(maxTokens?: number): Plugin {
  return {
    onParse: ({ setParseFn }) =>
      setParseFn((text: string, options: ParseOptions) => parseBounded(text, options, maxTokens)),
  };
}

/** Parses a document. Throws a GraphQLError, also for what is too long or too deep. */
export function parseBounded(text: string | Source, options: ParseOptions = {}, maxTokens = hardMaxTokens) {
  const source = typeof text === 'string' ? new Source(text) : text;
  assertBounds(source, maxTokens);
  return parse(source, options);
}

function assertBounds(source: Source, maxTokens: number): void {
  const lexer = new Lexer(source);
  let depth = 0;
  for (let tokens = 1; ; tokens++) {
    const { kind } = lexer.advance();
    if (kind === TokenKind.EOF) return;
    if (tokens > maxTokens) throw refuse(toLimitError({ code: 'TOO_MANY_TOKENS', limit: maxTokens, found: tokens }));
    if (kind === TokenKind.BRACE_L || kind === TokenKind.BRACKET_L || kind === TokenKind.PAREN_L) depth++;
    else if (kind === TokenKind.BRACE_R || kind === TokenKind.BRACKET_R || kind === TokenKind.PAREN_R) depth--;
    if (depth > maxNesting) {
      const message = `The document is nested deeper than ${maxNesting} levels`;
      throw refuse(new GatewayError('OPERATION_TOO_DEEP', message), source, lexer.token.start);
    }
  }
}

function refuse(error: GatewayError, source?: Source, position?: number): GraphQLError {
  return new GraphQLError(error.message, {
    originalError: error,
    ...(source !== undefined && position !== undefined && { source, positions: [position] }),
  });
}
