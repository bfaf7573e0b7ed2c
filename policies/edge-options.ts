/** The kinds of policy that are about the head of a message: who may read it, and what it says. */
import Type from 'typebox';
import { CompressionOptions } from './compression.ts';
import { CookieRules } from './cookie-rules.ts';
import { CorsOptions, findCorsMistakes } from './cors.ts';
import { CsrfOptions } from './csrf.ts';
import { findHeaderMistakes, HeaderRules } from './header-rules.ts';
import type { TemplateScope } from './header-template.ts';
import type { Mistake } from './schema-mistakes.ts';
import { SecurityHeadersOptions } from './security-headers.ts';
import { findUpgradeMistakes, UpgradeOptions } from './upgrade-options.ts';

/** At the gateway, a service and a route. The most specific one counts, kind by kind; only `headers` add up. */
export const edgeProperties = {
  cors: Type.Optional(CorsOptions),
  csrf: Type.Optional(CsrfOptions),
  securityHeaders: Type.Optional(SecurityHeadersOptions),
  cookies: Type.Optional(CookieRules),
  headers: Type.Optional(HeaderRules),
  compression: Type.Optional(CompressionOptions),
  upgrade: Type.Optional(UpgradeOptions),
};

export interface EdgeOptions {
  readonly cors?: CorsOptions;
  readonly csrf?: CsrfOptions;
  readonly securityHeaders?: SecurityHeadersOptions;
  readonly cookies?: CookieRules;
  readonly headers?: HeaderRules;
  readonly compression?: CompressionOptions;
  readonly upgrade?: UpgradeOptions;
}

/** Just these of what stands at a level. */
export function pickEdgeOptions(level: EdgeOptions): EdgeOptions {
  const { cors, csrf, securityHeaders, cookies, headers, compression, upgrade } = level;
  return {
    ...(cors !== undefined && { cors }),
    ...(csrf !== undefined && { csrf }),
    ...(securityHeaders !== undefined && { securityHeaders }),
    ...(cookies !== undefined && { cookies }),
    ...(headers !== undefined && { headers }),
    ...(compression !== undefined && { compression }),
    ...(upgrade !== undefined && { upgrade }),
  };
}

/** What is wrong at one level, by paths from there. */
export function findEdgeMistakes({ cors, headers, upgrade }: EdgeOptions, scope: TemplateScope): Mistake[] {
  return [
    ...findCorsMistakes(cors).map(({ path, message }) => ({ path: ['cors', ...path], message })),
    ...findHeaderMistakes(headers, scope).map(({ path, message }) => ({ path: ['headers', ...path], message })),
    ...findUpgradeMistakes(upgrade).map(({ path, message }) => ({ path: ['upgrade', ...path], message })),
  ];
}
