import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { l4Table, snapshot } from '../kit/rows.ts';
import { eventually } from '../kit/wait.ts';

const stops: (() => unknown)[] = [];

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** A datagram of 127.0.0.1 that names no port to answer to. */
const portless = `
import socket, struct, sys
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
wire.sendto(struct.pack('!HHHH', 0, int(sys.argv[1]), 13, 0) + b'hello', ('127.0.0.1', 0))
`;

const skip = canSend();

function canSend(): string | false {
  try {
    execFileSync('python3', ['-c', portless, '9'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs python3 and raw sockets';
  }
}

test('a client without a port is heard, its answers are dropped, and its worker goes on', { skip }, async () => {
  const backend = dgram.createSocket('udp4');
  const heard: string[] = [];
  backend.on('message', (datagram, { port, address }) => {
    heard.push(String(datagram));
    backend.send(datagram, port, address);
  });
  backend.bind(0, '127.0.0.1');
  stops.push(() => backend.close());
  await once(backend, 'listening');
  const fleet = await testFleet({ workers: 1, drainGraceMs: 0 });
  stops.push(() => fleet.stop());
  const ack = await fleet.apply(snapshot(l4Table('udp', [{ address: '127.0.0.1', port: backend.address().port }])));
  assert.equal(ack.type, 'applied', JSON.stringify(ack));
  const pids = fleet.state().workerPids;
  execFileSync('python3', ['-c', portless, String(fleet.ports().get('udp'))]);
  await eventually(async () => {
    const { text } = await adminPage(fleet, '/metrics');
    return /^sluice_datagrams_dropped_total 1$/m.test(text) ? true : undefined;
  }, 'the answer to be dropped');
  assert.deepEqual(heard, ['hello']);
  assert.deepEqual(fleet.state().workerPids, pids);
});
