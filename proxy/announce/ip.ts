import { reasonOf } from '#kit/reason.ts';
import { startTool } from '../edge/tool.ts';

export interface IpResult {
  /** What the commands printed, as JSON. */
  readonly output: string;
  /** Why a command failed, by its place; those that are not here were done. */
  readonly failures: ReadonlyMap<number, string>;
}

/**
 * Runs commands of ip(8) in one process, one after the other, each whatever became of those before it. Never rejects: where
 * there is no ip, all of them have failed.
 */
export async function runIp(commands: readonly string[]): Promise<IpResult> {
  const failedBy = (reason: string | number) => new Map(commands.map((_, place) => [place, `ip: ${reason}`]));
  const child = startTool('ip', ['-j', '-force', '-batch', '-'], { timeout: timeoutMs, killSignal: 'SIGKILL' });
  if (child instanceof Error) return { output: '', failures: failedBy(reasonOf(child)) };
  let output = '';
  let complaints = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(commands.map((command) => `${command}\n`).join(''));
  const { promise, resolve } = Promise.withResolvers<string | number>();
  child.on('error', (error) => resolve(reasonOf(error)));
  child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  const end = await promise;
  const failures = failuresOf(complaints);
  // Without a word about a command, as for want of a socket, it has not come to any.
  const isDone = typeof end === 'number' && (end === 0 || failures.size > 0);
  return { output, failures: isDone ? failures : failedBy(end) };
}

/** The reason stands before the line that says which command it was. */
function failuresOf(complaints: string): Map<number, string> {
  const failures = new Map<number, string>();
  let reason = '';
  for (const line of complaints.split('\n')) {
    const number = /^Command failed -:(\d+)$/.exec(line)?.[1];
    if (number === undefined) reason = line || reason;
    else failures.set(Number(number) - 1, reason);
  }
  return failures;
}

const timeoutMs = 10_000;
