/**
 * `npm run hostile -- 1000 5 [words]`: what honest clients notice of so many connections of each kind of attack (or of those
 * named with the words), over so many seconds: waits before and meanwhile, failures, and the growth of the worker. Figures mean something on a quiet machine only.
 */
import { Attack } from '../kit/attack.ts';
import { attacks } from '../kit/attacks.ts';
import { certificateFor } from '../kit/certificate.ts';
import { Load, type LoadReport } from '../kit/load.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

const connections = Number(process.argv[2] ?? 1_000);
const seconds = Number(process.argv[3] ?? 5);
const wanted = process.argv[4] ?? '';
const large = 'x'.repeat(4 << 20);
const recorder = await Recorder.start({
  onRequest: (request) => answer(request, request.target === '/large' ? large : 'ok'),
});

try {
  for (const [what, options] of Object.entries(attacks)) {
    if (!what.includes(wanted)) continue;
    // A new gateway for each: what one attack has left behind is not the next one's.
    const sluice = await Standalone.start({
      manifests: [
        ingressClass(),
        ingress({
          name: 'all',
          host: 'gw.test',
          paths: { '/': 'recorder' },
          tlsSecret: 'cert',
          annotations: { 'ssl-redirect': 'false' },
        }),
        ...service('recorder', [recorder.port]),
        tlsSecret('cert', await certificateFor(['gw.test'])),
      ],
    });
    const isTls = options.isTls === true;
    const port = isTls ? sluice.httpsPort : sluice.httpPort;
    const [worker = 0] = childrenOf(sluice.process.pid);
    await measure(port, isTls);
    const before = await measure(port, isTls);
    const startBytes = residentBytes(worker);
    const attack = Attack.start({ port, from: ['127.0.66.1'], connections, ...options });
    const meanwhile = await measure(port, isTls);
    const grown = residentBytes(worker) - startBytes;
    attack.stop();
    await sluice.stop();
    for (const [failure, all] of Map.groupBy(meanwhile.failures, (each) => each))
      console.log(`  ${all.length} × ${failure}`);
    console.log(
      `${what}: p50 ${p(before, 0.5)} → ${p(meanwhile, 0.5)} ms, p99 ${p(before, 0.99)} → ${p(meanwhile, 0.99)} ms,`,
      `${meanwhile.failures.length} failed of ${meanwhile.answered}, ${Math.round(grown / connections / 1024)} KiB per attacker`,
    );
  }
} finally {
  await recorder.stop();
}

async function measure(port: number, isTls: boolean): Promise<LoadReport> {
  const load = Load.start({ port, host: 'gw.test', connections: 8, requestsPerSecond: 400, isTls });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return await load.stop();
}

function p({ waitsMs }: LoadReport, share: number): string {
  return (waitsMs.toSorted((one, other) => one - other)[Math.floor(waitsMs.length * share)] ?? 0).toFixed(2);
}
