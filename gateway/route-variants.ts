/** Chooses the variant of a split for a request. */
import type { RequestContext } from '../policies/request-context.ts';
import { buildBalancingKey, hashText, type KeyReader, mixBits } from '../subgraphs/balancing-key.ts';
import type { AcceptsVersion } from '../subgraphs/call.ts';
import { compileVersion, type RouteSplit } from '../subgraphs/route-split.ts';

/** Where requests of a route go. */
export interface Variant {
  /** Null for a route without a split. */
  readonly name: string | null;
  readonly service: string;
  readonly accepts: AcceptsVersion | undefined;
  readonly zone: string | undefined;
}

export type ChooseVariant = (context: Pick<RequestContext, 'headers' | 'client' | 'viewer'>) => Variant;

interface Weighted extends Variant {
  readonly weight: number;
  readonly hash: number;
}

export interface VariantOptions {
  /** The service of the route. */
  readonly service: string;
  /** Keeps splits apart: who is in one's canary is not for that in another's. */
  readonly salt: string;
  /** Whether requests may be led to a service. */
  readonly mayUse: (service: string) => boolean;
  /** @default Math.random */
  readonly random?: () => number;
}

/** Compiles a split. A variant whose service does not agree to it is left out. */
export function buildVariantChoice(split: RouteSplit, options: VariantOptions): ChooseVariant {
  const { service, salt, mayUse, random = Math.random } = options;
  const variants = split.variants
    .filter((variant) => variant.service === undefined || variant.service === service || mayUse(variant.service))
    .map(
      (variant): Weighted => ({
        name: variant.name,
        service: variant.service ?? service,
        accepts: variant.version === undefined ? undefined : compileVersion(variant.version),
        zone: variant.zone,
        weight: variant.weight,
        hash: hashText(`${salt}\n${variant.name}`),
      }),
    );
  const own: Variant = { name: null, service, accepts: undefined, zone: undefined };
  const readKey = buildKeyReader(split.sticky);
  const chosenBy = split.chooseBy?.toLowerCase();
  return (context) => {
    const wish = chosenBy === undefined ? undefined : context.headers[chosenBy];
    const wished = wish === undefined ? undefined : findWished(variants, split, String(wish));
    if (wished !== undefined) return wished;
    const key = readKey?.(context);
    return (key === undefined ? pickAtRandom(variants, random()) : pickByHash(variants, hashText(key))) ?? own;
  };
}

function buildKeyReader(sticky: RouteSplit['sticky']): KeyReader | undefined {
  if (sticky === undefined) return undefined;
  if (sticky === 'viewer')
    return ({ viewer }) => (viewer === null ? undefined : `${viewer.issuer ?? ''}\n${viewer.id}`);
  if (sticky === 'address') return buildBalancingKey({ from: 'ip', name: '' });
  return 'cookie' in sticky
    ? buildBalancingKey({ from: 'cookie', name: sticky.cookie })
    : buildBalancingKey({ from: 'header', name: sticky.header.toLowerCase() });
}

function findWished(
  variants: readonly Weighted[],
  { variants: written }: RouteSplit,
  wish: string,
): Variant | undefined {
  const name = wish === 'always' ? written.at(-1)?.name : wish === 'never' ? written[0]?.name : wish;
  return variants.find((variant) => variant.name === name);
}

/** Weighted rendezvous hashing, as for instances: whoever moves does so because a share grew or shrank. */
function pickByHash(variants: readonly Weighted[], keyHash: number): Variant | undefined {
  let best: Variant | undefined;
  let highest = Number.NEGATIVE_INFINITY;
  for (const variant of variants) {
    if (variant.weight === 0) continue;
    const score = -variant.weight / Math.log((mixBits(variant.hash ^ keyHash) + 0.5) / 4_294_967_296);
    if (score > highest) {
      best = variant;
      highest = score;
    }
  }
  return best;
}

function pickAtRandom(variants: readonly Weighted[], at: number): Variant | undefined {
  let rest = at * variants.reduce((sum, { weight }) => sum + weight, 0);
  for (const variant of variants) {
    rest -= variant.weight;
    if (rest < 0) return variant;
  }
  return undefined;
}
