/** Names of the parameters in the pattern of a path, e.g. `id` of `/orders/:id`. */
export function listParams(pattern: string): ReadonlySet<string> {
  return new Set([...pattern.matchAll(/\/:([A-Za-z_]\w*)/g)].map(([, name = '']) => name));
}
