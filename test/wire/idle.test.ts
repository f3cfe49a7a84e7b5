import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { everythingTo } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { get, RawClient, type RawClientOptions } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  sluice = await Standalone.start({
    manifests: everythingTo(recorder.port),
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** Opens connections that have had one request each, a few at a time. */
async function openIdle(target: RawClientOptions, count: number): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  const openSome = async () => {
    while (clients.length < count) {
      const client = await RawClient.open(target);
      clients.push(client);
      client.send(get('/', 'gw.test'));
      await client.response();
    }
  };
  await Promise.all(Array.from({ length: 8 }, openSome));
  return clients;
}

const kinds = [
  { what: 'plain', count: 3_000, bound: 10_000 },
  { what: 'TLS', count: 1_500, bound: 50_000 },
] as const;

for (const { what, count, bound } of kinds) {
  test(`an idle ${what} connection costs at most ${bound / 1000} KB`, async (context) => {
    const target =
      what === 'TLS' ? { port: sluice.httpsPort, tls: { servername: 'gw.test' } } : { port: sluice.httpPort };
    // What the first connections make the process allocate once is not the cost of a connection.
    const first = await openIdle(target, 300);
    const worker = childrenOf(sluice.process.pid)[0] ?? 0;
    const startBytes = residentBytes(worker);
    const idle = await openIdle(target, count);
    const each = (residentBytes(worker) - startBytes) / idle.length;
    context.diagnostic(`${(each / 1000).toFixed(1)} KB per idle ${what} connection`);
    for (const client of [...first, ...idle]) client.destroy();
    assert.ok(each <= bound, `${each} bytes`);
  });
}
