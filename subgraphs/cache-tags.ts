/** Tags of kept REST answers: by them an administrator, a service or an unsafe request drops them. */

/** Answers of a service to requests of routes of another one, which that one's team may drop and no others. */
export function foreignAnswers(service: string, routedBy: string): string {
  // No service has such a name.
  return `${service} by ${routedBy}`;
}

/** What an administrator names to drop the answers of a service. */
export function serviceTag(service: string): string {
  return `service ${service}`;
}

/** Of the path at the service, whatever the query. */
export function buildPathTag(service: string, path: string): string {
  return `path ${service} ${withoutQuery(path)}`;
}

/** Most levels of a path that answers are found by. */
export const maxPrefixLevels = 8;

/**
 * Of all answers below a path at the service; `prefix` ends with a slash. One that is deeper than the tags are is cut:
 * then more is dropped than was named.
 */
export function buildPrefixTag(service: string, prefix: string): string {
  const segments = prefix.split('/').slice(1, -1);
  return segments.length === 0
    ? serviceTag(service)
    : `below ${service} /${segments.slice(0, maxPrefixLevels).join('/')}/`;
}

/** A tag that the service itself gave to answers. */
export function buildNamedTag(service: string, name: string): string {
  return `tag ${service} ${name}`;
}

/** The tags of an answer of a path, beside those that the service gave it. */
export function tagsOfPath(service: string, path: string): string[] {
  const segments = withoutQuery(path).split('/').slice(1, -1);
  const prefixes = segments.slice(0, maxPrefixLevels).map((_, index) => `/${segments.slice(0, index + 1).join('/')}/`);
  const below = prefixes.map((prefix) => buildPrefixTag(service, prefix));
  return [serviceTag(service), buildPathTag(service, path), ...below];
}

function withoutQuery(path: string): string {
  return path.split('?', 1)[0] ?? path;
}
