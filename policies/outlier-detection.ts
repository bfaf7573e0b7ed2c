/**
 * Options of outlier detection: when an instance differs so much from its peers that it gets no calls for a while. The
 * names are Envoy's where Envoy has the option.
 */
import Type from 'typebox';
import { Duration, Percentage, parseDurationMs, parsePercentage } from './units.ts';

export const OutlierDetectionOptions = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({ default: true, description: 'Whether instances are ejected. The panic threshold holds anyway.' }),
    ),
    consecutive5xx: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 10_000,
        default: 5,
        description:
          'Failures in a row that eject an instance: statuses from 500 on, timeouts, broken connections. 0 switches it off.',
      }),
    ),
    consecutiveGatewayFailure: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 10_000,
        default: 0,
        description: 'The same with 502, 503, 504, timeouts and broken connections only. 0 switches it off.',
      }),
    ),
    interval: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '10s',
        description: 'The window in which calls are counted; at its end the instances are compared.',
      }),
    ),
    failurePercentageThreshold: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '50%',
        description:
          'Share of failed calls in a window that ejects an instance, when its peers fail less than half as often. `0%` switches it off.',
      }),
    ),
    failurePercentageRequestVolume: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        default: 20,
        description: 'Calls that an instance must have had in the window for its share of failures to count.',
      }),
    ),
    latencyFactor: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1_000,
        default: 0,
        description:
          "Ejects an instance whose answers take more than so many times the median of its peers'. 0 switches it off.",
      }),
    ),
    latencyRequestVolume: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        default: 20,
        description: 'Answers that an instance must have given in the window for its latency to count.',
      }),
    ),
    latencyMinimum: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '50ms',
        description: 'Latency below which nobody is an outlier, however fast the peers.',
      }),
    ),
    baseEjectionTime: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '10s',
        description: 'How long the first ejection lasts; the second in a short time twice as long, the third thrice.',
      }),
    ),
    maxEjectionTime: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '5m', description: 'The longest ejection.' }),
    ),
    maxEjectionPercent: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '30%',
        description: 'Share of the instances that may be ejected at once; one may always be, but never the last.',
      }),
    ),
    healthyPanicThreshold: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '50%',
        description:
          'When less than this share of the instances is healthy, all that can be connected to get calls again. `0%` switches it off.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type OutlierDetectionOptions = Type.Static<typeof OutlierDetectionOptions>;

/** The same in numbers. */
export interface OutlierDetection {
  readonly enabled: boolean;
  readonly consecutive5xx: number;
  readonly consecutiveGatewayFailure: number;
  readonly intervalMs: number;
  /** Between 0 and 1, as all shares. */
  readonly failureShare: number;
  readonly failureRequestVolume: number;
  readonly latencyFactor: number;
  readonly latencyRequestVolume: number;
  readonly latencyMinimumMs: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionShare: number;
  readonly panicShare: number;
}

/** Where the options may stand: a service, or the gateway's policies. */
interface Holder {
  readonly outlierDetection?: OutlierDetectionOptions;
}

/** Options, the most specific first, as numbers: those of the first that has any, and defaults for what it leaves out. */
export function buildOutlierDetection(...holders: readonly Holder[]): OutlierDetection {
  const options: OutlierDetectionOptions =
    holders.find(({ outlierDetection }) => outlierDetection !== undefined)?.outlierDetection ?? {};
  const baseEjectionMs = parseDurationMs(options.baseEjectionTime ?? '10s');
  return {
    enabled: options.enabled ?? true,
    consecutive5xx: options.consecutive5xx ?? 5,
    consecutiveGatewayFailure: options.consecutiveGatewayFailure ?? 0,
    intervalMs: parseDurationMs(options.interval ?? '10s'),
    failureShare: parsePercentage(options.failurePercentageThreshold ?? '50%'),
    failureRequestVolume: options.failurePercentageRequestVolume ?? 20,
    latencyFactor: options.latencyFactor ?? 0,
    latencyRequestVolume: options.latencyRequestVolume ?? 20,
    latencyMinimumMs: parseDurationMs(options.latencyMinimum ?? '50ms'),
    baseEjectionMs,
    maxEjectionMs: Math.max(baseEjectionMs, parseDurationMs(options.maxEjectionTime ?? '5m')),
    maxEjectionShare: parsePercentage(options.maxEjectionPercent ?? '30%'),
    panicShare: parsePercentage(options.healthyPanicThreshold ?? '50%'),
  };
}
