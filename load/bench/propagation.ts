/**
 * How long after an API server has taken an Ingress its first request is served, beside 1,000 others: real API server,
 * controller and proxy, one of each. Run by `npm run bench -- propagation`.
 *
 * The clock starts when the call that created the object has returned. From then on one kept connection asks every
 * millisecond until the answer is 200. Any answer but 404 before that is an error, and so is one but 200 after it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'undici';
import { ClusterRig, ingress, service, skip, slice } from '../../test/feature/clusterrig.ts';
import type { Manifest } from '../../test/kit/apiserver.ts';
import { eventually } from '../../test/kit/wait.ts';
import { memoryKib, treeOf } from './measure.ts';

const ingresses = Number(process.env['BENCH_INGRESSES'] ?? 1_000);
const probes = Number(process.env['BENCH_PROBES'] ?? 120);

/** Times in ms. */
export interface Propagation {
  ingresses: number;
  probes: number;
  mean: number;
  p50: number;
  p99: number;
  max: number;
  errors: number;
  controllerMib: number;
  proxyMib: number;
}

/** Measures, and writes load/results/propagation.json. */
export async function measurePropagation(): Promise<Propagation> {
  if (skip) throw new Error(skip);
  const rig = await ClusterRig.start({ backends: ['backend'], controllers: 1, proxies: 0, workers: 1 });
  try {
    const names = Array.from({ length: ingresses }, (_, i) => `s${i}`);
    await fillCluster(rig, names);
    const proxy = await rig.startProxy('proxy-1');
    rig.proxies.push(proxy);
    await eventually(async () => (await askOnce(proxy.http, `s${ingresses - 1}.test`)) || undefined, 'the last host');
    const client = new Client(`http://127.0.0.1:${proxy.http}`);
    const waits: number[] = [];
    let errors = 0;
    for (let i = 0; i < probes; i++) {
      const { tookMs, faults } = await probe(rig, client, i);
      waits.push(tookMs);
      errors += faults;
    }
    await client.close();
    const report = { ingresses, probes, ...summary(waits), errors, ...memory(rig) };
    const results = join(import.meta.dirname, '../results');
    mkdirSync(results, { recursive: true });
    writeFileSync(join(results, 'propagation.json'), `${JSON.stringify(report, null, 2)}\n`);
    return report;
  } finally {
    await rig.stop();
  }
}

/** Each Ingress with a host, a Service and a slice of its own. */
async function fillCluster(rig: ClusterRig, names: readonly string[]): Promise<void> {
  const rest = [...names];
  const work = async () => {
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      await rig.api.apply(service(name), slice(name, rig.portOf(0)), ingress(name, `${name}.test`, name));
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

async function probe(rig: ClusterRig, client: Client, i: number): Promise<{ tookMs: number; faults: number }> {
  const host = `probe-${i}.test`;
  const object: Manifest = ingress(`probe-${i}`, host, `s${i % ingresses}`);
  let faults = (await statusOf(client, host)) === 404 ? 0 : 1;
  const made = await rig.api.call('POST', '/apis/networking.k8s.io/v1/namespaces/default/ingresses', object);
  const createdMs = performance.now();
  if (made.status !== 201) throw new Error(`the API server refused the Ingress: ${JSON.stringify(made.body)}`);
  let status = await statusOf(client, host);
  while (status !== 200) {
    if (status !== 404) faults++;
    if (performance.now() - createdMs > patienceMs) throw new Error(`${host} was not served in ${patienceMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    status = await statusOf(client, host);
  }
  const tookMs = performance.now() - createdMs;
  for (let again = 0; again < 5; again++) if ((await statusOf(client, host)) !== 200) faults++;
  return { tookMs, faults };
}

const patienceMs = 30_000;

async function statusOf(client: Client, host: string): Promise<number> {
  const { statusCode, body } = await client.request({ path: '/', method: 'GET', headers: { host } });
  await body.dump();
  return statusCode;
}

async function askOnce(port: number, host: string): Promise<boolean> {
  const client = new Client(`http://127.0.0.1:${port}`);
  try {
    return (await statusOf(client, host)) === 200;
  } finally {
    await client.close();
  }
}

function summary(waits: readonly number[]): Pick<Propagation, 'mean' | 'p50' | 'p99' | 'max'> {
  const sorted = waits.toSorted((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.ceil(sorted.length * share) - 1] ?? 0);
  return {
    mean: round(waits.reduce((sum, each) => sum + each, 0) / waits.length),
    p50: at(0.5),
    p99: at(0.99),
    max: at(1),
  };
}

function memory({ controllers, proxies }: ClusterRig): Pick<Propagation, 'controllerMib' | 'proxyMib'> {
  const mib = (process: { pid: number } | undefined) => Math.round(memoryKib(treeOf(process?.pid ?? 0)) / 1024);
  return { controllerMib: mib(controllers[0]?.process), proxyMib: mib(proxies[0]?.process) };
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
