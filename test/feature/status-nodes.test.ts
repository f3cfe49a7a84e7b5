import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { StatusWriter } from '../../controller/status/writer.ts';
import type { Cluster } from '../../controller/watch/api.ts';
import type { ClusterSource } from '../../controller/watch/cluster.ts';
import type { ViewUpdate } from '../../controller/watch/view.ts';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { quiet } from '../kit/quiet.ts';
import { eventually, waitUntil } from '../kit/wait.ts';
import { watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;
let cluster: Cluster;
let source: ClusterSource;
let updates: readonly ViewUpdate[] = [];

before(async () => {
  if (skip) return;
  cluster = await rig.watchers.cluster();
  ({ source, updates } = await rig.watchers.begin({ cluster }));
});

const ingress = (name: string): Manifest => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name },
  spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } } },
});

async function ipsOf(name: string): Promise<string[]> {
  const { body } = await rig.api.call('GET', pathOf(ingress(name)));
  const status = body['status'] as { loadBalancer?: { ingress?: { ip: string }[] } };
  return status.loadBalancer?.ingress?.map(({ ip }) => ip) ?? [];
}

const statusIs = async (name: string, ips: readonly string[]) =>
  await eventually(async () => (await ipsOf(name)).join() === ips.join() || undefined, `${ips} of ${name}`);

/** So many writes and no more: what the API server has of one, the writer may have no answer to yet. */
async function counts(writer: StatusWriter, writes: number): Promise<void> {
  await waitUntil(() => writer.state().writes >= writes, `write ${writes} to be counted`);
  assert.equal(writer.state().writes, writes);
}

test('a controller that has just begun takes no address of a node away before it can know all proxies', {
  skip,
  timeout: 60_000,
}, async () => {
  const nodes = [1, 2].map((n): Manifest => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: `begun-${n}` } }));
  await rig.api.apply(ingress('whole'), ingress('none'), ...nodes);
  for (const [i, node] of nodes.entries()) {
    const addresses = [{ type: 'InternalIP', address: `10.0.1.${i + 1}` }];
    await rig.api.call('PATCH', `${pathOf(node)}/status`, { status: { addresses } });
  }
  const both = ['10.0.1.1', '10.0.1.2'];
  const status = { loadBalancer: { ingress: both.map((ip) => ({ ip })) } };
  await rig.api.call('PATCH', `${pathOf(ingress('whole'))}/status`, { status });
  const isKnown = (name: string) => updates.at(-1)?.view.get('Node', `/${name}`)?.status.addresses.length === 1;
  const sizeOf = (name: string) => source.ingressStatuses.get(`default/${name}`)?.addresses.length;
  const isAllThere = () => sizeOf('whole') === 2 && sizeOf('none') === 0 && isKnown('begun-1') && isKnown('begun-2');
  await waitUntil(isAllThere, 'all to be in the view');
  const { view } = updates.at(-1) as ViewUpdate;
  const from = { addresses: [], service: null };
  let heard: string[] = [];
  let asked = 0;
  const nodesOfProxies = () => {
    asked++;
    return heard;
  };
  const options = { cluster, statuses: source.ingressStatuses, from, nodes: nodesOfProxies, log: quiet };
  const table = { view, ingresses: ['default/whole', 'default/none'] };
  const apply = (writer: StatusWriter, on: string[], ingresses = table.ingresses) => {
    heard = on;
    writer.applied({ view, ingresses });
  };
  // Too long to pass within the test.
  const begun = new StatusWriter({ ...options, hearingMs: 600_000 });
  begun.lead(true);
  apply(begun, ['begun-1']);
  await statusIs('none', ['10.0.1.1']);
  assert.deepEqual(await ipsOf('whole'), both);
  apply(begun, ['begun-1', 'begun-2']);
  await statusIs('none', both);
  await counts(begun, 2);
  // The proxy of a node is away for a moment: an Ingress that comes meanwhile shows that the writer has been through.
  apply(begun, ['begun-1']);
  await rig.api.apply(ingress('meanwhile'));
  await waitUntil(() => sizeOf('meanwhile') === 0, 'another Ingress');
  apply(begun, ['begun-1'], [...table.ingresses, 'default/meanwhile']);
  await statusIs('meanwhile', both);
  await counts(begun, 3);
  begun.stop();
  const patient = new StatusWriter({ ...options, hearingMs: 1 });
  patient.lead(true);
  apply(patient, ['begun-1']);
  await statusIs('whole', ['10.0.1.1']);
  await statusIs('none', ['10.0.1.1']);
  apply(patient, ['begun-2']);
  await statusIs('whole', ['10.0.1.2']);
  await statusIs('none', ['10.0.1.2']);
  // Who is back when the wait is over counts, though not all have the table then; and so do all while nobody is heard.
  patient.lead(false);
  for (const later of [['begun-1', 'begun-2'], []]) {
    apply(patient, ['begun-1', 'begun-2']);
    apply(patient, ['begun-1']);
    heard = later;
    const before = asked;
    await waitUntil(() => asked > before, 'the wait to be over');
    patient.lead(true);
    await statusIs('none', both);
    patient.lead(false);
    await rig.api.call('PATCH', `${pathOf(ingress('none'))}/status`, { status: { loadBalancer: null } });
    await waitUntil(() => sizeOf('none') === 0, 'an empty status');
  }
  patient.stop();
});

test('an address that a node does not have any more goes at once', { skip, timeout: 60_000 }, async () => {
  const node: Manifest = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'moved' } };
  await rig.api.apply(ingress('follows'), node);
  const have = async (address: string) => {
    await rig.api.call('PATCH', `${pathOf(node)}/status`, { status: { addresses: [{ type: 'InternalIP', address }] } });
    await waitUntil(
      () => updates.at(-1)?.view.get('Node', '/moved')?.status.addresses[0]?.address === address,
      address,
    );
  };
  await have('10.0.2.1');
  const { view } = updates.at(-1) as ViewUpdate;
  const options = { cluster, statuses: source.ingressStatuses, from: { addresses: [], service: null }, log: quiet };
  const writer = new StatusWriter({ ...options, nodes: () => ['moved'], hearingMs: 600_000 });
  writer.lead(true);
  writer.applied({ view, ingresses: ['default/follows'] });
  await statusIs('follows', ['10.0.2.1']);
  await have('10.0.2.2');
  await rig.api.apply(ingress('comes'));
  await waitUntil(() => source.ingressStatuses.get('default/comes') !== undefined, 'another Ingress');
  writer.applied({ view, ingresses: ['default/comes'] });
  await statusIs('comes', ['10.0.2.2']);
  writer.stop();
});
