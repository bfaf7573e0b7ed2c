/** The request of nobody in particular: what goes on when the one who caused it has its answer. */
import type { RequestContext } from '../policies/request-context.ts';

/** The same request, with as much time as was left, whose client never leaves. */
export function createDetachedContext(context: RequestContext): RequestContext {
  return {
    id: context.id,
    door: context.door,
    method: context.method,
    headers: context.headers,
    client: context.client,
    viewer: context.viewer,
    viewerFields: context.viewerFields,
    deadlineAtMs: context.deadlineAtMs,
    departure: { happened: false, subscribe: () => () => {} },
    rateLimit: null,
    name: context.name,
    errorCode: null,
    // The request itself is over.
    atEnd: (listener) => listener(),
    attempts: [],
  };
}
