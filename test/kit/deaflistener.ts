import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export interface DeafListener {
  readonly port: number;
  /** Of its socket; threads have descriptors in common. */
  readonly descriptor: number;
  close(): Promise<unknown>;
}

/** A socket that listens and takes no connection, for its thread stands still. Linux queues one more than the backlog. */
export async function deafListener(backlog: number): Promise<DeafListener> {
  const worker = new Worker(
    `const { parentPort, workerData: { backlog, wait } } = require('node:worker_threads');
     const server = require('node:net').createServer();
     server.listen({ port: 0, host: '127.0.0.1', backlog }, () => {
       parentPort.postMessage({ port: server.address().port, descriptor: server._handle.fd });
       Atomics.wait(wait, 0, 0);
     });`,
    { eval: true, workerData: { backlog, wait: new Int32Array(new SharedArrayBuffer(4)) } },
  );
  const [where] = (await once(worker, 'message')) as [Pick<DeafListener, 'port' | 'descriptor'>];
  return { ...where, close: () => worker.terminate() };
}
