/** Questions and news between the primary and one worker, over the channel that Node opens between processes. */

/** The kinds of messages that one side understands: what each carries, and what is answered. */
export type MessageKinds<Kinds> = { readonly [Kind in keyof Kinds]: (body: never) => unknown };

type BodyOf<Message> = Message extends (body: infer Body) => unknown ? Body : never;
type AnswerOf<Message> = Message extends (body: never) => infer Answer ? Answer : never;

export type MessageHandlers<Kinds> = {
  readonly [Kind in keyof Kinds]: (body: BodyOf<Kinds[Kind]>) => AnswerOf<Kinds[Kind]> | Promise<AnswerOf<Kinds[Kind]>>;
};

/** One side of the channel. Bodies and answers are plain data. */
export interface WorkerLink<Kinds extends MessageKinds<Kinds>> {
  /** Says something and wants no answer. */
  tell<Kind extends keyof Kinds>(kind: Kind, body: BodyOf<Kinds[Kind]>): void;
  /** Asks. Rejects when the other side failed, is gone, or did not answer in time. */
  ask<Kind extends keyof Kinds>(
    kind: Kind,
    body: BodyOf<Kinds[Kind]>,
    patienceMs?: number,
  ): Promise<AnswerOf<Kinds[Kind]>>;
  /** Takes what the other side sent. */
  receive(message: unknown): void;
  /** Nothing comes any more: whoever waits for an answer gets none. */
  close(): void;
}

export interface WorkerLinkOptions<Own> {
  readonly send: (message: object) => void;
  readonly handlers: MessageHandlers<Own>;
  /** What was told, not asked, and failed. */
  readonly onFailure: (error: unknown) => void;
}

type Message =
  | { readonly selvage: 'tell'; readonly kind: string; readonly body: unknown }
  | { readonly selvage: 'ask'; readonly id: number; readonly kind: string; readonly body: unknown }
  | { readonly selvage: 'answer'; readonly id: number; readonly body: unknown }
  | { readonly selvage: 'failure'; readonly id: number; readonly message: string; readonly syscall?: string };

interface Asked {
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

/** Creates one side. `Own` is what this side understands, `Other` what the other side does. */
export function createWorkerLink<Own extends MessageKinds<Own>, Other extends MessageKinds<Other>>(
  options: WorkerLinkOptions<Own>,
): WorkerLink<Other> {
  const { send, onFailure } = options;
  const handlers = options.handlers as Readonly<Record<string, ((body: unknown) => unknown) | undefined>>;
  const asked = new Map<number, Asked>();
  let lastId = 0;
  let closed = false;

  function settle(id: number): Asked | undefined {
    const found = asked.get(id);
    clearTimeout(found?.timer);
    asked.delete(id);
    return found;
  }

  async function handle(kind: string, body: unknown): Promise<unknown> {
    const handler = handlers[kind];
    if (handler === undefined) throw new TypeError(`nobody understands '${kind}'`);
    return await handler(body);
  }

  function answer(id: number, kind: string, body: unknown): void {
    handle(kind, body).then(
      (result) => post({ selvage: 'answer', id, body: result }),
      (error) => post({ selvage: 'failure', id, ...describe(error) }),
    );
  }

  function post(message: Message): void {
    if (!closed) send(message);
  }

  return {
    tell: (kind, body) => post({ selvage: 'tell', kind: String(kind), body }),
    ask(kind, body, patienceMs) {
      if (closed) return Promise.reject(new Error('the other process is gone'));
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const id = ++lastId;
      const giveUp = (): void => settle(id)?.reject(new Error(`no answer to '${String(kind)}' in time`));
      const timer = patienceMs === undefined ? undefined : setTimeout(giveUp, patienceMs).unref();
      asked.set(id, { resolve, reject, timer });
      post({ selvage: 'ask', id, kind: String(kind), body });
      return promise as ReturnType<WorkerLink<Other>['ask']> as never;
    },
    receive(received) {
      const message = received as Message;
      // Other libraries may use the channel as well.
      if (typeof message !== 'object' || message === null || closed) return;
      if (message.selvage === 'tell') handle(message.kind, message.body).catch(onFailure);
      else if (message.selvage === 'ask') answer(message.id, message.kind, message.body);
      else if (message.selvage === 'answer') settle(message.id)?.resolve(message.body);
      else if (message.selvage === 'failure') settle(message.id)?.reject(revive(message));
    },
    close() {
      closed = true;
      for (const id of [...asked.keys()]) settle(id)?.reject(new Error('the other process is gone'));
    },
  };
}

/** By `syscall` one knows a port that is in use, which is the operator's matter, from a fault. */
function describe(error: unknown): { message: string; syscall?: string } {
  if (!(error instanceof Error)) return { message: String(error) };
  return { message: error.message, ...('syscall' in error && { syscall: String(error.syscall) }) };
}

function revive({ message, syscall }: { message: string; syscall?: string }): Error {
  return Object.assign(new Error(message), syscall === undefined ? {} : { syscall });
}
