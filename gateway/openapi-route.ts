/** The OpenAPI document at the public port. */
import { hash } from 'node:crypto';
import { isNotModified } from '../policies/http-conditions.ts';
import { buildOpenapi, type OpenapiSources } from './openapi.ts';
import type { OpenapiOptions } from './openapi-options.ts';
import { sendEmpty, sendWhole } from './own-answer.ts';
import { buildOwnGate, type GateSettings, type OwnRoute } from './own-routes.ts';

const methods = ['GET', 'HEAD'] as const;

/** The route. The document is written when somebody asks for it, once per state of the routes and of the documents of services. */
export function buildOpenapiRoute(options: OpenapiOptions, settings: GateSettings, sources: OpenapiSources): OwnRoute {
  const path = options.path ?? '/openapi.json';
  const gate = buildOwnGate({ kind: 'openapi', methods, path, options }, settings);
  const isShared = !gate.needsViewer && gate.requirement === null;
  let written: { readonly body: string; readonly etag: string; readonly revision: number } | undefined;
  return {
    gate,
    methods,
    path,
    async answer(exchange) {
      const { revision } = sources.documents;
      if (written?.revision !== revision) {
        const text = JSON.stringify(buildOpenapi(sources));
        written = { body: text, etag: `W/"${hash('sha256', text, 'base64url').slice(0, 27)}"`, revision };
      }
      const { body, etag } = written;
      const headers = ['etag', etag, 'cache-control', isShared ? 'public, no-cache' : 'private, no-cache'];
      if (isNotModified({ 'if-none-match': exchange.request.headers['if-none-match'] }, { etag }))
        return sendEmpty(exchange, 304, headers);
      return await sendWhole(exchange, 200, [...headers, 'content-type', 'application/json'], body);
    },
  };
}
