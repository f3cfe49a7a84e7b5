import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { certificateFor } from '../kit/certificate.ts';
import { fetchOnce, NamedBackend, testFleet } from '../kit/fleet.ts';
import { certificateRow, endpointsRow, plainServerTls, plainTable, row, snapshot } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const backends = await Promise.all(['a', 'b', 'c', 'd'].map((name) => NamedBackend.start(name)));
after(() => {
  for (const backend of backends) backend.close();
});
const endpoints = backends.map((backend) => backend.endpoint);

test('a client keeps its endpoint over all workers, and over a successor, while endpoints come', async () => {
  const fleet = await testFleet({ workers: 3 });
  try {
    const sticky = row('backend', { id: 'b', affinity: { type: 'client-ip', timeoutSeconds: 600 } });
    const others = plainTable([]).filter(({ kind }) => kind !== 'backend' && kind !== 'endpoints');
    const [home = { address: '', port: 0 }] = endpoints;
    assert.equal((await fleet.apply(snapshot([...others, sticky, endpointsRow([home])]))).type, 'applied');
    const port = fleet.ports().get('http') ?? 0;
    for (let count = 0; count < 3; count++) assert.equal(await fetchOnce(port), 'a');
    // A client that nobody knew would be sent to one of these, and nobody listens there.
    const empty = Array.from({ length: 60 }, (_, index) => ({ address: `127.0.1.${index + 1}`, port: home.port }));
    assert.equal((await fleet.apply(snapshot([...others, sticky, endpointsRow([home, ...empty])]))).type, 'applied');
    const names = await Promise.all(Array.from({ length: 30 }, () => fetchOnce(port)));
    assert.deepEqual(new Set(names), new Set(['a']));
    const [victim = 0] = fleet.state().workerPids;
    process.kill(victim, 'SIGKILL');
    await waitUntil(() => fleet.state().workerPids[0] !== victim, 'a successor');
    const later = await Promise.all(Array.from({ length: 40 }, () => fetchOnce(port)));
    assert.deepEqual(new Set(later), new Set(['a']));
  } finally {
    await fleet.stop();
  }
});

test('a TLS session begun in one worker is resumed by the others and by another proxy', async () => {
  const pair = await certificateFor(['a.test']);
  const tls = { ...plainServerTls, defaultCertificateId: 'c' } as const;
  const rows = [
    ...plainTable(endpoints).filter(({ kind }) => kind !== 'host'),
    row('host', { id: 'h', hostname: 'a.test', listenerIds: ['http', 'https'], certificateIds: ['c'] }),
    row('listener', { id: 'https', protocol: 'https', tls }),
    certificateRow('c', ['a.test'], pair),
  ];
  const fleets = [await testFleet({ workers: 3 }), await testFleet({ workers: 1 })];
  try {
    for (const fleet of fleets) assert.equal((await fleet.apply(snapshot(rows))).type, 'applied');
    const [port = 0, otherPort = 0] = fleets.map((fleet) => fleet.ports().get('https') ?? 0);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { session } = await visit(port, maxVersion);
      for (let count = 0; count < 12; count++) {
        assert.ok((await visit(port, maxVersion, session)).isReused, `${maxVersion}: resumed in every worker`);
      }
      assert.ok((await visit(otherPort, maxVersion, session)).isReused, `${maxVersion}: resumed in another proxy`);
    }
  } finally {
    for (const fleet of fleets) await fleet.stop();
  }
});

test('workers leave when their primary is gone', async () => {
  const file = fileURLToPath(new URL('../kit/fleetprocess.ts', import.meta.url));
  const primary = spawn(process.execPath, [file, String(backends[0]?.port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(primary.stdout, 'data');
  const { port, pids } = JSON.parse(String(line)) as { port: number; pids: number[] };
  assert.equal(await fetchOnce(port), 'a');
  primary.kill('SIGKILL');
  await once(primary, 'exit');
  for (const pid of pids) await waitUntil(() => !isAlive(pid), `worker ${pid} to leave`);
  assert.equal(await fetchOnce(port), 'error ECONNREFUSED');
});

/** A handshake, a request and its answer; the session that the server offers. */
async function visit(
  port: number,
  maxVersion: 'TLSv1.2' | 'TLSv1.3',
  session?: Buffer,
): Promise<{ session: Buffer; isReused: boolean }> {
  const socket: TLSSocket = connect({
    host: '127.0.0.1',
    port,
    servername: 'a.test',
    rejectUnauthorized: false,
    maxVersion,
    ...(session === undefined ? {} : { session }),
  });
  const offered: Buffer[] = [];
  socket.on('session', (bytes: Buffer) => offered.push(bytes));
  socket.write('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
  socket.resume();
  const closed = once(socket, 'close');
  await once(socket, 'secureConnect');
  const isReused = socket.isSessionReused();
  await closed;
  return { session: offered.at(-1) ?? session ?? Buffer.alloc(0), isReused };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
