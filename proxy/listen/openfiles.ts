import { readdirSync, readFileSync } from 'node:fs';

/**
 * How many client connections the open files of this process allow. Each may need another one for its backend, and all do at
 * once where they are tunnels: as many are left for those, beside what UDP flows may take. Where none is left, clients are not
 * accepted, whoever they are, and nobody makes room for them. Node has raised the limit as far as it may already.
 *
 * @returns Infinity where the system does not say
 */
export function connectionsByOpenFiles(): number {
  return Math.max(1, Math.floor((filesToGive() * (1 - udpShare)) / 2));
}

/**
 * How many UDP flows they allow. Each has a socket, and anybody can begin thousands in other people's names: they may take so
 * little that a flood of datagrams leaves connections and their backends what they mostly need.
 *
 * @returns Infinity where the system does not say
 */
export function udpFlowsByOpenFiles(): number {
  return Math.max(1, Math.floor(filesToGive() * udpShare));
}

const udpShare = 1 / 6;

function filesToGive(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const most = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
    return most - readdirSync('/proc/self/fd').length - spareFiles;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Log, listeners of tables to come, names to resolve. */
const spareFiles = 32;
