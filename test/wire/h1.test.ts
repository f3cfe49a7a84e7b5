import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { certificateFor } from '../kit/certificate.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { RawClient } from '../kit/rawclient.ts';
import { certificateRow, plainServerTls, plainTable, row } from '../kit/rows.ts';
import { TcpBackend } from '../kit/tcpbackend.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('an upload over TLS for which the backend is not ready yet is not taken for one that stalls', async () => {
  // It takes connections, and says nothing in the handshake.
  const backend = await TcpBackend.start();
  const table = plainTable([{ address: '127.0.0.1', port: backend.port }]);
  const rows = table.map((each) => {
    if (each.kind !== 'route') return each;
    return row('route', { ...each.row, timeouts: { ...each.row.timeouts, connectMs: 1_500 } });
  });
  const gateway = await testGateway(
    [
      ...rows.filter(({ kind }) => kind !== 'listener' && kind !== 'backend'),
      row('backend', { id: 'b', protocol: 'https' }),
      row('listener', { id: 'http', protocol: 'https', tls: { ...plainServerTls, defaultCertificateId: 'c' } }),
      certificateRow('c', ['gw.test'], await certificateFor(['gw.test'])),
    ],
    { bodyIdleMs: 300 },
  );
  opened.push({ stop: () => backend.close() }, gateway);
  const client = await RawClient.open({ port: gateway.port, tls: { servername: 'gw.test' } });
  opened.push({ stop: () => client.destroy() });
  // More records than one; the first of them is all that is taken before the connection is there.
  client.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100000\r\n\r\n${'b'.repeat(60_000)}`);
  assert.equal((await client.response()).status, 504);
  assert.equal(gateway.records[0]?.flag, 'UCT');
});

test('what cannot be read is told with no version of the request before it', async () => {
  const gateway = await testGateway(plainTable([]));
  opened.push(gateway);
  const streams = await H2Client.open({ port: gateway.port });
  opened.push({ stop: () => streams.destroy() });
  streams.greet();
  streams.send(streams.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test']));
  await streams.answered(1);
  const client = await RawClient.open({ port: gateway.port });
  opened.push({ stop: () => client.destroy() });
  client.send('nonsense\r\n\r\n');
  assert.equal((await client.response()).status, 400);
  assert.deepEqual(
    gateway.records.map(({ status, protocol }) => `${status} ${protocol}`),
    ['503 HTTP/2.0', '400 HTTP/1.1'],
  );
});

test('HEAD gets no body either where the rest of its head cannot be read', async () => {
  const gateway = await testGateway(plainTable([]));
  opened.push(gateway);
  const refused = async (request: string, method: string) => {
    const client = await RawClient.open({ port: gateway.port });
    opened.push({ stop: () => client.destroy() });
    client.send(request);
    await client.closed();
    return await client.response(0, [method]);
  };
  const { status, body } = await refused('HEAD / HTTP/1.1\r\nHost: gw.test\r\nX Y: 1\r\n\r\n', 'HEAD');
  assert.deepEqual([status, body.length], [400, 0]);
  // Nothing of it is left for who comes next.
  assert.notEqual((await refused('nonsense\r\n\r\n', '')).body.length, 0);
});
