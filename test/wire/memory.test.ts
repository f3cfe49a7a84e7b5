import assert from 'node:assert/strict';
import { totalmem } from 'node:os';
import { after, before, test } from 'node:test';
import { Attack } from '../kit/attack.ts';
import { everythingTo } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const mostBytes = 176 << 20;

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  sluice = await Standalone.start({
    manifests: everythingTo(recorder.port),
    args: ['--limit-memory-bytes', `${mostBytes}`, '--limit-head-bytes', '65536', '--limit-head-ms', '60000'],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

test('near its limit of memory a worker sheds what is new, holds the limit, and takes everything again when it can', async () => {
  const ask = async () =>
    (await exchange({ port: sluice.httpPort }, get('/', 'gw.test')).catch(() => undefined))?.status;
  const [worker = 0] = childrenOf(sluice.process.pid);
  assert.equal(await ask(), 200);
  // Heads that are nearly whole, of 60 KB each: three times what there is room for.
  const flood = Attack.start({
    port: sluice.httpPort,
    from: Array.from({ length: 32 }, (_, nth) => `127.0.66.${nth + 1}`),
    connections: 4_000,
    behave(socket) {
      socket.write(`GET / HTTP/1.1\r\nX: ${'a'.repeat(60_000)}`);
      return undefined;
    },
  });
  try {
    let most = 0;
    await eventually(async () => {
      most = Math.max(most, residentBytes(worker));
      const status = await ask();
      assert.ok(status === 200 || status === 503 || status === undefined, `${status}`);
      const page = await sluice.admin('/metrics');
      // Heads that wait are ended, too: there may be room again before anybody else connects.
      return /^sluice_\S+_total\{(?:\S+,)?(?:flag="OM"|reason="memory")\} [1-9]/m.test(page) ? true : undefined;
    }, 'connections or requests to be turned away for want of memory');
    for (let count = 0; count < 20; count++) {
      await ask();
      most = Math.max(most, residentBytes(worker));
    }
    assert.ok(most <= mostBytes, `${most >> 20} MiB`);
  } finally {
    flood.stop();
  }
  await eventually(async () => ((await ask()) === 200 ? true : undefined), 'service as before');
  const keeps = await exchange({ port: sluice.httpPort }, get('/', 'gw.test'));
  assert.equal(keeps.status, 200);
  assert.equal(childrenOf(sluice.process.pid)[0], worker, 'the same worker');
});

// Where a pod has no limit, a flood would take the memory of its node.
test('who sets nothing has a limit all the same, by the container or the machine', async () => {
  const unset = await Standalone.start({ manifests: everythingTo(recorder.port) });
  try {
    const [, bytes] = await unset.process.printed(/"memoryBytes":(\d+)/);
    assert.ok(Number(bytes) >= 160 << 20 && Number(bytes) <= Math.min(totalmem(), 4 * 1024 ** 3), `${bytes}`);
  } finally {
    await unset.stop();
  }
});
