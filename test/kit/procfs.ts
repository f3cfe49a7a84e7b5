import { readdirSync, readFileSync } from 'node:fs';

/** Child processes of a process: the workers of a proxy. Linux only. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** Resident memory of a process now, bytes. Linux only. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

/** The most that it ever was. */
export function mostResidentBytes(pid: number): number {
  return statusBytes(pid, 'VmHWM');
}

function statusBytes(pid: number, name: string): number {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kib === undefined) throw new Error(`process ${pid} has no memory figures: it has ended`);
  return Number(kib) * 1024;
}

/** CPU time that a process has used, s. Linux only. */
export function cpuSeconds(pid: number): number {
  // The name in the second field may hold anything; the fields behind it are numbers.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The number that the next file of a process gets: the limit at which it can open no more. Linux only. */
export function nextFile(pid: number): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let next = 0;
  while (taken.has(next)) next++;
  return next;
}

/** How many wait to be accepted at a port, of those whom the kernel has connected. Linux only. */
export function waitingAt(port: number): number {
  const rows = ['tcp', 'tcp6'].flatMap((name) => readFileSync(`/proc/net/${name}`, 'latin1').split('\n'));
  // Of a socket that listens (0A), the second of its queues is theirs.
  const listening = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 0A \\w+:(\\w+)`);
  return rows.reduce((sum, row) => sum + Number.parseInt(listening.exec(row)?.[1] ?? '0', 16), 0);
}
