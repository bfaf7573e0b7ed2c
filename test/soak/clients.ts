/** Clients of every kind, at both doors, without end. */
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { visitGraph } from './graphql-clients.ts';
import { visitPipelined, visitSocket } from './raw-clients.ts';
import { type Visit, visitBody, visitEvents, visitUpload } from './rest-clients.ts';
import { pickWeighted, type World } from './world.ts';

/** The longest time for a request: the deadline, a body that stalls and one that is read slowly, on a busy machine. */
const boundMs = 45_000;

type Kind = readonly [name: string, visit: (visit: Visit) => Promise<string>];

const kinds: readonly (readonly [number, Kind])[] = [
  [30, ['GET', (visit) => visitBody(visit, 'steady')]],
  [5, ['GET, slow', (visit) => visitBody(visit, 'slow')]],
  [8, ['GET, leaving', (visit) => visitBody(visit, 'leaving')]],
  [3, ['HEAD', (visit) => visitBody(visit, 'steady', 'HEAD')]],
  [10, ['upload', (visit) => visitUpload(visit, 'steady')]],
  [3, ['upload, slow', (visit) => visitUpload(visit, 'slow')]],
  [4, ['upload, leaving', (visit) => visitUpload(visit, 'leaving')]],
  [4, ['events', (visit) => visitEvents(visit, 'steady')]],
  [3, ['events, leaving', (visit) => visitEvents(visit, 'leaving')]],
  [8, ['pipelined', (visit) => visitPipelined(visit, false)]],
  [3, ['half-closed', (visit) => visitPipelined(visit, true)]],
  [5, ['WebSocket', visitSocket]],
  [25, ['GraphQL', (visit) => visitGraph(visit, false)]],
  [6, ['GraphQL, leaving', (visit) => visitGraph(visit, true)]],
];

/** One visit after the other, until told to stop; half of the clients keep their connection. */
export async function runClient(world: World, number: number, isOver: () => boolean): Promise<void> {
  const agent = number % 2 === 0 ? new Agent({ keepAlive: true, maxSockets: 1 }) : false;
  for (let visit = 0; !isOver(); visit++) {
    await makeVisit({ world, agent, id: `soak-${number}-${visit}-${world.isCalm ? 'calm' : 'chaos'}` });
    await sleep(world.random() * 60);
  }
  if (agent !== false) agent.destroy();
}

/** A visit of a random kind. False when it did not end well. */
export async function makeVisit(visit: Visit): Promise<boolean> {
  const { tally, random } = visit.world;
  const [name, run] = pickWeighted(random, kinds);
  const timer = Promise.withResolvers<never>();
  const timeout = setTimeout(() => timer.reject(new Error(`no end after ${boundMs} ms`)), boundMs);
  try {
    const ending = await Promise.race([run(visit), timer.promise]);
    tally.count(`${name}: ${ending}`);
    tally.count('requests');
    return ending === 'whole' || ending === 'left';
  } catch (error) {
    tally.blame(`${name} (${visit.id}): ${error instanceof Error ? error.message : String(error)}`);
    return false;
  } finally {
    clearTimeout(timeout);
  }
}
