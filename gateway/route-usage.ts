/** Who still calls routes that are retired, as this gateway saw it since its start. */

/** The path answered, its replacement did, or nobody any more. */
export type RetiredOutcome = 'served' | 'moved' | 'gone';

export interface RouteClient {
  /** How the viewer was established; `anonymous` without one, `others` for all above the bound. */
  readonly kind: string;
  readonly viewer: string | null;
  /** What the client calls itself, which anybody may. */
  readonly client: string | null;
  readonly address: string | null;
}

interface RouteName {
  readonly service: string;
  readonly route: string;
}

/** One client's calls of one route. Can be sent to another process. */
export interface RouteUse extends RouteClient, RouteName {
  readonly served: number;
  readonly moved: number;
  readonly gone: number;
  readonly lastSeenMs: number;
}

export interface RouteUsage {
  record(route: RouteName, outcome: RetiredOutcome, client: RouteClient): void;
  /** What was noted since the last time, and forgets it: for a worker that reports to another process. */
  take(): readonly RouteUse[];
  /** Takes in what another process noted. */
  add(uses: readonly RouteUse[]): void;
  /** The most recent first. */
  usesOf(route: RouteName): readonly RouteUse[];
  /** ISO 8601. */
  readonly since: string;
}

export interface RouteUsageOptions {
  /** Clients that are told apart for each route; whoever comes later counts as one. @default 1_000 */
  readonly maxClients?: number;
  /** @default 1_000 */
  readonly maxRoutes?: number;
  readonly now?: () => number;
  readonly onRequest?: (service: string, route: string, outcome: RetiredOutcome) => void;
}

/** What a client says must not push out what others really use. */
const others: RouteClient = { kind: 'others', viewer: null, client: null, address: null };

export function createRouteUsage(options: RouteUsageOptions = {}): RouteUsage {
  const { maxClients = 1_000, maxRoutes = 1_000, now = Date.now, onRequest = () => {} } = options;
  const since = new Date(now()).toISOString();
  const routes = new Map<string, Map<string, RouteUse>>();

  function add(use: RouteUse): void {
    const route = keyOfRoute(use);
    const clients = routes.get(route) ?? new Map<string, RouteUse>();
    if (!routes.has(route)) {
      const oldest = routes.keys().next();
      if (routes.size >= maxRoutes && oldest.done !== true) routes.delete(oldest.value);
      routes.set(route, clients);
    }
    const key = keyOf(use);
    const isKnown = clients.has(key) || clients.size < maxClients;
    const counted = isKnown ? use : { ...use, ...others };
    const before = clients.get(isKnown ? key : keyOf(others));
    clients.set(
      isKnown ? key : keyOf(others),
      before === undefined
        ? counted
        : {
            ...before,
            served: before.served + use.served,
            moved: before.moved + use.moved,
            gone: before.gone + use.gone,
            lastSeenMs: Math.max(before.lastSeenMs, use.lastSeenMs),
          },
    );
  }

  return {
    record({ service, route }, outcome, client) {
      onRequest(service, route, outcome);
      const counts = { served: 0, moved: 0, gone: 0, [outcome]: 1 };
      add({ service, route, ...client, ...counts, lastSeenMs: now() });
    },
    take() {
      const taken = [...routes.values()].flatMap((clients) => [...clients.values()]);
      routes.clear();
      return taken;
    },
    add(uses) {
      for (const use of uses) add(use);
    },
    usesOf(route) {
      const uses = [...(routes.get(keyOfRoute(route))?.values() ?? [])];
      return uses.toSorted((a, b) => b.lastSeenMs - a.lastSeenMs);
    },
    since,
  };
}

function keyOfRoute({ service, route }: RouteName): string {
  return `${service}\n${route}`;
}

function keyOf({ kind, viewer, client, address }: RouteClient): string {
  return JSON.stringify([kind, viewer, client, address]);
}
