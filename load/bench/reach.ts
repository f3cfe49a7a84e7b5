import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { AddressRig, loadBalancer, node } from '../../test/feature/addressrig.ts';
import { skipWithoutApiServer } from '../../test/kit/assets.ts';
import { EdgeLab } from '../../test/kit/edgelab.ts';
import { skipWithoutNetns } from '../../test/kit/netns.ts';
import { SluiceProcess } from '../../test/kit/sluice.ts';
import { spreadOf } from './spread.ts';

export interface ReachOutcome {
  services: number;
  /** From the call that creates the Service to the first answer from outside, ms. */
  firstAnswerMs: { p50: number; p99: number; max: number };
  /** From that call to the address in its status, ms. */
  statusMs: { p50: number; p99: number; max: number };
}

const run = promisify(execFile);

/**
 * How soon a new Service of type LoadBalancer answers outside: real API server and controller, two nodes with real agents that
 * announce by layer 2, a client on their network. The client asks for an address of which it knows that the Service will have
 * it, from before there is one: it has given up the address as nobody's when it comes. Slices follow the Service, as those of a
 * cluster do. Services stay, so that each comes to one more.
 */
export async function measureReach(services: number): Promise<ReachOutcome> {
  const skip = (await skipWithoutApiServer()) || (await skipWithoutNetns(['nft', 'sysctl', 'arping']));
  if (skip !== false) throw new Error(skip);
  const lab = await EdgeLab.start('reach', { podsPerNode: [1, 1], agent: null });
  const rig = await AddressRig.start();
  const edges: SluiceProcess[] = [];
  try {
    // Between this machine, where the API server and the controller are, and each node: /30s of RFC 2544.
    const host = '198.18.255.1';
    const uplink = `slr${process.pid}`;
    await run('ip', ['link', 'add', uplink, 'type', 'veth', 'peer', 'name', 'up0', 'netns', lab.lan.name]);
    await run('ip', ['addr', 'add', `${host}/24`, 'dev', uplink]);
    await run('ip', ['link', 'set', uplink, 'up']);
    await lab.lan.ip('link set up0 master br0', 'link set up0 up');
    for (const [i, { netns }] of lab.nodes.entries()) await netns.ip(`addr add 198.18.255.${i + 2}/24 dev eth0`);
    await rig.api.apply(...lab.nodes.map(({ name }) => node(name)));
    await rig.api.delete(node('n1'));
    await rig.makeNamespace('shop', ['172.30.0.101-172.30.0.254']);
    const { publish } = await rig.startController(undefined, host);
    for (const { name, netns } of lab.nodes) {
      const edge = new SluiceProcess(
        [
          ...['edge', '--controller', `https://${host}:${publish}`, '--controller-ca', rig.file('ca.crt')],
          ...['--token-file', rig.file('token'), '--node', name, '--admin-port', '0'],
          ...['--run-dir', `${lab.runDir}/${name}`],
        ],
        {},
        netns,
      );
      edges.push(edge);
      await edge.printed(/"msg":"table stream open"/);
    }
    const [answers, statuses]: [number[], number[]] = [[], []];
    for (let i = 0; i < services; i++) {
      const address = `172.30.0.${101 + i}`;
      const service = loadBalancer('shop', `web-${i}`, { loadBalancerIP: address });
      const answered = firstAnswer(lab, address);
      const beganMs = performance.now();
      await rig.api.apply(service);
      const told = rig.hasAddresses(service, address).then(() => statuses.push(performance.now() - beganMs));
      await rig.api.apply(lab.slice('shop', `web-${i}`));
      answers.push((await answered) - beganMs);
      await told;
    }
    return { services, firstAnswerMs: spreadOf(answers), statusMs: spreadOf(statuses) };
  } finally {
    for (const edge of edges) await edge.stop();
    await rig.stop();
    await lab.close();
  }
}

/** When a pod has answered, by this process's clock. */
async function firstAnswer(lab: EdgeLab, address: string): Promise<number> {
  for (;;) {
    const [answer = ''] = await lab.client.ask({ protocol: 'tcp', address, port: 80, count: 1, timeoutMs: 50 });
    if (answer.startsWith('pod-')) return performance.now();
  }
}
