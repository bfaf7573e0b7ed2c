/** Where the gateway tells of itself at the public port, before all doors. */

export const livePaths: ReadonlySet<string> = new Set(['/health/live', '/health', '/healthcheck']);
export const readyPaths: ReadonlySet<string> = new Set(['/health/ready', '/readiness']);
