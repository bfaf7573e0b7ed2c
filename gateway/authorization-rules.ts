/** What a JSON Schema cannot say about authorization in a configuration. */
import { findAuthorizeMistakes } from '../policies/authorize-mistakes.ts';
import type { AuthorizeOptions, GraphqlAuthorizeOptions } from '../policies/authorize-options.ts';
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import type { GatewayConfig } from './config-schema.ts';

/** What holds at one place: a route, a type, a field. */
interface Place {
  readonly authorize?: AuthorizeOptions | GraphqlAuthorizeOptions | undefined;
  readonly public?: boolean | undefined;
  readonly arguments?: Readonly<Record<string, { readonly authorize?: GraphqlAuthorizeOptions }>> | undefined;
}

/** Mistakes of the section `authorization`. */
export function findAuthorizationMistakes({ authorization = {} }: GatewayConfig): Mistake[] {
  return Object.entries(authorization.policies ?? {}).flatMap(([name, options]) =>
    findAuthorizeMistakes(options).map(({ path, message }) => ({
      path: ['authorization', 'policies', name, ...path],
      message,
    })),
  );
}

/** Mistakes of what is said at one place. */
export function findPlaceMistakes(
  place: Place,
  path: ValuePath,
  options: { readonly atRoute?: boolean } = {},
): Mistake[] {
  const { authorize } = place;
  const own =
    authorize === undefined
      ? []
      : findAuthorizeMistakes(authorize, options).map((mistake) => ({
          path: [...path, 'authorize', ...mistake.path],
          message: mistake.message,
        }));
  // Open to anonymous requests, of which an expression decides, is no contradiction.
  const contradicts = place.public === true && authorize !== undefined && authorize.authenticated !== false;
  return [
    ...own,
    ...(own.length === 0 && contradicts
      ? [{ path: [...path, 'public'], message: '`public` and `authorize` contradict each other' }]
      : []),
    ...Object.entries(place.arguments ?? {}).flatMap(([name, policy]) =>
      findPlaceMistakes(policy, [...path, 'arguments', name]),
    ),
  ];
}
