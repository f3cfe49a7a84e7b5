import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { adminPage, fetchOnce, NamedBackend, testFleet } from '../kit/fleet.ts';
import { plainTable, row, snapshot } from '../kit/rows.ts';
import { readScrape } from '../kit/scrape.ts';
import { eventually } from '../kit/wait.ts';

const backend = await NamedBackend.start('one');
after(() => backend.close());
const rows = plainTable([backend.endpoint]);

type Fleet = Awaited<ReturnType<typeof testFleet>>;

/** Everything on the page that counts, by its series. */
async function countersOf(fleet: Fleet): Promise<Map<string, number>> {
  const { samples, typesByFamily } = readScrape((await adminPage(fleet, '/metrics')).text);
  const isGauge = (metric: string) => typesByFamily.get(metric) === 'gauge';
  return new Map(
    samples
      .filter(({ metric }) => !isGauge(metric))
      .map(({ metric, labels, value }) => [`${metric} ${JSON.stringify(labels)}`, value]),
  );
}

test('no counter goes down, or away, when a worker is killed: Prometheus would take it for a restart, and count all of it twice', async () => {
  const fleet = await testFleet({ metricsCompat: 'ingress-nginx' });
  let isOver = false;
  try {
    await fleet.apply(snapshot(rows));
    const port = fleet.ports().get('http') ?? 0;
    let served = 0;
    const load = Array.from({ length: 4 }, async () => {
      while (!isOver) if ((await fetchOnce(port)) === 'one') served++;
    });
    let before = await countersOf(fleet);
    const scrape = async () => {
      const now = await countersOf(fleet);
      for (const [series, count] of before) {
        assert.ok((now.get(series) ?? -1) >= count, `${series}: ${count}, then ${now.get(series)}`);
      }
      before = now;
    };
    const target = served + 50;
    while (served < target) await scrape();
    const [victim = 0] = fleet.state().workerPids;
    process.kill(victim, 'SIGKILL');
    while (fleet.state().workerPids.includes(victim) || fleet.state().unreadyReason !== null) await scrape();
    await scrape();
    isOver = true;
    await Promise.all(load);
  } finally {
    isOver = true;
    await fleet.stop();
  }
});

test('a listener that is gone is shown until its last connection has ended, once more then, and goes on when it is back', async () => {
  const fleet = await testFleet();
  const sockets: Socket[] = [];
  try {
    const others = rows.filter(({ kind }) => kind !== 'host');
    const both = [
      ...others,
      row('host', { id: 'h', listenerIds: ['http', 'extra'] }),
      row('listener', { id: 'extra' }),
    ];
    await fleet.apply(snapshot(both));
    const open = async () => {
      const socket = connect(fleet.ports().get('extra') ?? 0, '127.0.0.1');
      sockets.push(socket.on('error', () => {}));
      await once(socket, 'connect');
      socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
      await once(socket, 'data');
      return socket;
    };
    const series = async (listener: string) => {
      const { samples } = readScrape((await adminPage(fleet, '/metrics')).text);
      const of = samples.filter(({ labels }) => labels['listener'] === listener);
      return Object.fromEntries(of.map(({ metric, value }) => [metric, value]));
    };
    const first = await open();
    await open().then((socket) => socket.end());
    await eventually(
      async () => ((await series('extra'))['sluice_connections'] === 1 ? true : undefined),
      'one to be left',
    );
    await fleet.apply(snapshot(rows));
    const kept = { sluice_connections: 1, sluice_connections_total: 2 };
    assert.deepEqual(await series('extra'), kept);
    assert.deepEqual(await series('extra'), kept);
    first.end();
    const last = await eventually(async () => {
      const now = await series('extra');
      return now['sluice_connections'] === 0 ? now : undefined;
    }, 'the last one to end');
    assert.deepEqual(last, { sluice_connections: 0, sluice_connections_total: 2 });
    assert.deepEqual(await series('extra'), {});
    const page = JSON.parse((await adminPage(fleet, '/connections')).text);
    assert.ok(!JSON.stringify(page).includes('"extra"'));
    await fleet.apply(snapshot(both));
    await open();
    assert.deepEqual(await series('extra'), { sluice_connections: 1, sluice_connections_total: 3 });
  } finally {
    for (const socket of sockets) socket.destroy();
    await fleet.stop();
  }
});
