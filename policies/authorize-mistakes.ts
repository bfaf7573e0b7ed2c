/** What is wrong with a requirement that fits its schema: expressions that cannot be read, and contradictions. */
import { parseRequirementExpression } from './authorize-expression.ts';
import type { AuthorizeOptions, GraphqlAuthorizeOptions } from './authorize-options.ts';
import { ExpressionMistake } from './expression.ts';

export interface AuthorizeMistake {
  /** Keys below the requirement. */
  readonly path: readonly string[];
  readonly message: string;
}

/** Everything that is wrong with a requirement; none for one that can be built. `atRoute`: there are no arguments there. */
export function findAuthorizeMistakes(
  options: AuthorizeOptions | GraphqlAuthorizeOptions,
  { atRoute = false }: { readonly atRoute?: boolean } = {},
): AuthorizeMistake[] {
  const { authenticated, scopes, anyScopes, roles, permissions, expression } = options;
  const asksViewers = [scopes, anyScopes, roles, permissions].some((asked) => asked !== undefined);
  if (asksViewers && authenticated === false) {
    const message = 'scopes, roles and permissions need a viewer: this cannot be false';
    return [{ path: ['authenticated'], message }];
  }
  if (!asksViewers && expression === undefined && authenticated !== true) {
    return [{ path: [], message: 'asks for nothing: set `authenticated: true`, or `scopes`, `roles`, ...' }];
  }
  return expression === undefined ? [] : findExpressionMistakes(expression, atRoute);
}

function findExpressionMistakes(source: string, atRoute: boolean): AuthorizeMistake[] {
  try {
    const { variables } = parseRequirementExpression(source);
    return atRoute && variables.has('args')
      ? [{ path: ['expression'], message: 'expected no `args`: only fields of the graph have arguments' }]
      : [];
  } catch (error) {
    if (!(error instanceof ExpressionMistake)) throw error;
    return [{ path: ['expression'], message: error.message }];
  }
}
