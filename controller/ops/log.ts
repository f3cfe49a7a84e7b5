import files from 'node:fs';
import { destination, type Logger, pino } from 'pino';
import { followLevel, type LogLevel } from '#kit/loglevel.ts';
import { unblockedStderr } from '#kit/stderr.ts';

/** JSON lines on stderr; stdout is for people and for the access log. */
export function openLog(level: LogLevel, base: object): Logger {
  const stderr = destination(unblockedStderr(files));
  // It is full, or nobody reads it: there is nowhere to say so.
  stderr.on('error', () => {});
  const log = pino({ level: level.now, base }, stderr);
  followLevel(log, level);
  return log;
}

/** Values of flags, with a level that is followed. */
export type Leveled<V> = Omit<V, 'logLevel'> & { readonly logLevel: LogLevel };
