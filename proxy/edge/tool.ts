import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/**
 * Starts a program. What keeps it from beginning Node tells in its own ways: most by the event `error`, of which a want of descriptors
 * leaves a child without pipes; and a want of memory by throwing, which is returned here.
 */
export function startTool(program: string, args: readonly string[], options: SpawnOptions): ChildProcess | Error {
  try {
    return spawn(program, args, options);
  } catch (error) {
    return error as Error;
  }
}
