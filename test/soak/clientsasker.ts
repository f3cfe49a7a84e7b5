/** Opens a connection of another client for each request, at a rate, whether answers come or not; in a process of its own (redis.ts). */
import { connect } from 'node:net';

export interface ClientsPlan {
  readonly port: number;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface ClientsOutcome {
  readonly statuses: Readonly<Record<string, number>>;
  /** From the moment at which each was due, ms. */
  readonly waitsMs: readonly number[];
}

const patienceMs = 3_000;
/** So that most come again, and some for the first time, for as long as it takes. */
const clients = 16_000;
let opened = 0;

async function run({ port, perSecond, seconds }: ClientsPlan): Promise<ClientsOutcome> {
  const statuses: Record<string, number> = {};
  const waitsMs: number[] = [];
  let pending = 0;
  const ask = (dueMs: number) => {
    pending++;
    const nth = opened++ % clients;
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.1.${nth >> 7}.${(nth & 127) + 1}` });
    let text = '';
    socket.setTimeout(patienceMs, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    socket.on('close', () => {
      pending--;
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 'no answer';
      statuses[status] = (statuses[status] ?? 0) + 1;
      waitsMs.push(performance.now() - dueMs);
    });
    socket.write('GET / HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n');
  };
  const startMs = performance.now();
  for (let count = 0; count < perSecond * seconds; ) {
    const dueCount = Math.min(perSecond * seconds, ((performance.now() - startMs) * perSecond) / 1000);
    for (; count < dueCount; count++) ask(startMs + (count * 1000) / perSecond);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  while (pending > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  return { statuses, waitsMs };
}

process.on('message', async (plan: ClientsPlan) => process.send?.(await run(plan)));
process.on('disconnect', () => process.exit(0));
