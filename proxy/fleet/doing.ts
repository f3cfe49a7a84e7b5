import { readdirSync, readFileSync } from 'node:fs';

/** What a process does at this moment. */
export interface Doing {
  /** One of its threads is at work, or would be if it were given a core. */
  readonly wantsCore: boolean;
  /** What all its threads have taken of cores since they began, ms. */
  readonly cpuMs: number;
}

/** Of proc_pid_stat(5). A clock tick is 10 ms to every program, whatever the kernel's own is. */
const tickMs = 10;

/** null: it is gone, or this is not Linux. */
export function doingOf(pid: number): Doing | null {
  try {
    const [userTicks, systemTicks] = statOf(`/proc/${pid}/stat`).slice(11);
    const wantsCore = readdirSync(`/proc/${pid}/task`).some((thread) => isRunnable(pid, thread));
    return { wantsCore, cpuMs: (Number(userTicks) + Number(systemTicks)) * tickMs };
  } catch {
    return null;
  }
}

function isRunnable(pid: number, thread: string): boolean {
  try {
    return statOf(`/proc/${pid}/task/${thread}/stat`)[0] === 'R';
  } catch {
    // It has ended meanwhile.
    return false;
  }
}

/** From the state on. The name before it may hold anything, blanks and parentheses included. */
function statOf(path: string): string[] {
  const text = readFileSync(path, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
