/** A service of bytes that breaks connections at random ones: of the request, of the answer, or between two requests. */
import { createServer, type Server, type Socket } from 'node:net';

/** Requests by id (`x-request-id`), with how often each has reached any instance, be it in part. */
export type Arrivals = Map<string, number>;

export interface FaultyService extends AsyncDisposable {
  readonly url: string;
}

type Random = () => number;

const answerBody = '{"data":{"count":1,"bump":1}}';
const answer = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${answerBody.length}\r\n\r\n${answerBody}`;

/** Starts one instance. */
export async function startFaultyService(arrivals: Arrivals, random: Random): Promise<FaultyService> {
  const sockets = new Set<Socket>();
  // Half open: what still arrives after the service has said its last word is seen, and counted.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    if (random() < 0.02) breakOff(socket, random);
    else new FaultyConnection(socket, arrivals, random).listen();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    [Symbol.asyncDispose]: () => close(server, sockets),
  };
}

function close(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  for (const socket of sockets) socket.destroy();
  return new Promise((resolve) => server.close(() => resolve()));
}

/** RST or FIN. */
function breakOff(socket: Socket, random: Random): void {
  if (random() < 0.5) socket.resetAndDestroy();
  else socket.end();
}

class FaultyConnection {
  readonly #socket: Socket;
  readonly #arrivals: Arrivals;
  readonly #random: Random;
  #text = '';
  #isNoted = false;
  /** Bytes of the present request after which the connection breaks. */
  #breakAt: number;

  constructor(socket: Socket, arrivals: Arrivals, random: Random) {
    this.#socket = socket;
    this.#arrivals = arrivals;
    this.#random = random;
    this.#breakAt = this.#chooseBreak();
  }

  listen(): void {
    this.#socket.on('data', (chunk) => this.#take(chunk.toString('latin1')));
    this.#socket.on('end', () => this.#socket.end());
  }

  #chooseBreak(): number {
    return this.#random() < 0.15 ? 1 + Math.floor(this.#random() * 1_500) : Number.POSITIVE_INFINITY;
  }

  #take(text: string): void {
    this.#text += text;
    this.#note();
    if (this.#text.length >= this.#breakAt) breakOff(this.#socket, this.#random);
    else if (isWhole(this.#text)) this.#answer();
  }

  /** Every request counts once for each connection on which any of it arrived. */
  #note(): void {
    const id = /x-request-id: (\S+)\r\n/i.exec(this.#text)?.[1];
    if (this.#isNoted || id === undefined) return;
    this.#isNoted = true;
    this.#arrivals.set(id, (this.#arrivals.get(id) ?? 0) + 1);
  }

  #answer(): void {
    this.#text = '';
    this.#isNoted = false;
    this.#breakAt = this.#chooseBreak();
    const chance = this.#random();
    if (chance < 0.25) {
      this.#socket.write(answer.slice(0, Math.floor(this.#random() * answer.length)));
      breakOff(this.#socket, this.#random);
      return;
    }
    this.#socket.write(answer);
    // The trap of keep-alive: the connection ends while the next request is on its way.
    if (chance < 0.45) setTimeout(() => breakOff(this.#socket, this.#random), this.#random() * 4);
  }
}

/** Whether a request has ended: by its length, or by its last chunk. */
function isWhole(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const head = text.slice(0, headEnd);
  if (/transfer-encoding: chunked/i.test(head)) return text.endsWith('0\r\n\r\n');
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  return text.length >= headEnd + 4 + length;
}
