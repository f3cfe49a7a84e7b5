import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Listener } from '#table/listener.ts';
import { testGateway } from '../kit/gateway.ts';
import { freePorts } from '../kit/ports.ts';
import { RawClient } from '../kit/rawclient.ts';
import { l4Table, row } from '../kit/rows.ts';
import { TcpBackend } from '../kit/tcpbackend.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a connection leaves an endpoint that is not there for another, though nothing is left of the budget', async () => {
  const backend = await TcpBackend.start((socket) => void socket.end('yes'));
  const [refusing = 0] = await freePorts(1);
  const ports = [backend.port, refusing].map((port) => ({ address: '127.0.0.1', port }));
  const gateway = await testGateway([row('listener', { id: 'http' }), ...l4Table('tcp', ports)], {
    retriesPerSecond: 0,
  });
  opened.push({ stop: () => backend.close() }, gateway);
  const { port } = await gateway.gateway.openListener(gateway.live.listeners.get('tcp') as Listener, 0);
  for (let i = 0; i < 20; i++) {
    const client = await RawClient.open({ port });
    await client.closed();
    client.destroy();
    assert.equal(client.received.toString(), 'yes');
  }
});
