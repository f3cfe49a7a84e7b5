import pino from 'pino';
import type { LogLevel } from '#kit/loglevel.ts';

/** JSON lines on stderr; `base` says in each who speaks. */
export function openProcessLog(level: LogLevel, base: object): pino.Logger {
  const log = pino({ level: level.now, base }, pino.destination({ fd: 2, sync: true }));
  level.follow((now) => {
    log.level = now;
    log.info({ level: now }, 'the log level is another from now on');
  });
  return log;
}
