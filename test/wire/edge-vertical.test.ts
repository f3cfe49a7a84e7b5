import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { AddressRig, loadBalancer, node } from '../feature/addressrig.ts';
import { pathOf } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const skip = (await skipWithoutApiServer()) || (await skipWithoutNetns());
const run = promisify(execFile);

/** Of the cable between this machine, where the API server and the controller are, and the node: a /30 of RFC 2544. */
const cable = `slv${process.pid}`;
const network = `198.18.${(process.pid >> 6) & 255}`;
const [hostAddress, nodeAddress] = [1, 2].map((last) => `${network}.${((process.pid & 63) << 2) + last}`);

describe('from an object to an answer: API server, controller, agent, kernel', { skip, timeout: 300_000 }, () => {
  let rig: AddressRig;
  let lab: EdgeLab;
  let edge: SluiceProcess | undefined;

  before(async () => {
    lab = await EdgeLab.start('vertical', { podsPerNode: [2], agent: null });
    await run('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', 'up0', 'netns', lab.node.netns.name]);
    await run('ip', ['addr', 'add', `${hostAddress}/30`, 'dev', cable]);
    await run('ip', ['link', 'set', cable, 'up']);
    await lab.node.netns.ip(`addr add ${nodeAddress}/30 dev up0`, 'link set up0 up');
    rig = await AddressRig.start();
    await rig.api.apply(node(lab.node.name));
    await rig.api.delete(node('n1'));
    await rig.makeNamespace('shop', ['192.0.2.0/28'], { avoidBuggyIPs: true });
    const { publish } = await rig.startController(['--token-file', rig.file('token')], hostAddress);
    edge = new SluiceProcess(
      [
        ...['edge', '--controller', `https://${hostAddress}:${publish}`, '--controller-ca', rig.file('ca.crt')],
        ...['--token-file', rig.file('token'), '--node', lab.node.name, '--admin-port', '0'],
      ],
      {},
      lab.node.netns,
    );
    await edge.printed(/"msg":"table stream open"/);
  });

  after(async () => {
    await edge?.stop();
    await rig?.stop();
    await lab?.close();
  });

  const ask = async (address: string, port: number, count: number) =>
    namesOf(await lab.client.ask({ protocol: 'tcp', address, port, count }));

  test('a Service gets an address, and whoever reads it in the status is answered there', async (t) => {
    const service = loadBalancer('shop', 'web');
    // The promise is about the address: endpoints that come later than the Service are in force later.
    await rig.api.apply(lab.slice('shop', 'web', 'pod-1a', 'pod-1b'));
    const beganMs = performance.now();
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.1');
    // The status is a promise: the first question is answered.
    assert.match((await ask('192.0.2.1', 80, 1)).join(), /^pod-1[ab]$/);
    t.diagnostic(`from the object to the first answer: ${Math.round(performance.now() - beganMs)} ms`);
    assert.deepEqual(await ask('192.0.2.1', 80, 20), ['pod-1a', 'pod-1b']);
  });

  test('behaviour 14: another port keeps the address and moves the traffic; the old port stops', async () => {
    const service = loadBalancer('shop', 'web');
    await rig.api.call('PATCH', pathOf(service), { spec: { ports: [{ name: 'http', port: 8081 }] } });
    await eventually(
      async () => ((await ask('192.0.2.1', 8081, 1)).join().startsWith('pod') ? true : undefined),
      '8081',
    );
    assert.doesNotMatch((await ask('192.0.2.1', 80, 1)).join(), /^pod/);
    await rig.hasAddresses(service, '192.0.2.1');
  });

  test('behaviour 13: no load balancer any more: nobody answers, and the Service keeps no trace', async () => {
    const service = loadBalancer('shop', 'web');
    await rig.api.call('PATCH', pathOf(service), { spec: { type: 'ClusterIP', loadBalancerClass: null } });
    const { metadata } = await eventually(async () => {
      const facts = await rig.facts(service);
      return facts.metadata.finalizers.length === 0 ? facts : undefined;
    }, 'the finalizer to go');
    assert.equal(metadata.annotations['sluice.dev/allocation'], undefined);
    // Released only when the rules were gone: this needs no waiting.
    assert.doesNotMatch((await ask('192.0.2.1', 8081, 1)).join(), /^pod/);
    await rig.hasAddresses(service);
    await rig.api.call('PATCH', pathOf(service), service);
    await rig.hasAddresses(service, '192.0.2.1');
    assert.deepEqual(await ask('192.0.2.1', 80, 20), ['pod-1a', 'pod-1b']);
  });
});
