/**
 * `npm run soak`: 10 GB up and 10 GB down through one worker, as HTTP and as a TCP connection that is not read. Fails when a byte is lost or the worker's memory grows
 * by more than 64 MiB. Another size in GB can be given as the first argument.
 */
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { download, startFlowBackend, upload } from '../kit/flow.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { Standalone } from '../kit/sluice.ts';

const mib = 1 << 20;
const bytes = Number(process.argv[2] ?? 10) * 1_000_000_000;
const backend = await startFlowBackend();
const [tcpPort = 0] = await freePorts(1);
const sluice = await Standalone.start({
  manifests: [
    ingressClass(),
    ingress({ name: 'flow', host: 'flow.test', paths: { '/': 'flow' }, annotations: { 'proxy-body-size': '0' } }),
    ...service('flow', [(backend.address() as AddressInfo).port]),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'tcp', namespace: 'default' },
      data: { [tcpPort]: 'default/flow:80' },
    },
  ],
  args: ['--tcp-services-configmap', 'default/tcp'],
});
try {
  for (const [what, port] of [
    ['HTTP', sluice.httpPort],
    ['TCP', tcpPort],
  ] as const) {
    const target = { port, host: 'flow.test' };
    await download(target, 64 * mib);
    await upload(target, 64 * mib);
    await measure(`${what} down`, async () => {
      assert.deepEqual(await download(target, bytes), { bytes, isIntact: true });
    });
    await measure(`${what} up`, async () => assert.equal(await upload(target, bytes), bytes));
  }
} finally {
  await sluice.stop();
  backend.close();
}

async function measure(direction: string, run: () => Promise<void>): Promise<void> {
  const [worker = 0] = childrenOf(sluice.process.pid);
  const startMs = performance.now();
  const startBytes = residentBytes(worker);
  let most = startBytes;
  const timer = setInterval(() => {
    most = Math.max(most, residentBytes(worker));
  }, 100);
  await run();
  clearInterval(timer);
  const seconds = (performance.now() - startMs) / 1000;
  const growth = (most - startBytes) / mib;
  console.log(
    `${direction}: ${bytes / 1e9} GB in ${seconds.toFixed(1)} s, worker ${(startBytes / mib).toFixed(1)} MiB, grew by ${growth.toFixed(1)} MiB`,
  );
  assert.ok(growth <= 64, `the worker grew by ${growth} MiB`);
}
