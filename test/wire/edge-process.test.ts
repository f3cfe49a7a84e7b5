import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PlanKind, PlanRow } from '#table/plan.ts';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { RemoteProcess } from '../kit/peer.ts';
import type { ControllerMessage } from '../kit/plancontroller.ts';
import { planRow } from '../kit/plans.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns();

describe('sluice edge, as it is run', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;
  let folder: string;
  let controller: RemoteProcess;
  let controllerPort: number;
  let edge: SluiceProcess;

  before(async () => {
    if (skip) return;
    folder = await mkdtemp(join(tmpdir(), 'sluice-edge-'));
    lab = await EdgeLab.start('process', { podsPerNode: [2], agent: null });
    controller = new RemoteProcess(lab.client.netns, 'plancontroller.ts');
    controllerPort = await tell<number>({ kind: 'start', folder, port: 0 });
    edge = startEdge();
    await publish([...lab.nodeRows(), ...lab.service('web', ['pod-1a', 'pod-1b'], { clusterIps: ['10.96.4.1'] })]);
  });

  after(async () => {
    await edge?.stop();
    await controller?.end();
    await lab?.close();
    if (!skip) await rm(folder, { recursive: true });
  });

  const tell = <T>(message: ControllerMessage): Promise<T> => controller.send(message);
  const publish = (rows: PlanRow[], gone: { kind: PlanKind; id: string }[] = []) =>
    tell({ kind: 'publish', rows, gone });
  const run = (...args: string[]) => new SluiceProcess(['edge', ...args], {}, lab.node.netns);
  const startEdge = () =>
    run(
      ...['--controller', `https://172.30.0.100:${controllerPort}`, '--controller-ca', join(folder, 'ca.crt')],
      ...[
        '--token-file',
        join(folder, 'token'),
        '--node',
        lab.node.name,
        '--services',
        'all',
        '--state-dir',
        join(folder, 'state'),
        '--run-dir',
        join(folder, 'run'),
      ],
    );
  const ask = async (address = '10.96.4.1') =>
    namesOf(await lab.client.ask({ protocol: 'tcp', address, port: 80, count: 20 }));
  const nft = (...args: string[]) => lab.node.netns.exec('nft', ...args);
  const outputOf = async (...args: string[]) => {
    const process = run(...args);
    const { code } = await process.ended();
    return { code, stdout: process.stdout, stderr: process.stderr };
  };

  test('follows a controller, and says what it does', async () => {
    assert.deepEqual(await ask(), ['pod-1a', 'pod-1b']);
    const status = await outputOf('status');
    assert.match(
      status.stdout,
      /^node +node-1, serving all\nstate +in force\nplan +generation 1, hash \w{32}\nrows +1 node, 1 service, 1 endpoints/,
    );
    const metrics = await lab.node.netns.exec(
      process.execPath,
      '-e',
      "fetch('http://127.0.0.1:10252/metrics').then(async (r) => console.log(await r.text()))",
    );
    assert.match(metrics, /^sluice_plan_rows\{kind="service"\} 1$/m);
    assert.match(metrics, /^sluice_nft_failures_total 0$/m);
    assert.match(metrics, /^sluice_stream_connected 1$/m);
    assert.match(metrics, /^sluice_conntrack_flows_max \d+$/m);
    const doctor = await outputOf('doctor');
    assert.doesNotMatch(doctor.stdout, /^error/m);
    assert.equal(doctor.code, 0);
  });

  test('health for load balancers outside: fails when the node is about to go, while life goes on', async () => {
    const status = async (path: string) => (await lab.client.http(`http://${lab.node.address}:10256${path}`)).status;
    assert.deepEqual([await status('/healthz'), await status('/livez'), await status('/else')], [200, 200, 404]);
    const [node] = lab.nodeRows();
    if (node?.kind !== 'node') throw new Error('there is a node');
    await publish([{ kind: 'node', row: { ...node.row, isLeaving: true } }]);
    assert.deepEqual([await status('/healthz'), await status('/livez')], [503, 200]);
    await publish([node]);
    assert.equal(await status('/healthz'), 200);
  });

  test('a table that somebody flushed is back by itself; tables of others stay as they are', async () => {
    await nft('add table ip other');
    await nft('add chain ip other c { type nat hook prerouting priority -100; }');
    await nft('add rule ip other c tcp dport 1 counter');
    const before = await nft('list', 'table', 'ip', 'other');
    await nft('delete', 'table', 'inet', 'sluice');
    await eventually(
      async () => ((await nft('list', 'tables')).includes('inet sluice') ? true : undefined),
      'the table',
    );
    assert.deepEqual(await ask(), ['pod-1a', 'pod-1b']);
    await nft('flush', 'map', 'inet', 'sluice', 'endpoint4');
    await publish(lab.service('web', ['pod-1b'], { clusterIps: ['10.96.4.1'] }));
    assert.deepEqual(await ask(), ['pod-1b'], 'a change that does not fit what is there mends it');
    assert.equal(await nft('list', 'table', 'ip', 'other'), before);
  });

  test('the last plan stays in force without a controller and without an agent, and comes back from disk with it', async () => {
    await tell({ kind: 'stop' });
    assert.deepEqual(await ask(), ['pod-1b']);
    const file = join(folder, 'state', 'tables.json');
    const gone = lab.pod('pod-1a').address;
    await eventually(
      async () => ((await readFile(file, 'utf8')).includes(gone) ? undefined : true),
      'the copy on disk',
    );
    edge.signal('SIGKILL');
    await edge.ended();
    assert.deepEqual(await ask(), ['pod-1b']);
    // As after the node was restarted.
    await nft('flush', 'ruleset');
    edge = startEdge();
    await eventually(async () => ((await ask()).join() === 'pod-1b' ? true : undefined), 'the plan from disk');
    assert.equal(await tell({ kind: 'start', folder, port: controllerPort }), controllerPort);
    await publish(lab.service('web', ['pod-1a'], { clusterIps: ['10.96.4.1'] }));
    assert.deepEqual(await ask(), ['pod-1a']);
  });

  test('for want of a descriptor nothing is started, and nothing ends; the rest is done when there is one', async () => {
    const allowFiles = (count: number) =>
      execFileSync('prlimit', ['--pid', String(edge.pid), `--nofile=${count}:20000`]);
    allowFiles(1);
    await edge.printed(/"err":"nft cannot be started: EMFILE"/);
    assert.equal(edge.exit, null);
    allowFiles(20_000);
    await publish(lab.service('web', ['pod-1b'], { clusterIps: ['10.96.4.1'] }));
    assert.deepEqual(await ask(), ['pod-1b']);
    assert.doesNotMatch(edge.stderr, /somebody else has changed our table/);
    await publish(lab.service('web', ['pod-1a'], { clusterIps: ['10.96.4.1'] }));
  });

  test('says what it announces, and all of it to a controller that is new', async () => {
    const isSaid = (text: string) =>
      eventually(
        async () => ((await tell<string[]>({ kind: 'announced' })).join() === text ? true : undefined),
        `the edge to say "${text}"`,
      );
    const vips = ['172.30.0.200', '172.30.0.201'];
    const addressOf = (id: string) => planRow('address', { id, serviceIds: ['test/web'], announcementIds: ['l2'] });
    await isSaid('');
    await publish([
      planRow('announcement', { id: 'l2', nodes: [lab.node.name], layer2: { interfaces: [] } }),
      ...vips.map(addressOf),
    ]);
    await isSaid('node-1 layer2 172.30.0.200,node-1 layer2 172.30.0.201');
    await publish([], [{ kind: 'address', id: '172.30.0.200' }]);
    await isSaid('node-1 layer2 172.30.0.201');
    await tell({ kind: 'stop' });
    await isSaid('');
    assert.equal(await tell({ kind: 'start', folder, port: controllerPort }), controllerPort);
    await isSaid('node-1 layer2 172.30.0.201');
    await publish([], [{ kind: 'address', id: '172.30.0.201' }]);
    await isSaid('');
  });

  test('a stop leaves the rules, and cleanup leaves nothing', async () => {
    // As of a terminal that is closed, whose shell tells of it before the kernel does.
    edge.signal('SIGHUP');
    edge.signal('SIGHUP');
    assert.deepEqual(await edge.ended(), { code: 0, signal: null });
    assert.deepEqual(await ask(), ['pod-1a']);
    const first = await outputOf('cleanup', '--run-dir', join(folder, 'run'));
    assert.deepEqual(
      [first.code, first.stdout],
      [
        0,
        [
          'our settings of ARP of eth0',
          ...['inet sluice', 'ip sluice_strays'].map((each) => `the nftables table ${each}`),
        ]
          .map((each) => `removed ${each}\n`)
          .join(''),
      ],
    );
    assert.equal((await nft('list', 'ruleset')).includes('sluice'), false);
    const second = await outputOf('cleanup', '--run-dir', join(folder, 'run'));
    assert.deepEqual([second.code, second.stdout], [0, 'there was nothing\n']);
  });
});
