import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import dgram, { type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, afterEach, before, test } from 'node:test';
import { UdpRoom } from '../../proxy/listen/udproom.ts';
import { everythingTo, type Manifest } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { childrenOf, nextFile } from '../kit/procfs.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil, within } from '../kit/wait.ts';

/** How many clients of datagrams a worker hears, and what that leaves for others. */

let recorder: Recorder;
let echo: Socket;
let ports: number[];
const sockets: Socket[] = [];
let sluice: Standalone | null = null;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  echo = dgram.createSocket('udp4');
  echo.on('message', (datagram, { port, address }) => echo.send(datagram, port, address));
  echo.bind(0, '127.0.0.1');
  await once(echo, 'listening');
});

after(async () => {
  echo?.close();
  await recorder?.stop();
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  await sluice?.discard();
  sluice = null;
});

async function start(args: readonly string[] = []): Promise<Standalone> {
  ports = await freePorts(2);
  const data = Object.fromEntries(ports.map((port) => [port, 'default/echo:53']));
  const name = 'echo';
  const port = { name: 'dns', port: 53, protocol: 'UDP' };
  const metadata = { name, namespace: 'default' };
  const manifests: Manifest[] = [
    ...everythingTo(recorder.port),
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'udp', namespace: 'default' }, data },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: '10.0.0.2', ports: [port] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ ...port, port: echo.address().port }],
      endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
    },
  ];
  sluice = await Standalone.start({ manifests, args: ['--udp-services-configmap', 'default/udp', ...args] });
  return sluice;
}

async function client(port: number | undefined): Promise<Socket> {
  const socket = dgram.createSocket('udp4');
  sockets.push(socket);
  socket.connect(port ?? 0, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

async function dropped(from: Standalone): Promise<number> {
  return Number(/^sluice_datagrams_dropped_total (\d+)$/m.exec(await from.admin('/metrics'))?.[1] ?? 0);
}

for (const flag of ['--limit-udp-flows', '--limit-udp-flows-per-source']) {
  test(`${flag} is a limit of the worker, whatever number of listeners it has`, async () => {
    const fresh = await start([flag, '3']);
    for (let i = 0; i < 3; i++) {
      const socket = await client(ports[0]);
      const answered = once(socket, 'message');
      socket.send('1');
      await within(answered, 'an answer');
    }
    const fourth = await client(ports[1]);
    let heard = 0;
    fourth.on('message', () => heard++);
    await eventually(async () => {
      fourth.send('1');
      return (await dropped(fresh)) + heard > 0 ? true : undefined;
    }, 'the datagram to be dropped');
    assert.equal(heard, 0);
  });
}

test('an IPv6 subscriber, who has a /64 of addresses, has the places of one source', () => {
  const room = new UdpRoom();
  const clients = { most: null, mostPerSource: 2 };
  for (const address of ['2001:db8::1', '2001:db8::2', '::ffff:192.0.2.1', '::ffff:192.0.2.1']) room.take(address);
  const others = ['2001:db8::3', '2001:db8:0:1::1', '::ffff:192.0.2.1', '::ffff:192.0.2.2'];
  assert.deepEqual(
    others.map((address) => room.hasRoomFor(address, clients)),
    [false, true, false, true],
  );
  room.leave('2001:db8::1');
  assert.equal(room.hasRoomFor('2001:db8::3', clients), true);
});

test('clients of datagrams, however many come, leave descriptors for those of connections', async () => {
  const fresh = await start(['--limit-upstream-idle-connections', '0']);
  const [first = 0] = childrenOf(fresh.process.pid);
  // A worker looks once, when it starts, and raises its own limit to the most that it may have from its primary.
  execFileSync('prlimit', ['--pid', String(fresh.process.pid), '--nofile=200:200']);
  process.kill(first, 'SIGKILL');
  await waitUntil(() => childrenOf(fresh.process.pid).some((pid) => pid !== first), 'another worker');
  assert.equal((await exchange({ port: fresh.httpPort }, get('/', 'gw.test'))).status, 200);
  for (let i = 0; i < 400; i++) (await client(ports[i % 2])).send('1');
  await eventually(async () => ((await dropped(fresh)) >= 100 ? true : undefined), 'most not to be heard');
  for (let i = 0; i < 20; i++) {
    assert.equal((await exchange({ port: fresh.httpPort }, get('/', 'gw.test'))).status, 200);
  }
});

test('a backend connection that is kept for later gives its descriptor to a client of datagrams', async () => {
  // A client that asks again and again is waited for when it ends.
  const fresh = await start(['--drain-grace', '0s']);
  const [worker = 0] = childrenOf(fresh.process.pid);
  const kept = await RawClient.open({ port: fresh.httpPort });
  kept.send(get('/', 'gw.test'));
  assert.equal((await kept.response()).status, 200);
  execFileSync('prlimit', ['--pid', String(worker), `--nofile=${nextFile(worker)}:20000`]);
  const socket = await client(ports[0]);
  let heard = 0;
  socket.on('message', () => heard++);
  await eventually(async () => {
    socket.send('1');
    return heard > 0 ? true : undefined;
  }, 'an answer');
  kept.destroy();
});
