/** Registering test services through the admin API, as a team would. */
import type { TestGateway } from './gateway.ts';

/** Registers a GraphQL service with one instance. Throws with the refusal when it is refused. */
export async function registerGraphql(
  gateway: TestGateway,
  name: string,
  url: string,
  graphql: object = {},
): Promise<void> {
  await expectOk(gateway, `/services/${name}`, { graphql, instances: [{ id: `${name}-1`, url }] });
}

/** Registers a REST service with one instance. */
export async function registerRest(
  gateway: TestGateway,
  name: string,
  url: string,
  routes: object[],
  more: object = {},
): Promise<void> {
  await expectOk(gateway, `/services/${name}`, { routes, instances: [{ id: `${name}-1`, url }], ...more });
}

async function expectOk(gateway: TestGateway, path: string, body: unknown): Promise<void> {
  const answer = await gateway.admin('PUT', path, body);
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

/** Waits until a condition holds; for what happens in the background, on nobody's clock but its own. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  patienceMs = 15_000,
): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
