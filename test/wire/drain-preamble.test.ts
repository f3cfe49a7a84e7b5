import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable, row } from '../kit/rows.ts';
import { TcpBackend } from '../kit/tcpbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const header = 'PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n';
const proxyProtocol = { sources: ['127.0.0.0/8'], timeoutMs: 60_000 };

test('a PROXY header and a request that are on their way when the gateway begins to end are answered', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const usual = plainTable([{ address: '127.0.0.1', port: recorder.port }]);
  const gateway = await testGateway([
    ...usual.filter(({ kind }) => kind !== 'listener'),
    row('listener', { id: 'http', proxyProtocol }),
  ]);
  const [whole, begun, silent] = [
    await RawClient.open(gateway),
    await RawClient.open(gateway),
    await RawClient.open(gateway),
  ];
  opened.push(recorder, ...[whole, begun, silent].map((each) => ({ stop: () => each.destroy() })));
  await waitUntil(() => gateway.gateway.counts().connections === 3, 'all connections to be accepted');
  whole.send(header + get('/', 'gw.test'));
  begun.send(header.slice(0, 20));
  // The gateway, which lives on the same loop, has read none of them.
  const drained = gateway.gateway.drain(3_600_000);
  assert.equal((await whole.response(0)).status, 200);
  begun.send(header.slice(20) + get('/', 'gw.test'));
  const { status, fields } = await begun.response(0);
  assert.equal(status, 200);
  assert.ok(fields.some(([name, value]) => name.toLowerCase() === 'connection' && value === 'close'));
  await drained;
  assert.deepEqual([whole.isDone, begun.isDone, silent.isDone], [true, true, true]);
});

test('so is a ClientHello, and its connection goes on', async () => {
  const backend = await TcpBackend.start((socket) => void socket.pipe(socket));
  const gateway = await testGateway([
    row('listener', { id: 'http', protocol: 'tcp' }),
    row('l4route', { id: 'r', listenerIds: ['http'], hostnames: ['raw.test'] }),
    row('backend', { id: 'b', protocol: 'tcp' }),
    endpointsRow([backend.endpoint]),
  ]);
  const client = connect({ port: gateway.port, host: '127.0.0.1' });
  opened.push({ stop: () => backend.close() }, { stop: () => client.destroy() });
  await waitUntil(() => gateway.gateway.counts().connections === 1, 'the connection to be accepted');
  const tls = connectTls({ socket: client, servername: 'raw.test' }).on('error', () => undefined);
  const drained = gateway.gateway.drain(3_600_000);
  const connection = await backend.connection(0);
  assert.equal((await connection.bytes(1))[0], 22);
  tls.destroy();
  await drained;
});
