/** Datagrams for endpoints to which there is no way, or one that does not take long ones. */
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { toYaml, udpManifests } from '../kit/manifests.ts';
import { cable, Netns, skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';
import { l4Table, snapshot } from '../kit/rows.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns();
const stops: (() => unknown)[] = [];

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

test('a client is led from an endpoint that the kernel connects to nothing to another one, by the same worker', async () => {
  const backend = dgram.createSocket('udp4');
  backend.on('message', (datagram, { port, address }) => backend.send(datagram, port, address));
  backend.bind(0, '127.0.0.1');
  stops.push(() => backend.close());
  await once(backend, 'listening');
  const fleet = await testFleet({ workers: 1, drainGraceMs: 0 });
  stops.push(() => fleet.stop());
  const pids = fleet.state().workerPids;
  // Nobody may connect to everybody (EACCES), as nobody may where a route forbids it.
  const nobody = { address: '255.255.255.255', port: 53 };
  const endpoints = [nobody, { address: '127.0.0.1', port: backend.address().port }];
  const ack = await fleet.apply(snapshot(l4Table('udp', endpoints)));
  assert.equal(ack.type, 'applied', JSON.stringify(ack));
  for (let i = 0; i < 8; i++) {
    const client = dgram.createSocket('udp4');
    stops.push(() => client.close());
    let answers = 0;
    client.on('message', () => answers++);
    client.connect(fleet.ports().get('udp') ?? 0, '127.0.0.1');
    await once(client, 'connect');
    await eventually(async () => {
      client.send('hello?');
      return answers > 0 ? true : undefined;
    }, `an answer to client ${i}`);
  }
  assert.deepEqual(fleet.state().workerPids, pids);
  const { text } = await adminPage(fleet, '/metrics');
  assert.match(text, /^sluice_flows_total\{flag="UF"\} [1-9]/m);
  assert.doesNotMatch(text, /^sluice_flows_total\{flag="OM"\} [1-9]/m);
});

/** 10.77.1.1, and 10.77.2.1 behind a link that takes no datagram above 1280 bytes, which only the router between knows. */
async function narrowNetwork(): Promise<{ gateway: Netns; pod: Netns }> {
  const [gateway, router, pod] = [await Netns.make('gateway'), await Netns.make('router'), await Netns.make('pod')];
  stops.push(() => Promise.all([gateway, router, pod].map((each) => each.remove())));
  await cable(gateway, 'eth0', router, 'eth0');
  await cable(router, 'eth1', pod, 'eth0');
  await gateway.ip('addr add 10.77.1.1/24 dev eth0', 'route add default via 10.77.1.2');
  await router.ip('addr add 10.77.1.2/24 dev eth0', 'addr add 10.77.2.2/24 dev eth1', 'link set eth1 mtu 1280');
  await router.sysctl('net.ipv4.ip_forward=1');
  await pod.ip('addr add 10.77.2.1/24 dev eth0', 'route add default via 10.77.2.2');
  return { gateway, pod };
}

/** @returns a page of the admin port of a gateway in the namespace, which sends port 5300 to 10.77.2.1, where it answers */
async function gatewayIn(gateway: Netns, pod: Netns): Promise<(path: string) => Promise<{ body: string }>> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'all.yaml'), toYaml(udpManifests(5300, '10.77.2.1')));
  const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '9000', '--workers', '1'];
  const flags = ['--udp-services-configmap', 'sluice/udp', '--drain-grace', '0s'];
  const sluice = new SluiceProcess(['standalone', '--manifests', dir, ...ports, ...flags], {}, gateway);
  stops.push(() => sluice.stop());
  const [server, client] = [new Peer(pod), new Peer(gateway)];
  stops.push(() => Promise.all([server.end(), client.end()]));
  await server.serve({ address: '10.77.2.1', port: 5353, protocol: 'udp', name: 'pod' });
  const page = (path: string) => client.http(`http://127.0.0.1:9000${path}`);
  await eventually(async () => {
    const answer = await page('/readyz').catch(() => undefined);
    return answer?.status === 200 ? true : undefined;
  }, 'readyz');
  return page;
}

test('a datagram that is too long for the way is lost, and no flow with it', { skip }, async () => {
  const { gateway, pod } = await narrowNetwork();
  const page = await gatewayIn(gateway, pod);
  await gateway.exec(process.execPath, '--input-type=module', '-e', talk);
  const { body } = await page('/metrics');
  assert.match(body, /^sluice_connections\{listener="udp\/5300"\} 1$/m);
  assert.doesNotMatch(body, /^sluice_flows_total\{flag="[^"]*"\} [1-9]/m);
});

/** One question, one that is too long, and others until there are answers. */
const talk = `
import { createSocket } from 'node:dgram';
const socket = createSocket('udp4');
let answers = 0;
socket.on('message', () => {
  if (++answers === 1) socket.send(Buffer.alloc(1_400));
  if (answers === 5) process.exit();
});
socket.connect(5300, '127.0.0.1', () => setInterval(() => socket.send('more'), 20));
`;

test('that no port is left is no fault of an endpoint', { skip }, async () => {
  const machine = await Netns.make('ports');
  stops.push(() => machine.remove());
  await machine.ip('addr add 10.77.2.1/24 dev lo');
  await machine.sysctl('net.ipv4.ip_local_port_range=40000 40003');
  const page = await gatewayIn(machine, machine);
  await machine.exec(process.execPath, '--input-type=module', '-e', crowd);
  await eventually(async () => {
    const { body } = await page('/metrics');
    assert.doesNotMatch(body, /^sluice_flows_total\{flag="UF"\} [1-9]/m);
    return /^sluice_flows_total\{flag="OM"\} [1-9]/m.test(body) ? true : undefined;
  }, 'a client to find no port');
});

/** One question each of more clients than there are ports; theirs are others. */
const crowd = `
import { createSocket } from 'node:dgram';
for (let port = 20_000; port < 20_008; port++) {
  const socket = createSocket('udp4');
  socket.bind(port, () => socket.send('question', 5300, '127.0.0.1', () => socket.close()));
}
`;
