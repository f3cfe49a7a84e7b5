import assert from 'node:assert/strict';
import type { AddressInfo, Server } from 'node:net';
import { after, before, test } from 'node:test';
import { download, startFlowBackend, upload } from '../kit/flow.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';

const mib = 1 << 20;
const bodyBytes = 256 * mib;
/** The promise of the project for bodies of any size; `npm run soak` holds it for 10 GB. */
const growthBound = 64 * mib;

let backend: Server;
let sluice: Standalone;

before(async () => {
  backend = await startFlowBackend();
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'flow', host: 'flow.test', paths: { '/': 'flow' }, annotations: { 'proxy-body-size': '0' } }),
      ...service('flow', [(backend.address() as AddressInfo).port]),
    ],
  });
  // Buffers and compiled code of the first bodies are not growth.
  await download({ port: sluice.httpPort, host: 'flow.test' }, 32 * mib);
  await upload({ port: sluice.httpPort, host: 'flow.test' }, 32 * mib);
});

after(async () => {
  await sluice?.stop();
  backend?.close();
});

/** Runs something while looking at the worker's memory; growth over the start, bytes. */
async function growthOf(run: () => Promise<void>): Promise<number> {
  const [worker = 0] = childrenOf(sluice.process.pid);
  const startBytes = residentBytes(worker);
  let most = startBytes;
  const timer = setInterval(() => {
    most = Math.max(most, residentBytes(worker));
  }, 20);
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
  return most - startBytes;
}

test('a download of 256 MiB passes whole, in constant memory', async (context) => {
  const growth = await growthOf(async () => {
    const report = await download({ port: sluice.httpPort, host: 'flow.test' }, bodyBytes);
    assert.deepEqual(report, { bytes: bodyBytes, isIntact: true });
  });
  context.diagnostic(`worker grew by ${(growth / mib).toFixed(1)} MiB`);
  assert.ok(growth < growthBound);
});

test('an upload of 256 MiB passes whole, in constant memory', async (context) => {
  const growth = await growthOf(async () => {
    assert.equal(await upload({ port: sluice.httpPort, host: 'flow.test' }, bodyBytes), bodyBytes);
  });
  context.diagnostic(`worker grew by ${(growth / mib).toFixed(1)} MiB`);
  assert.ok(growth < growthBound);
});

test('a client that stops reading stops the backend, and others are served meanwhile', async (context) => {
  const growth = await growthOf(async () => {
    const report = await download({ port: sluice.httpPort, host: 'flow.test' }, bodyBytes, {
      atBytes: mib,
      async resume() {
        for (let i = 0; i < 50; i++) {
          const other = await exchange({ port: sluice.httpPort }, get('/down?5', 'flow.test'));
          assert.equal(other.body.length, 5);
        }
      },
    });
    assert.deepEqual(report, { bytes: bodyBytes, isIntact: true });
  });
  context.diagnostic(`worker grew by ${(growth / mib).toFixed(1)} MiB`);
  assert.ok(growth < growthBound);
});
