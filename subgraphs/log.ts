/** Where the control plane says what an operator should know. The gateway's log fits; an error stands under `error`. */
export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** For who does not care. */
export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };
