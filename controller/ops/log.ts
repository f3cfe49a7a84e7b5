import { destination, type Logger, pino } from 'pino';
import type { LogLevel } from '#kit/loglevel.ts';

/** JSON lines on stderr; stdout is for people and for the access log. */
export function openLog(level: LogLevel, base: object): Logger {
  const log = pino({ level: level.now, base }, destination({ fd: 2, sync: true }));
  level.follow((now) => {
    log.level = now;
    log.info({ level: now }, 'the log level is another from now on');
  });
  return log;
}

/** Values of flags, with a level that is followed. */
export type Leveled<V> = Omit<V, 'logLevel'> & { readonly logLevel: LogLevel };
