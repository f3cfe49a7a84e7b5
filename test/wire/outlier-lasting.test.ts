import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import type { LiveBackend } from '../../proxy/receive/live.ts';
import type { BackendPicker } from '../../proxy/select/backend.ts';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { testGateway } from '../kit/gateway.ts';
import { freePorts } from '../kit/ports.ts';
import { RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { l4Table, plainOutlier, plainTable, row, snapshot } from '../kit/rows.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const handshake = [
  'GET / HTTP/1.1',
  'Host: a',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  '',
  '',
].join('\r\n');
const agreed = [
  'HTTP/1.1 101 Switching Protocols',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  '',
  '',
].join('\r\n');

test('a WebSocket that is agreed to ends a row of failures, however long it stays', async () => {
  const backend = await Recorder.start();
  cleanups.push(() => backend.stop());
  const outlier = { ...plainOutlier, consecutiveGatewayErrors: 2 };
  const rows = plainTable([{ address: '127.0.0.1', port: backend.port }]);
  const gateway = await testGateway(
    rows.map((each) => (each.kind === 'backend' ? row('backend', { ...each.row, outlier }) : each)),
  );
  cleanups.push(() => gateway.stop());
  const [member] = (gateway.live.backend('b') as LiveBackend & { state: BackendPicker }).state.members;
  const ask = async (isWell: boolean) => {
    backend.onRequest = (request) => (isWell ? answerBytes(request, agreed) : answer(request, 'bad', 503));
    const client = await RawClient.open({ port: gateway.port });
    cleanups.push(() => client.destroy());
    client.send(handshake);
    await waitUntil(() => client.received.length > 0, 'an answer');
    return client;
  };
  for (let nth = 0; nth < 4; nth++) {
    await ask(false);
    await ask(true);
  }
  assert.ok(member !== undefined);
  const { state } = member;
  assert.deepEqual([state.ejection.untilMs, state.inFlight, state.results], [0, 4, 8]);
  for (const cleanup of cleanups.splice(2)) cleanup();
  await waitUntil(() => state.inFlight === 0, 'all to have ended');
  assert.equal(state.results, 8);
  await ask(false);
  await ask(false);
  assert.ok(state.ejection.untilMs > 0);
});

test('a TCP connection that an endpoint takes ends a row of failures, however long it stays', async () => {
  const [port] = await freePorts(1);
  const outlier = { ...plainOutlier, consecutiveGatewayErrors: 0, consecutiveLocalFailures: 2 };
  const retry = { attempts: 1, withinMs: 0 };
  const rows = l4Table('tcp', [{ address: '127.0.0.1', port: port as number }], { retry }).map((each) =>
    each.kind === 'backend' ? row('backend', { ...each.row, outlier }) : each,
  );
  const fleet = await testFleet({ drainGraceMs: 0, workers: 1 });
  cleanups.push(() => fleet.stop());
  assert.equal((await fleet.apply(snapshot(rows))).type, 'applied');
  const open = () => {
    const client = connect(fleet.ports().get('tcp') as number, '127.0.0.1');
    client.on('error', () => {});
    cleanups.push(() => client.destroy());
    return client;
  };
  const refused = () => new Promise((resolve) => open().resume().once('close', resolve));
  const taken = async () => {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    open();
    const [socket] = (await once(server, 'connection')) as [Socket];
    cleanups.push(() => socket.destroy());
    server.close();
  };
  const ejections = async () => {
    const { text } = await adminPage(fleet, '/metrics');
    return Number(/^sluice_endpoint_ejections_withheld_total\{reason="local-failures"\} (\d+)$/m.exec(text)?.[1] ?? 0);
  };
  for (let nth = 0; nth < 4; nth++) {
    await refused();
    await taken();
  }
  assert.equal(await ejections(), 0);
  await refused();
  await refused();
  await eventually(
    async () => (await ejections()) === 1 || undefined,
    'the endpoint to be one that would be left out, were there another',
  );
});
