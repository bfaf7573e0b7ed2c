/** A real OpenID provider on a free port of this machine, for tests. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type Configuration } from 'oidc-provider';

export interface OpenIdProvider extends AsyncDisposable {
  readonly issuer: string;
  /** The `aud` of its tokens. */
  readonly audience: string;
  /** The `sub` of its tokens. */
  readonly clientId: string;
  /** An access token by the client credentials grant: signed (RFC 9068), or opaque. */
  token(request?: { scope?: string; opaque?: boolean }): Promise<string>;
  /** Where opaque tokens are introspected (RFC 7662), and as whom. */
  readonly introspection: { readonly endpoint: string; readonly clientId: string; readonly clientSecret: string };
  /** Withdraws an opaque token (RFC 7009). */
  revoke(token: string): Promise<void>;
  close(): Promise<void>;
}

const audience = 'shop';
const clientId = 'storefront';
/** Tokens for this resource say nothing to anybody but their issuer. */
const opaqueResource = 'https://opaque.shop.example';

/** Starts a provider with one client. `scopes` are those that the client may ask for. */
export async function startOpenIdProvider(
  scopes: readonly string[] = ['orders:read', 'orders:write', 'profile:read'],
): Promise<OpenIdProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // The issuer is part of every token, so the port must be known before the provider is made.
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clientSecret = randomBytes(24).toString('base64url');
  const provider = new Provider(issuer, await buildConfiguration(clientSecret, scopes));
  server.on('request', provider.callback());

  const credentials = { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` };

  async function close(): Promise<void> {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  return {
    issuer,
    audience,
    clientId,
    introspection: { endpoint: `${issuer}/token/introspection`, clientId, clientSecret },
    async revoke(token) {
      const body = new URLSearchParams({ token });
      const response = await fetch(`${issuer}/token/revocation`, { method: 'POST', headers: credentials, body });
      if (!response.ok) throw new Error(`The provider answered ${response.status}: ${await response.text()}`);
    },
    async token({ scope = scopes.join(' '), opaque = false } = {}) {
      const resource = opaque ? { resource: opaqueResource } : {};
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: credentials,
        body: new URLSearchParams({ grant_type: 'client_credentials', scope, ...resource }),
      });
      if (!response.ok) throw new Error(`The provider answered ${response.status}: ${await response.text()}`);
      return ((await response.json()) as { access_token: string }).access_token;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function buildConfiguration(clientSecret: string, scopes: readonly string[]): Promise<Configuration> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'provider-key', alg: 'ES256', use: 'sig' }] },
    cookies: { keys: [randomBytes(24).toString('base64url')] },
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      // Only tokens for a named resource are JWTs (RFC 8707); the default names it for requests that do not.
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://shop.example',
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: scopes.join(' '),
          audience,
          ...(resource === opaqueResource
            ? { accessTokenFormat: 'opaque' }
            : { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
        }),
      },
      introspection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
    },
  };
}
