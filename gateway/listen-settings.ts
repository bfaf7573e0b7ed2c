/** The public port as the gateway works with it. */
import type { ListenOptions, RedirectOptions, TlsOptions } from './listen-options.ts';

export interface ListenSettings {
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsOptions;
  readonly http2: { readonly tls: boolean; readonly clear: boolean; readonly maxConcurrentStreams: number };
  readonly redirect?: RedirectOptions;
}

/** Applies the defaults. */
export function buildListenSettings({ host, port, tls, http2, redirect }: ListenOptions = {}): ListenSettings {
  return {
    host: host ?? '0.0.0.0',
    port: port ?? 4000,
    ...(tls !== undefined && { tls }),
    http2: {
      tls: http2?.tls ?? true,
      clear: http2?.clear ?? false,
      maxConcurrentStreams: http2?.maxConcurrentStreams ?? 100,
    },
    ...(redirect !== undefined && { redirect }),
  };
}
