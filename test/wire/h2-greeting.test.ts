import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const post = 'POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi';

function answering(end: SessionEnd): SessionEnd {
  end.onHeaders = (stream) => end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
  return end;
}

test('a request is not written before the backend has said a word: a process that goes resets what the kernel has accepted', async () => {
  const heard: string[] = [];
  const backend = await SessionBackend.start(() => {
    const end = answering(new SessionEnd('server'));
    if (backend.connections > 1) return end;
    end.takeOutput();
    end.receive = (bytes) => {
      heard.push(bytes.toString('latin1'));
      backend.cut();
    };
    return end;
  });
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push(backend, gateway);
  assert.equal((await exchange({ port: gateway.port }, post)).status, 200);
  assert.match(heard.join(''), /^PRI \* HTTP\/2\.0\r\n/);
  assert.deepEqual(
    gateway.records.map(({ tries, flag }) => ({ tries, flag })),
    [{ tries: 2, flag: '-' }],
  );
});

test('a backend that accepts connections and says nothing is given the time for a connection, and no request', async () => {
  const backend = await SessionBackend.start(() => answering(new SessionEnd('server')));
  const silent = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    end.takeOutput();
    return end;
  });
  silent.dead = Number.POSITIVE_INFINITY;
  const timeouts = { connectMs: 200, sendMs: 60_000, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  const ports = [silent.port, backend.port];
  const gateway = await testGateway([
    ...plainTable(ports.map((port) => ({ address: '127.0.0.1', port }))),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('route', { id: 'r', timeouts, retry: { attempts: 3, on: ['timeout'], canRepeatUnsafe: false, withinMs: 0 } }),
  ]);
  opened.push(backend, silent, gateway);
  for (let i = 0; i < 4; i++) assert.equal((await exchange({ port: gateway.port }, post)).status, 200);
  assert.ok(silent.connections > 0);
});

test('of a backend that speaks HTTP/1.1 only, another is asked, even for a POST; where there is none, it is said what is wrong', async () => {
  const backend = await SessionBackend.start(() => answering(new SessionEnd('server')));
  const old = createServer().listen(0, '127.0.0.1');
  await once(old, 'listening');
  const endpoints = [backend.port, (old.address() as AddressInfo).port].map((port) => ({ address: '127.0.0.1', port }));
  const gateway = await testGateway([...plainTable(endpoints), row('backend', { id: 'b', protocol: 'h2c' })]);
  const alone = await testGateway([...plainTable(endpoints.slice(1)), row('backend', { id: 'b', protocol: 'h2c' })]);
  opened.push(backend, gateway, alone, { stop: async () => void old.close() });
  for (let i = 0; i < 4; i++) assert.equal((await exchange({ port: gateway.port }, post)).status, 200);
  assert.ok(gateway.records.some(({ tries }) => tries === 2));
  const refused = await exchange({ port: alone.port }, post);
  assert.equal(refused.status, 502);
  assert.match(refused.body.toString(), /does not speak HTTP\/2/);
  assert.equal(alone.records[0]?.flag, 'UPE');
});

test('of those that wait for a connection as many go as the backend takes, and the others at once on connections of their own', async () => {
  const ends: SessionEnd[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server', { streams: 1 });
    ends.push(end);
    return end;
  });
  const gateway = await testGateway(
    [...plainTable([{ address: '127.0.0.1', port: backend.port }]), row('backend', { id: 'b', protocol: 'h2c' })],
    { retriesPerSecond: 0 },
  );
  const client = await H2Client.open({ port: gateway.port });
  opened.push(backend, gateway, { stop: async () => client.client.destroy() });
  client.greet();
  const lines = [':method: POST', ':scheme: http', ':path: /', ':authority: gw.test'];
  const ids = [1, 3, 5, 7];
  client.send(...ids.map((id) => client.headers(id, lines)));
  const held = () => ends.reduce((sum, { streams }) => sum + streams.size, 0);
  await waitUntil(() => held() === ids.length || gateway.records.length > 0, 'all to be at the backend');
  assert.deepEqual(
    ends.map(({ streams }) => streams.size),
    [1, 1, 1, 1],
  );
});
