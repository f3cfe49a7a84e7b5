import { readFileSync, watchFile } from 'node:fs';
import type { LogLevel } from '#kit/loglevel.ts';
import { logLevel } from './flag.ts';

/**
 * The level of --log-level, and the one that a file says while it says one: a ConfigMap that is mounted changes what every pod
 * logs, without a restart and without a page that can be written to.
 */
export function followedLevel({
  logLevel: given,
  logLevelFile,
}: {
  logLevel: string;
  logLevelFile: string | null;
}): LogLevel {
  const listeners: ((level: string) => void)[] = [];
  let now = levelOf(logLevelFile) ?? given;
  if (logLevelFile !== null) {
    // Looks instead of listening: the link of a mounted ConfigMap is replaced as a whole, which tells nobody.
    watchFile(logLevelFile, { interval: everyMs, persistent: false }, () => {
      const level = levelOf(logLevelFile) ?? given;
      if (level === now) return;
      now = level;
      for (const change of listeners) change(level);
    });
  }
  return {
    get now() {
      return now;
    },
    follow: (change) => void listeners.push(change),
  };
}

const everyMs = 1_000;

/** null: there is no file, or it holds no level. */
function levelOf(file: string | null): string | null {
  try {
    return file === null ? null : logLevel.parse(readFileSync(file, 'utf8').trim());
  } catch {
    return null;
  }
}
