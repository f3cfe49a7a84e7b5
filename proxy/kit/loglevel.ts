/** The least severe line that a process logs; it may change while the process runs. */
export interface LogLevel {
  /** `debug`, `info`, `warn`, `error` or `silent`. */
  readonly now: string;
  /** Calls back at every change. */
  follow(change: (level: string) => void): void;
}

/** As much of pino's logger as is needed here. */
interface Leveled {
  level: string;
  info(fields: object, message: string): void;
}

/** Has a log keep to the level, whatever that becomes. */
export function followLevel(log: Leveled, level: LogLevel): void {
  level.follow((now) => {
    log.level = now;
    log.info({ level: now }, 'the log level is another from now on');
  });
}
