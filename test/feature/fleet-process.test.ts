import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { tableContract } from '#table/rows.ts';
import { sharedSecret } from '../../controller/publish/auth.ts';
import { type KeyPair, makeAuthority } from '../../controller/publish/certificates.ts';
import { feedOf } from '../../controller/publish/feed.ts';
import { Publisher } from '../../controller/publish/publisher.ts';
import { startTableServer, type TableServer } from '../../controller/publish/server.ts';
import { fetchOnce, NamedBackend } from '../kit/fleet.ts';
import { endpointsRow, plainTable } from '../kit/rows.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

let folder: string;
let authority: KeyPair;
let backends: NamedBackend[];
/** All that were started: one that a failing test leaves open would keep the run from ending. */
const servers: TableServer[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  authority = await makeAuthority(Date.now());
  await writeFile(join(folder, 'ca.crt'), authority.certPem);
  await writeFile(join(folder, 'token'), 'a secret of this test');
  backends = await Promise.all(['one', 'two'].map((name) => NamedBackend.start(name)));
});

after(async () => {
  for (const server of servers) await server.stop();
  for (const backend of backends) backend.close();
  await rm(folder, { recursive: true });
});

const endpoint = (which: number) => [backends[which]?.endpoint ?? { address: '127.0.0.1', port: 1 }];

async function startController() {
  const publisher = new Publisher(tableContract);
  const authorize = sharedSecret(join(folder, 'token'));
  const log = pino({ level: 'silent' });
  const server = await startTableServer({
    feeds: [feedOf({ contract: tableContract, publisher, authorize, reader: 'proxy', isCurrent: () => true, log })],
    authority,
    address: '127.0.0.1',
    port: 0,
    extraNames: [],
    log,
  });
  servers.push(server);
  return { publisher, server, url: `https://127.0.0.1:${server.port}` };
}

function startProxy(urls: readonly string[], more: readonly string[] = ['--http-port', '0']): SluiceProcess {
  return new SluiceProcess([
    'proxy',
    ...urls.flatMap((url) => ['--controller', url]),
    ...['--controller-ca', join(folder, 'ca.crt'), '--token-file', join(folder, 'token')],
    ...['--https-port', '0', '--admin-port', '0', '--admin-address', '127.0.0.1'],
    ...['--workers', '2', '--name', 'proxy-1', ...more],
  ]);
}

/** Ports of a proxy, from its `listening` line. */
async function portsOf(proxy: SluiceProcess): Promise<{ http: number; admin: number }> {
  const [, http, admin] = await proxy.printed(/"ports":\{[^}]*"http":(\d+)[^}]*\},"admin":(\d+)/);
  return { http: Number(http), admin: Number(admin) };
}

test('a proxy follows its controller without a failed request, and leaves drained', async () => {
  const { publisher, server, url } = await startController();
  publisher.stage(plainTable(endpoint(0)), []);
  publisher.commit({ Ingress: 1 }, { Ingress: 1 });
  const proxy = startProxy([url]);
  let isOver = false;
  try {
    const { http, admin } = await portsOf(proxy);
    assert.equal((await fetch(`http://127.0.0.1:${admin}/readyz`)).status, 200);
    const metrics = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
    assert.match(metrics, /sluice_stream_connected 1\n/);
    const answers = new Map<string, number>();
    const load = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const body = await fetchOnce(http);
        answers.set(body, (answers.get(body) ?? 0) + 1);
      }
    });
    for (let change = 2; change < 42; change++) {
      publisher.stage([endpointsRow(endpoint(change % 2))], []);
      publisher.commit({ Ingress: change }, { Ingress: change });
      await waitUntil(() => publisher.isApplied(), `change ${change} to be applied`);
      assert.equal(await fetchOnce(http), change % 2 === 0 ? 'one' : 'two');
    }
    isOver = true;
    await Promise.all(load);
    assert.deepEqual([...answers.keys()].sort(), ['one', 'two']);

    const held = fetchOnce(http, '/held');
    const hasArrived = waitUntil(() => backends.some((backend) => backend.heldCount > 0), 'the request to arrive');
    assert.equal(await Promise.race([hasArrived, held]), undefined);
    // Nor is it ended by what other daemons are told to look anew by.
    proxy.signal('SIGHUP');
    proxy.signal('SIGTERM');
    await proxy.printed(/"signal":"SIGTERM","msg":"draining/);
    await eventually(
      async () => ((await fetchOnce(http)) === 'error ECONNREFUSED' ? true : undefined),
      'no more accepting',
    );
    for (const backend of backends) backend.release();
    assert.equal(await held, 'two');
    assert.deepEqual(await proxy.ended(), { code: 0, signal: null });
  } finally {
    isOver = true;
    await proxy.stop();
    await server.stop();
  }
});

test('of two controllers one lags: the proxy never goes back; without any it starts from disk', async () => {
  const [first, lagging] = [await startController(), await startController()];
  first.publisher.stage(plainTable(endpoint(1)), []);
  first.publisher.commit({ Ingress: 9 }, { Ingress: 9 });
  const stateDir = join(folder, 'state');
  const proxy = startProxy([first.url], ['--http-port', '0', '--state-dir', stateDir]);
  try {
    assert.equal(await fetchOnce((await portsOf(proxy)).http), 'two');
  } finally {
    await proxy.stop();
  }
  await first.server.stop();

  lagging.publisher.stage(plainTable(endpoint(0)), []);
  lagging.publisher.commit({ Ingress: 8 }, { Ingress: 8 });
  const again = startProxy([first.url, lagging.url], ['--http-port', '0', '--state-dir', stateDir]);
  try {
    const { http } = await portsOf(again);
    await again.printed(/TableFromThePast/);
    assert.equal(await fetchOnce(http), 'two');
    lagging.publisher.commit({ Ingress: 9 }, { Ingress: 8 });
    await waitUntil(() => lagging.publisher.isApplied(), 'the controller that has caught up to be believed');
    assert.equal(await fetchOnce(http), 'one');
  } finally {
    await again.stop();
    await lagging.server.stop();
  }
});

test('a port that is taken is said in one line', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as { port: number };
  const proxy = startProxy(['https://127.0.0.1:1'], ['--http-port', String(port)]);
  try {
    const { code } = await proxy.ended();
    assert.equal(code, 1);
    assert.match(proxy.stderr, new RegExp(`^error: .*port ${port}.*in use.*\n$`));
  } finally {
    await proxy.stop();
    taken.close();
  }
});
