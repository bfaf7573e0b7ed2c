/** Plugins as the configuration lists them. */
import Type from 'typebox';
import { Duration, OneOf, parseDurationMs } from '../policies/units.ts';
import type { Plugin } from './plugin.ts';

const closed = { additionalProperties: false } as const;

const circuit = Type.Optional(
  Type.Object(
    {
      failures: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 1_000, default: 5, description: 'Failures in a row that are too many.' }),
      ),
      window: Type.Optional(
        Type.Unsafe<string>({ ...Duration, default: '10s', description: 'Time in which they must come to count.' }),
      ),
      openFor: Type.Optional(
        Type.Unsafe<string>({
          ...Duration,
          default: '30s',
          description: 'How long the plugin is left alone. Then a single call shows whether it works again.',
        }),
      ),
    },
    {
      ...closed,
      description:
        'After failures in a row the plugin is not called for a while: with `onFailure: continue` it is bypassed, with `fail` requests fail at once.',
    },
  ),
);

const moduleName = {
  minLength: 1,
  description:
    'A file (`./plugins/audit.ts`, from where the configuration file is; in a gateway of your own from the working directory) or a package that can be found from there.',
};
const options = Type.Optional(Type.Unknown({ description: 'What the plugin is set up with.' }));

export const PluginEntry = Type.Object(
  {
    module: Type.Optional(Type.String(moduleName)),
    plugin: Type.Optional(
      Type.Unsafe<Plugin<never>>({
        type: 'object',
        description:
          'In place of `module`, in `selvage.config.ts`: what `definePlugin` returned. With several `workers` only modules can be listed.',
      }),
    ),
    options,
    timeout: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '50ms',
        description: 'How long a hook may take; then it is as if it had failed, and what it gives later is ignored.',
      }),
    ),
    onFailure: Type.Optional(
      OneOf(['continue', 'fail'], {
        description:
          'What becomes of a request when the plugin fails. `continue`: it goes on. `fail`: INTERNAL_SERVER_ERROR. Default: what the plugin declares, else `continue`.',
      }),
    ),
    circuit,
  },
  closed,
);
export type PluginEntry = Type.Static<typeof PluginEntry>;

export const PluginList = Type.Array(PluginEntry, {
  default: [],
  description: 'Code of your own that takes part in requests, asked in this order: see plugins.md.',
});

export const GraphqlPluginEntry = Type.Object(
  {
    module: Type.String(moduleName),
    export: Type.Optional(
      Type.String({ default: 'default', description: 'Which export makes the plugin (or is it).', examples: ['useX'] }),
    ),
    options: Type.Optional(Type.Unknown({ description: 'What the export is called with.' })),
    timeout: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '1s', description: 'How long one of its hooks may take.' }),
    ),
    onFailure: Type.Optional(
      OneOf(['continue', 'fail'], {
        default: 'fail',
        description: 'What becomes of a request when a hook throws something else than a GraphQLError, or is late.',
      }),
    ),
    circuit,
  },
  closed,
);
export type GraphqlPluginEntry = Type.Static<typeof GraphqlPluginEntry>;

export const GraphqlPluginList = Type.Array(GraphqlPluginEntry, {
  default: [],
  description:
    'Plugins of Envelop and Yoga as they are. They stand after authorization and before caches and execution: see plugins.md.',
});

/** An entry in numbers. */
export interface PluginBounds {
  readonly timeoutMs: number;
  readonly circuit: { readonly failures: number; readonly windowMs: number; readonly openForMs: number };
}

/** Applies the defaults. */
export function buildPluginBounds(
  entry: Pick<PluginEntry, 'timeout' | 'circuit'>,
  defaultTimeout: string,
): PluginBounds {
  const { failures = 5, window = '10s', openFor = '30s' } = entry.circuit ?? {};
  return {
    timeoutMs: parseDurationMs(entry.timeout ?? defaultTimeout),
    circuit: { failures, windowMs: parseDurationMs(window), openForMs: parseDurationMs(openFor) },
  };
}
