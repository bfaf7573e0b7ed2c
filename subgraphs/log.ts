/** Where the control plane says what an operator should know. A pino logger fits. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** For who does not care. */
export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };
