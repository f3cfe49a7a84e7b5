/**
 * What a controller and a worker weigh beside 5,000 Ingresses, 5,000 Services and 50,000 endpoints on a real API server, at the most
 * and afterwards. Run by `npm run bench -- weigh`; what has to hold is in `bars`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClusterRig, ingress, page, service, skip } from '../../test/feature/clusterrig.ts';
import type { Manifest } from '../../test/kit/apiserver.ts';
import { childrenOf } from '../../test/kit/procfs.ts';
import { eventually } from '../../test/kit/wait.ts';

const services = Number(process.env['BENCH_INGRESSES'] ?? 5_000);
const endpointsEach = Number(process.env['BENCH_ENDPOINTS'] ?? 10);

/** MiB of resident memory, at the most. */
const bars = { controller: 400, worker: 200 };

interface Weight {
  peakMib: number;
  settledMib: number;
}

/** Measures, and writes load/results/weigh.json. */
export async function weigh(): Promise<object> {
  if (skip) throw new Error(skip);
  const rig = await ClusterRig.start({ backends: ['backend'], controllers: 1, proxies: 1, workers: 1 });
  try {
    await fill(rig);
    // A controller and a proxy that find all of it at once weigh more than ones that see it grow.
    for (const { process } of [...rig.controllers.splice(0), ...rig.proxies.splice(0)]) await process.stop();
    const controller = await rig.startController();
    rig.controllers.push(controller);
    const proxy = await rig.startProxy('weighed');
    rig.proxies.push(proxy);
    await eventually(async () => (await hosts(proxy.admin)) >= services || undefined, 'all hosts', 900_000);
    // What is thrown away goes when memory is asked for again: a change of every tenth Service does that.
    for (let i = 0; i < services; i += 10) await rig.api.apply(slice(`s${i}`, i + 1));
    await eventually(async () => (await settled(rig)) || undefined, 'all changes to be applied', 900_000);
    const [worker = 0] = childrenOf(proxy.process.pid);
    const weights = {
      controller: weightOf(controller.process.pid),
      primary: weightOf(proxy.process.pid),
      worker: weightOf(worker),
    };
    const holds = weights.controller.peakMib <= bars.controller && weights.worker.peakMib <= bars.worker;
    const report = { ingresses: services, services, endpoints: services * endpointsEach, ...weights, bars, holds };
    const results = join(import.meta.dirname, '../results');
    mkdirSync(results, { recursive: true });
    writeFileSync(join(results, 'weigh.json'), `${JSON.stringify(report, null, 2)}\n`);
    return report;
  } finally {
    await rig.stop();
  }
}

async function fill(rig: ClusterRig): Promise<void> {
  const rest = Array.from({ length: services }, (_, i) => i);
  const work = async () => {
    for (let i = rest.shift(); i !== undefined; i = rest.shift()) {
      await rig.api.apply(service(`s${i}`), slice(`s${i}`, i), ingress(`s${i}`, `s${i}.test`, `s${i}`));
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
}

/** As the endpoint controller writes them. */
function slice(name: string, seed: number): Manifest {
  const endpoints = Array.from({ length: endpointsEach }, (_, i) => {
    const number = (seed * endpointsEach + i) % 131_072;
    return {
      // Nobody is there (RFC 2544), and nobody is asked for anything.
      addresses: [`198.${18 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${number % 100}`,
      zone: `zone-${number % 3}`,
      targetRef: { kind: 'Pod', name: `${name}-7c9d8f6b5d-${number.toString(36)}`, namespace: 'default' },
    };
  });
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8_080, protocol: 'TCP' }],
    endpoints,
  };
}

async function hosts(port: number): Promise<number> {
  return Number(/^sluice_table_rows\{kind="host"\} (\d+)$/m.exec(await page(port, '/metrics'))?.[1] ?? 0);
}

/** The proxy has what the controller says. */
async function settled({ controllers, proxies }: ClusterRig): Promise<boolean> {
  const generation = async (port: number, name: string) =>
    new RegExp(`^${name} (\\d+)$`, 'm').exec(await page(port, '/metrics'))?.[1];
  const told = await generation(controllers[0]?.admin ?? 0, 'sluice_controller_table_generation');
  return told !== undefined && told === (await generation(proxies[0]?.admin ?? 0, 'sluice_table_generation'));
}

function weightOf(pid: number): Weight {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (name: string) => Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024);
  return { peakMib: mib('VmHWM'), settledMib: mib('VmRSS') };
}
