/** The least severe line that a process logs; it may change while the process runs. */
export interface LogLevel {
  /** `debug`, `info`, `warn`, `error` or `silent`. */
  readonly now: string;
  /** Calls back at every change. */
  follow(change: (level: string) => void): void;
}
