/** Datagrams for an endpoint to which the way is slow. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { toYaml, udpManifests } from '../kit/manifests.ts';
import { Netns, skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['tc', 'sysctl']);
const stops: (() => unknown)[] = [];

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** A network with one link that carries 100 kbit/s to 10.77.0.2, which takes everything and answers nothing. */
async function slowNetwork(): Promise<Netns> {
  const netns = await Netns.make('slow');
  stops.push(() => netns.remove());
  await netns.ip(
    'link add eth0 type veth peer name eth1',
    'link set eth1 up',
    'addr add 10.77.0.1/24 dev eth0',
    'link set eth0 up',
    'neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent',
  );
  const rate = ['tbf', 'rate', '100kbit', 'burst', '5kb', 'limit', '100mb'];
  await netns.exec('tc', 'qdisc', 'add', 'dev', 'eth0', 'root', ...rate);
  return netns;
}

test('a client that is faster than the way to its endpoint loses datagrams, and fills no memory', {
  skip,
}, async () => {
  const netns = await slowNetwork();
  const dir = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'all.yaml'), toYaml(udpManifests(5300, '10.77.0.2')));
  const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '9000', '--workers', '1'];
  const args = [
    'standalone',
    '--manifests',
    dir,
    ...ports,
    '--udp-services-configmap',
    'sluice/udp',
    '--drain-grace',
    '0s',
  ];
  const sluice = new SluiceProcess(args, {}, netns);
  stops.push(() => sluice.stop());
  const peer = new Peer(netns);
  stops.push(() => peer.end());
  const page = (path: string) => peer.http(`http://127.0.0.1:9000${path}`);
  await eventually(async () => {
    const answer = await page('/readyz').catch(() => undefined);
    return answer?.status === 200 ? true : undefined;
  }, 'readyz');
  await netns.exec(process.execPath, '--input-type=module', '-e', flood);
  await eventually(async () => {
    const { body } = await page('/metrics');
    const dropped = /^sluice_datagrams_dropped_total (\d+)$/m.exec(body)?.[1];
    return Number(dropped) > 0 ? true : undefined;
  }, 'datagrams to be dropped');
  assert.equal(sluice.exit, null);
});

/** 28 MB from one port, as fast as the gateway may read. */
const flood = `
import { createSocket } from 'node:dgram';
const socket = createSocket('udp4');
socket.connect(5300, '127.0.0.1', async () => {
  for (let i = 0; i < 20_000; i++) {
    socket.send(Buffer.alloc(1_400));
    if (i % 20 === 0) await new Promise(setImmediate);
  }
  socket.close();
});`;
