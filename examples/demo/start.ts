import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';

/** The backends that the manifests in examples/ point at. */
const backends: readonly (readonly [script: string, ...args: string[]])[] = [
  ['echo.ts', 'echo-1', '27081'],
  ['echo.ts', 'echo-2', '27082'],
  ['echo.ts', 'echo-3', '27083'],
  ['chat.ts', '27090'],
];

/**
 * Starts the demo backends, a process each, and resolves once all of them listen.
 *
 * @throws When one cannot, most likely because its port is taken.
 */
export async function startDemo(): Promise<{ stop(): void }> {
  const children: ChildProcess[] = [];
  const stop = () => {
    for (const child of children) child.kill();
  };
  try {
    await Promise.all(
      backends.map(([script, ...args]) => {
        const child = fork(join(import.meta.dirname, script), args);
        children.push(child);
        return new Promise<void>((resolve, reject) => {
          child.once('message', () => resolve());
          child.once('exit', () => reject(new Error(`the demo backend ${args.join(' on port ')} could not start`)));
        });
      }),
    );
  } catch (error) {
    stop();
    throw error;
  }
  return { stop };
}
