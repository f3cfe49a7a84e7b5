import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { memoryKib, type Sample, treeOf } from './measure.ts';
import type { Setting } from './peers.ts';
import type { Row } from './rows.ts';

/**
 * Memory of one idle keep-alive connection: opens many, each does one request, and the growth of the proxy's memory is
 * divided among them. A first batch warms pools and code and is closed before the measured one.
 */
export async function idleMemory(pid: number, row: Row, setting: Setting, core: string): Promise<Sample> {
  const port = row.isTls ? setting.httpsPort : setting.httpPort;
  const warm = await hold(port, row.isTls, 500, core);
  await release(warm);
  const before = memoryKib(treeOf(pid));
  const held = await hold(port, row.isTls, row.connections, core);
  const after = memoryKib(treeOf(pid));
  await release(held);
  const bytes = ((after - before) * 1024) / row.connections;
  return { microsPerRequest: bytes, requestsPerSecond: 0, failed: 0, p50Ms: 0, p99Ms: 0 };
}

/** Starts a process that holds idle connections; resolves when each has had its answer. */
function hold(port: number, isTls: boolean, count: number, core: string): Promise<ChildProcess> {
  const { promise, resolve, reject } = Promise.withResolvers<ChildProcess>();
  const holder = join(import.meta.dirname, 'holder.ts');
  const child = spawn('taskset', ['-c', core, process.execPath, holder, String(port), String(isTls), String(count)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdout.once('data', () => resolve(child));
  child.once('exit', (code) => reject(new Error(`the holder ended with ${code}`)));
  return promise;
}

function release(child: ChildProcess): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  child.removeAllListeners('exit');
  child.once('exit', () => resolve());
  child.stdin?.end();
  return promise;
}
