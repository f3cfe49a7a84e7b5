import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { adminPage, fetchOnce, NamedBackend, testFleet } from '../kit/fleet.ts';
import { freePorts } from '../kit/ports.ts';
import { endpointsRow, plainTable, row, snapshot } from '../kit/rows.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const backend = await NamedBackend.start('one');
const second = await NamedBackend.start('two');
after(() => {
  backend.close();
  second.close();
});
const rows = plainTable([backend.endpoint]);

test('nothing is accepted before the first table; then every worker serves and the pages say so', async () => {
  const fleet = await testFleet();
  try {
    assert.equal(fleet.ports().size, 0);
    assert.deepEqual(await adminPage(fleet, '/readyz'), { status: 503, text: 'no tables yet\n' });
    assert.equal((await adminPage(fleet, '/healthz')).status, 200);
    const batch = snapshot(rows);
    const { hash, generation } = batch.commit;
    assert.deepEqual(await fleet.apply(batch), { type: 'applied', hash, generation });
    const port = fleet.ports().get('http') ?? 0;
    for (let count = 0; count < 20; count++) assert.equal(await fetchOnce(port), 'one');
    assert.equal((await adminPage(fleet, '/readyz')).status, 200);
    const tables = await adminPage(fleet, '/tables');
    assert.equal(JSON.parse(tables.text).hash, hash);
    assert.ok(!tables.text.includes(Buffer.alloc(32, 7).toString('base64')), 'no secret in the dump');
    const metrics = await adminPage(fleet, '/metrics');
    assert.match(metrics.text, new RegExp(`sluice_table_info\\{hash="${hash}"\\} 1`));
    assert.match(metrics.text, /sluice_workers_ready 2/);
    assert.match(metrics.text, /sluice_http_requests_total\{code="2xx"\} 20\n/);
    assert.match(metrics.text, /sluice_table_rows\{kind="route"\} 1\n/);
    const names = metrics.text.split('\n').filter((line) => line.startsWith('# TYPE'));
    assert.equal(new Set(names).size, names.length, 'no family appears twice');
    assert.equal((await adminPage(fleet, '/nothing')).status, 404);
  } finally {
    await fleet.stop();
  }
});

test('a table with a broken pointer is refused whole and the last good one stays in force', async () => {
  const fleet = await testFleet();
  try {
    await fleet.apply(snapshot(rows));
    const port = fleet.ports().get('http') ?? 0;
    const broken = snapshot([...rows.filter(({ kind }) => kind !== 'backend'), endpointsRow([second.endpoint])]);
    const ack = await fleet.apply(broken);
    assert.equal(ack.type, 'refused');
    assert.ok(ack.type === 'refused' && ack.problems.every(({ code }) => code === 'PointerBroken'));
    assert.equal(await fetchOnce(port), 'one');
    assert.match((await adminPage(fleet, '/problems')).text, /PointerBroken/);
    assert.match((await adminPage(fleet, '/metrics')).text, /sluice_problems\{code="PointerBroken"\} [1-9]/);
    const moved = snapshot([...rows.filter(({ kind }) => kind !== 'endpoints'), endpointsRow([second.endpoint])]);
    assert.equal((await fleet.apply(moved)).type, 'applied');
    for (let count = 0; count < 10; count++) assert.equal(await fetchOnce(port), 'two');
    assert.equal((await adminPage(fleet, '/problems')).text, '[]\n');
  } finally {
    await fleet.stop();
  }
});

test('listeners come and go without touching others; a port that is taken hurts nobody else', async () => {
  const fleet = await testFleet();
  try {
    await fleet.apply(snapshot(rows));
    const port = fleet.ports().get('http') ?? 0;
    const others = rows.filter(({ kind, row: { id } }) => kind !== 'host' && id !== 'x');
    const both = row('host', { id: 'h', listenerIds: ['http', 'extra', 'taken'] });
    const extra = row('listener', { id: 'extra' });
    const taken = row('listener', { id: 'taken', port: fleet.adminPort });
    assert.equal((await fleet.apply(snapshot([...others, both, extra, taken]))).type, 'applied');
    const extraPort = fleet.ports().get('extra') ?? 0;
    assert.equal(await fetchOnce(extraPort), 'one');
    assert.equal(await fetchOnce(port), 'one');
    assert.match((await adminPage(fleet, '/problems')).text, /PortUnavailable/);
    assert.equal((await fleet.apply(snapshot(rows))).type, 'applied');
    assert.equal(await fetchOnce(extraPort), 'error ECONNREFUSED');
    assert.equal(await fetchOnce(port), 'one');
    assert.equal((await adminPage(fleet, '/problems')).text, '[]\n');
  } finally {
    await fleet.stop();
  }
});

test('a port that a Service carried unread wants, too, is that of http', async () => {
  const [port = 0] = await freePorts(1);
  const fleet = await testFleet({ httpPort: port });
  try {
    const carried = row('listener', { id: 'carried', protocol: 'tcp', port });
    assert.equal((await fleet.apply(snapshot([carried, ...rows]))).type, 'applied');
    assert.equal(await fetchOnce(port), 'one');
    const [problem] = JSON.parse((await adminPage(fleet, '/problems')).text);
    assert.equal(problem.code, 'PortUnavailable');
    assert.match(problem.message, /listener carried/);
  } finally {
    await fleet.stop();
  }
});

test('connections that wait in a dead worker are answered by its successor', async (context) => {
  const fleet = await testFleet();
  try {
    await fleet.apply(snapshot(rows));
    const port = fleet.ports().get('http') ?? 0;
    const victim = fleet.state().workerPids[0] ?? 0;
    // Stopped, it accepts nothing: what the kernel gives it waits in the queue of its socket.
    process.kill(victim, 'SIGSTOP');
    const answers = Array.from({ length: 60 }, () => fetchOnce(port));
    let answered = 0;
    for (const answer of answers) void answer.then(() => answered++);
    // By now every client has connected: the living worker's answers come after the handshakes of all.
    await waitUntil(() => answered >= 10, 'the living worker to answer');
    const waiting = answers.length - answered;
    assert.ok(waiting > 0, 'some wait for the stopped worker');
    const killedMs = performance.now();
    process.kill(victim, 'SIGKILL');
    assert.deepEqual(new Set(await Promise.all(answers)), new Set(['one']));
    context.diagnostic(
      `${waiting} queued connections answered ${Math.round(performance.now() - killedMs)} ms after SIGKILL`,
    );
    assert.notEqual(fleet.state().workerPids[0], victim);
    await eventually(
      async () => ((await adminPage(fleet, '/metrics')).text.match(/sluice_workers_ready 2/) ? true : undefined),
      'both workers',
    );
    assert.match((await adminPage(fleet, '/metrics')).text, /sluice_worker_restarts_total 1/);
  } finally {
    await fleet.stop();
  }
});

test('a worker killed under load costs its own requests in flight and nothing else', async (context) => {
  const fleet = await testFleet();
  try {
    await fleet.apply(snapshot(rows));
    const port = fleet.ports().get('http') ?? 0;
    const clients = 8;
    const failures: string[] = [];
    let served = 0;
    let isOver = false;
    const load = Array.from({ length: clients }, async () => {
      while (!isOver) {
        const body = await fetchOnce(port);
        if (body === 'one') served++;
        else failures.push(body);
      }
    });
    for (let round = 0; round < 3; round++) {
      const target = served + 200;
      await waitUntil(() => served >= target, 'the load');
      const [victim = 0] = fleet.state().workerPids;
      process.kill(victim, 'SIGKILL');
      await waitUntil(() => fleet.state().workerPids[0] !== victim, 'a successor');
    }
    const target = served + 500;
    await waitUntil(() => served >= target, 'the load after the last successor');
    isOver = true;
    await Promise.all(load);
    context.diagnostic(`${served} served, ${failures.length} lost in flight by 3 kills: ${failures}`);
    assert.ok(!failures.includes('error ECONNREFUSED'));
    assert.ok(failures.length <= 3 * clients);
  } finally {
    await fleet.stop();
  }
});

test('a worker that hangs is replaced, and its clients are answered', async () => {
  const fleet = await testFleet({ workerTimeoutMs: 3_000 });
  try {
    await fleet.apply(snapshot(rows));
    const port = fleet.ports().get('http') ?? 0;
    process.kill(fleet.state().workerPids[0] ?? 0, 'SIGSTOP');
    const answers = await Promise.all(Array.from({ length: 40 }, () => fetchOnce(port)));
    assert.deepEqual(new Set(answers), new Set(['one']));
  } finally {
    await fleet.stop();
  }
});

test('a worker that turns in a circle is replaced, and its clients are answered', async () => {
  const { NODE_OPTIONS } = process.env;
  process.env['NODE_OPTIONS'] = "--import=data:text/javascript,process.on('SIGUSR2',()=>{for(;;);})";
  const fleet = await testFleet({ workers: 1, workerTimeoutMs: 3_000 });
  try {
    await fleet.apply(snapshot(rows));
    const [first = 0] = fleet.state().workerPids;
    process.kill(first, 'SIGUSR2');
    await waitUntil(() => fleet.state().workerPids[0] !== first, 'a successor');
    assert.equal(await fetchOnce(fleet.ports().get('http') ?? 0), 'one');
  } finally {
    if (NODE_OPTIONS === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = NODE_OPTIONS;
    await fleet.stop();
  }
});

test('a worker that hangs before it serves is replaced, and its clients are answered', async () => {
  const fleet = await testFleet({ workers: 1, workerTimeoutMs: 3_000 });
  try {
    await fleet.apply(snapshot(rows));
    const [first = 0] = fleet.state().workerPids;
    process.kill(first, 'SIGKILL');
    await waitUntil(() => fleet.state().workerPids[0] !== first, 'a successor');
    process.kill(fleet.state().workerPids[0] ?? 0, 'SIGSTOP');
    assert.equal(await fetchOnce(fleet.ports().get('http') ?? 0), 'one');
  } finally {
    await fleet.stop();
  }
});

test('a batch that arrives while a worker dies is in force in its successor', async () => {
  const fleet = await testFleet();
  try {
    await fleet.apply(snapshot(rows));
    const port = fleet.ports().get('http') ?? 0;
    for (let round = 0; round < 4; round++) {
      const to = round % 2 === 0 ? second : backend;
      for (const pid of fleet.state().workerPids) process.kill(pid, 'SIGKILL');
      const ack = await fleet.apply(snapshot(plainTable([to.endpoint]), { generation: round + 2 }));
      assert.equal(ack.type, 'applied');
      for (let count = 0; count < 6; count++) assert.equal(await fetchOnce(port), to === second ? 'two' : 'one');
    }
  } finally {
    await fleet.stop();
  }
});

test('a table of many rows is in force at once, in every worker and in a successor', async () => {
  const fleet = await testFleet();
  const hosts = Array.from({ length: 5_000 }, (_, i) => row('host', { id: `h${i}`, hostname: `h${i}.test` }));
  try {
    // What a request needs comes first and last.
    assert.equal((await fleet.apply(snapshot([...rows.slice(0, 2), ...hosts, ...rows.slice(2)]))).type, 'applied');
    const port = fleet.ports().get('http') ?? 0;
    for (let count = 0; count < 10; count++) assert.equal(await fetchOnce(port), 'one');
    for (const pid of fleet.state().workerPids) process.kill(pid, 'SIGKILL');
    for (let count = 0; count < 10; count++) assert.equal(await fetchOnce(port), 'one');
    assert.match((await adminPage(fleet, '/metrics')).text, /sluice_table_rows\{kind="host"\} 5001\n/);
  } finally {
    await fleet.stop();
  }
});

test('tables from the past are refused', async () => {
  const fleet = await testFleet();
  try {
    const seen = { Ingress: 10 };
    assert.equal((await fleet.apply(snapshot(rows, { seen, holds: seen }))).type, 'applied');
    const ack = await fleet.apply(
      snapshot(plainTable([second.endpoint]), { seen: { Ingress: 9 }, holds: { Ingress: 9 } }),
    );
    assert.ok(ack.type === 'refused' && ack.problems[0]?.code === 'TableFromThePast');
    assert.equal(await fetchOnce(fleet.ports().get('http') ?? 0), 'one');
  } finally {
    await fleet.stop();
  }
});

test('without a controller the last good tables come back from disk', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  try {
    const before = await testFleet({ stateDir });
    const batch = snapshot(rows, { seen: { Ingress: 4 }, holds: { Ingress: 4 } });
    await before.apply(batch);
    await before.stop();
    const fleet = await testFleet({ stateDir });
    try {
      await fleet.firstTable;
      assert.equal(fleet.state().hash, batch.commit.hash);
      assert.equal(await fetchOnce(fleet.ports().get('http') ?? 0), 'one');
      const past = snapshot(plainTable([second.endpoint]), { seen: { Ingress: 3 } });
      assert.equal((await fleet.apply(past)).type, 'refused');
    } finally {
      await fleet.stop();
    }
  } finally {
    await rm(stateDir, { recursive: true });
  }
});

test('a drain takes readiness away and lets requests in flight finish', async () => {
  const fleet = await testFleet({ drainGraceMs: 60_000 });
  await fleet.apply(snapshot(rows));
  const held = fetchOnce(fleet.ports().get('http') ?? 0, '/held');
  await waitUntil(() => backend.heldCount === 1, 'the request to arrive');
  const pids = fleet.state().workerPids;
  const stopped = fleet.stop();
  assert.deepEqual(await adminPage(fleet, '/readyz'), { status: 503, text: 'draining\n' });
  backend.release();
  assert.equal(await held, 'one');
  await stopped;
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('garbage on the admin port is answered or dropped, and costs nothing', async () => {
  const fleet = await testFleet({ workers: 1 });
  try {
    for (const garbage of [
      '\x00\xff\x16\x03\x01',
      'GET\r\n\r\n',
      'POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n',
      'GET /__proto__ HTTP/1.1\r\nHost: a\r\n\r\n',
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect(fleet.adminPort, '127.0.0.1', () => socket.end(Buffer.from(garbage, 'latin1')));
        socket
          .resume()
          .on('error', () => {})
          .on('close', () => resolve());
      });
    }
    assert.equal((await adminPage(fleet, '/healthz')).status, 200);
  } finally {
    await fleet.stop();
  }
});
