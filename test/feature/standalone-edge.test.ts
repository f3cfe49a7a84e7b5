import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BirdRouter } from '../kit/birdrouter.ts';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { type Manifest, toYaml } from '../kit/manifests.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { addressPool, announcement, bgpPeer } from '../kit/ownkinds.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'bird']);

describe('sluice standalone --edge', { skip, timeout: 600_000 }, () => {
  let lab: EdgeLab;
  let folder: string;
  let router: BirdRouter;
  let sluice: SluiceProcess;

  before(async () => {
    if (skip) return;
    folder = mkdtempSync(join(tmpdir(), 'sluice-standalone-'));
    mkdirSync(join(folder, 'manifests'));
    lab = await EdgeLab.start('box', { podsPerNode: [2], agent: null });
    router = await BirdRouter.start(
      lab.client.netns,
      '172.30.0.100',
      'protocol bgp box { local as 64513; neighbor 172.30.0.1 as 64512; direct; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }',
    );
    write(pool, way, peer, ...service('web', ['pod-1a', 'pod-1b']));
    sluice = start();
    await sluice.printed(/^ +edge +http/m);
  });

  after(async () => {
    await sluice?.stop();
    await run('cleanup', '--run-dir', join(folder, 'run'));
    await router?.end();
    await lab?.close();
    if (!skip) rmSync(folder, { recursive: true });
  });

  const write = (...manifests: Pick<Manifest, 'kind'>[]) => {
    writeFileSync(join(folder, '.all.yaml'), toYaml(manifests as Manifest[]));
    renameSync(join(folder, '.all.yaml'), join(folder, 'manifests/all.yaml'));
  };
  const start = () =>
    new SluiceProcess(
      [
        ...['standalone', '--edge', '--manifests', join(folder, 'manifests'), '--node', 'box', '--workers', '1'],
        ...['--http-port', '0', '--https-port', '0', '--admin-port', '0', '--services', 'nodeport'],
        ...['--state-dir', join(folder, 'state'), '--run-dir', join(folder, 'run')],
      ],
      {},
      lab.node.netns,
    );
  const run = async (...args: string[]) => {
    const process = new SluiceProcess(['edge', ...args], {}, lab.node.netns);
    await process.ended();
    return process.stdout;
  };
  const service = (name: string, pods: string[], spec: object = { type: 'LoadBalancer' }): Manifest[] => [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { ports: [{ port: 80, nodePort: name === 'web' ? 30_080 : undefined }], ...spec },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: '', port: 8080 }],
      endpoints: pods.map((pod) => ({ addresses: [lab.pod(pod).address] })),
    },
  ];
  const pool = addressPool('rack', { addresses: ['198.51.100.1-198.51.100.3'] });
  const way = announcement('rack', { bgp: {} });
  const peer = bgpPeer('router', { address: '172.30.0.100', localASN: 64_512, peerASN: 64_513 });
  const ask = async (address: string, port = 80) =>
    namesOf(await lab.client.ask({ protocol: 'tcp', address, port, count: 20 }));
  const expectRoutes = (...prefixes: string[]) =>
    eventually(async () => {
      const routes = await router.routes();
      return routes
        .map(({ prefix }) => prefix)
        .sort()
        .join() === prefixes.join()
        ? true
        : undefined;
    }, `the routes ${prefixes}`);

  test('a Service of a file gets an address, the router a route, and its node port serves, too', async () => {
    await expectRoutes('198.51.100.1/32');
    assert.deepEqual(await ask('198.51.100.1'), ['pod-1a', 'pod-1b']);
    assert.deepEqual(await ask('172.30.0.1', 30_080), ['pod-1a', 'pod-1b']);
    assert.match(await run('status'), /^node +box, serving nodeport\nstate +in force\n/);
    assert.match(await run('status'), /198\.51\.100\.1 198\.51\.100\.1\/32 to router/);
  });

  test('what a file says is in force when it is saved', async () => {
    write(pool, way, peer, ...service('web', ['pod-1b']), ...service('more', ['pod-1a']));
    await expectRoutes('198.51.100.1/32', '198.51.100.2/32');
    assert.deepEqual(await ask('198.51.100.1'), ['pod-1b']);
    assert.deepEqual(await ask('198.51.100.2'), ['pod-1a']);
  });

  test('who has an address keeps it over a restart, also where an earlier one is free by then', async () => {
    await eventually(
      async () =>
        readFileSync(join(folder, 'state/addresses.json'), 'utf8').split('"198.').length === 3 ? true : undefined,
      'both addresses in the notebook, with their status',
    );
    await sluice.stop();
    assert.deepEqual(sluice.exit, { code: 0, signal: null });
    assert.deepEqual(await ask('198.51.100.2'), ['pod-1a'], 'the rules stay in force');
    await expectRoutes('198.51.100.1/32', '198.51.100.2/32');
    write(pool, way, peer, ...service('more', ['pod-1a']));
    sluice = start();
    await expectRoutes('198.51.100.2/32');
    assert.deepEqual(await ask('198.51.100.2'), ['pod-1a']);
    write(pool, way, peer, ...service('more', ['pod-1a']), ...service('new', ['pod-1b']));
    await expectRoutes('198.51.100.1/32', '198.51.100.2/32');
    assert.deepEqual(await ask('198.51.100.1'), ['pod-1b']);
  });

  test('a Service that is no load balancer any more is withdrawn, and its address is free', async () => {
    write(pool, way, peer, ...service('more', ['pod-1a'], { type: 'ClusterIP' }), ...service('new', ['pod-1b']));
    await expectRoutes('198.51.100.1/32');
    await eventually(
      async () => (readFileSync(join(folder, 'state/addresses.json'), 'utf8').includes('100.2') ? undefined : true),
      'the note to go',
    );
  });

  test('an address of the network is held on the interface, which does not make it one of the machine', async () => {
    const near = [
      addressPool('near', { addresses: ['172.30.0.200'] }),
      announcement('near', { pools: ['near'], l2: {} }),
    ];
    const far = [pool, announcement('rack', { pools: ['rack'], bgp: {} }), peer, ...service('new', ['pod-1b'])];
    const [web, ...slices] = service('web', ['pod-1a']);
    const metadata = { ...web?.metadata, annotations: { 'sluice.dev/pool': 'near' } };
    write(...near, ...far, { ...web, metadata } as Manifest, ...slices);
    const isServed = () =>
      eventually(async () => ((await ask('172.30.0.200')).join() === 'pod-1a' ? true : undefined), 'the address');
    await isServed();
    assert.match(await lab.node.netns.exec('ip', 'addr', 'show', 'dev', 'eth0'), /172\.30\.0\.200\/32/);
    // It is on the interface when the next process looks at what the machine has.
    sluice.signal('SIGKILL');
    await sluice.ended();
    sluice = start();
    await sluice.printed(/^ +edge +http/m);
    await isServed();
    const status = await eventually(async () => {
      const text = await run('status');
      return text.includes('172.30.0.200') ? text : undefined;
    }, 'the address in the status');
    assert.doesNotMatch(status, /AddressKept|AddressTaken/);
  });

  test('cleanup takes away what the process leaves', async () => {
    await sluice.stop();
    const removed = await run('cleanup', '--run-dir', join(folder, 'run'));
    assert.match(removed, /^removed BIRD, and the routes that it announced\n/);
    assert.match(removed, /^removed the nftables table inet sluice$/m);
    await expectRoutes('');
  });
});
