import files from 'node:fs';
import pino from 'pino';
import { followLevel, type LogLevel } from '#kit/loglevel.ts';
import { unblockedStderr } from '#kit/stderr.ts';

/** JSON lines on stderr; `base` says in each who speaks. */
export function openProcessLog(level: LogLevel, base: object): pino.Logger {
  const stderr = pino.destination(unblockedStderr(files));
  // It is full, or nobody reads it: there is nowhere to say so.
  stderr.on('error', () => {});
  const log = pino({ level: level.now, base }, stderr);
  followLevel(log, level);
  return log;
}
