import { destination, type Logger, pino } from 'pino';

/** JSON lines on stderr; stdout is for people and for the access log. */
export function openLog(level: string, base: object): Logger {
  return pino({ level, base }, destination({ fd: 2, sync: true }));
}
