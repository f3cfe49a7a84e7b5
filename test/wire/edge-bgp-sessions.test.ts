import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { BgpLab, routerAddress } from '../kit/bgplab.ts';
import { isSameRoute, isSameSession } from '../kit/birdrouter.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { planRow } from '../kit/plans.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'bird']);
const hop = '203.0.113.1/32 172.30.0.1';

describe('sessions of BGP', { skip, timeout: 600_000 }, () => {
  let lab: BgpLab;

  afterEach(() => lab?.close());

  const noProblem = () =>
    eventually(async () => ((await lab.node.status()).problems.length === 0 ? true : undefined), 'no problem');
  const pathUp = () =>
    eventually(
      async () => (/sluice_bfd_session_up\{peer="tor-1"\} 1/.test(await lab.node.page('/metrics')) ? true : undefined),
      'BFD',
    );
  const vip = (id: string) => planRow('address', { id, announcementIds: ['rack'] });

  test('24: iBGP carries the preference; several peers, over both families, each have their session', async () => {
    lab = await BgpLab.start('ibgp', 1);
    const channels = 'ipv4 { import all; export none; }; ipv6 { import all; export none; };';
    await lab.router.configure(
      routerAddress,
      [
        `protocol bgp node1 { local as 64512; neighbor 172.30.0.1 as 64512; direct; connect delay time 1; ${channels} }`,
        `protocol bgp six { local as 64513; neighbor fd30::1 as 64512; direct; connect delay time 1; ${channels} }`,
        `protocol bgp cable { local as 64513; neighbor range fe80::/64 as 64512; interface "eth0"; direct; connect delay time 1; ${channels} }`,
      ].join('\n'),
    );
    const link = (await lab.router.netns.exec('ip', '-6', '-o', 'addr', 'show', 'dev', 'eth0', 'scope', 'link')).match(
      /fe80:\S+(?=\/)/,
    )?.[0];
    await lab.apply([
      lab.peer('inner', { peerAsn: 64_512, holdTimeSeconds: 30, keepaliveSeconds: 10 }),
      lab.peer('six.example-1', { address: 'fd30::fe', sourceAddress: 'fd30::1' }),
      lab.peer('link', { address: link ?? '', interface: 'eth0' }),
      lab.announcement('rack', { localPreference: 300, peerIds: ['inner'] }),
      lab.announcement('six', { peerIds: ['six.example-1'] }),
      lab.announcement('link', { peerIds: ['link'] }),
      vip('203.0.113.1'),
      planRow('address', { id: '2001:db8::1', announcementIds: ['six'] }),
      planRow('address', { id: '2001:db8::2', announcementIds: ['link'] }),
    ]);
    await lab.established('node1');
    await lab.established('six');
    await eventually(async () => ((await lab.router.hops()).length === 3 ? true : undefined), 'three routes');
    const byPrefix = new Map((await lab.router.routes()).map((route) => [route.prefix, route]));
    assert.equal(byPrefix.get('203.0.113.1/32')?.localPreference, '300');
    assert.equal(byPrefix.get('2001:db8::1/128')?.from, 'six');
    assert.match(await lab.node.askBird('show protocols all p_inner'), /Hold timer: +[\d.]+\/30\n/);
    await noProblem();
    const metrics = await lab.node.page('/metrics');
    assert.match(metrics, /^sluice_bgp_session_up\{peer="six\.example-1"\} 1$/m);
    assert.match(metrics, /^sluice_bgp_announced_prefixes\{peer="inner"\} 1$/m);
  });

  test('28: a wrong password: never established, and the status says so; the right one: established', async () => {
    lab = await BgpLab.start('password', 1, 'password "right";');
    const secret = (value: string) => planRow('secret', { id: 'peer/tor-1', value });
    const peer = lab.peer('tor-1', { secretId: 'peer/tor-1' });
    await lab.apply([secret('wrong-one'), peer, lab.announcement('rack'), vip('203.0.113.1')]);
    const problem = await eventually(async () => {
      const { problems } = await lab.node.status();
      return problems.find(
        ({ code, message }) => code === 'PeerNotEstablished' && /now (Active|Connect)/.test(message),
      );
    }, 'the problem');
    assert.match(problem.message, /with tor-1 \(172\.30\.0\.254\) is not established: never established/);
    assert.deepEqual(await lab.router.hops(), []);
    for (const name of await readdir(dirname(lab.node.file('main')))) {
      const path = join(dirname(lab.node.file('main')), name);
      const info = await stat(path);
      if (!info.isFile()) continue;
      if ((await readFile(path, 'utf8')).includes('wrong-one')) assert.equal(info.mode & 0o777, 0o600, name);
    }
    for (const page of ['/status', '/plan', '/problems', '/metrics']) {
      assert.doesNotMatch(await lab.node.page(page), /wrong-one/, page);
    }
    await lab.apply([secret('right')]);
    await lab.expectHops(hop);
    await noProblem();
    // No password is what cannot be made one: the peer is left out rather than spoken with in the clear.
    await lab.apply([secret('"; protocol kernel { ipv4 { export all; }; } #')]);
    await lab.expectHops();
    const { problems } = await lab.node.status();
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['PeerUnusable'],
    );
  });

  test('29: a path that fails in silence is found by BFD, long before the hold time; the session comes back', async () => {
    lab = await BgpLab.start('bfd', 1, 'bfd on;');
    const bfd = { receiveMs: 300, transmitMs: 300, multiplier: 3, isPassive: false };
    await lab.apply([lab.peer('tor-1', { bfd }), lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    await pathUp();
    await lab.silence(lab.node);
    await lab.expectHops();
    await lab.rejoin(lab.node);
    await lab.expectHops(hop);
    await noProblem();
  });

  test('29: and so is one over hops', async () => {
    lab = await BgpLab.start('hops', 1);
    await lab.router.netns.ip('addr add 172.31.0.1/32 dev lo');
    await lab.node.netns.ip('route add 172.31.0.1 via 172.30.0.254');
    await lab.router.configure(
      routerAddress,
      [
        'protocol bfd { multihop { min rx interval 300 ms; min tx interval 300 ms; multiplier 3; }; }',
        'protocol bgp node1 { local 172.31.0.1 as 64513; neighbor 172.30.0.1 as 64512; multihop 5; bfd on;',
        '  connect delay time 1; connect retry time 1; error wait time 1, 2; ipv4 { import all; export none; }; }',
      ].join('\n'),
    );
    const bfd = { receiveMs: 300, transmitMs: 300, multiplier: 3, isPassive: false };
    const peer = lab.peer('tor-1', { address: '172.31.0.1', multihopTtl: 5, bfd });
    await lab.apply([peer, lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    await pathUp();
    await lab.silence(lab.node);
    await lab.expectHops();
    await lab.rejoin(lab.node);
    await lab.expectHops(hop);
  });

  test('30: BIRD is killed: with graceful restart no route is lost', async () => {
    lab = await BgpLab.start('kill', 1);
    await lab.apply([lab.peer('tor-1', { gracefulRestartSeconds: 120 }), lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    const [route] = await lab.router.routes();
    const since = await lab.established();
    process.kill(lab.node.birdPid(), 'SIGKILL');
    await eventually(async () => {
      const session = await lab.router.session('node1');
      assert.deepEqual(await lab.router.hops(), [hop]);
      return session.state === 'Established' && !isSameSession(session, since) ? true : undefined;
    }, 'another session');
    await lab.apply([vip('203.0.113.2')]);
    await lab.expectHops(hop, '203.0.113.2/32 172.30.0.1');
    const after = (await lab.router.routes()).find(({ prefix }) => prefix === route?.prefix);
    assert.ok(isSameRoute(route, after), `${JSON.stringify(route)} ${JSON.stringify(after)}`);
  });

  test('30: with BFD, too, where the router takes graceful restart for more', async () => {
    lab = await BgpLab.start('both', 1, 'bfd { graceful; };');
    const bfd = { receiveMs: 300, transmitMs: 300, multiplier: 3, isPassive: false };
    const peer = lab.peer('tor-1', { bfd, gracefulRestartSeconds: 120 });
    await lab.apply([peer, lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    await pathUp();
    const [route] = await lab.router.routes();
    const since = await lab.established();
    process.kill(lab.node.birdPid(), 'SIGKILL');
    await eventually(async () => {
      const session = await lab.router.session('node1');
      return session.state === 'Established' && !isSameSession(session, since) ? true : undefined;
    }, 'another session');
    await pathUp();
    assert.ok(isSameRoute(route, (await lab.router.routes())[0]));
  });

  test('30: a peer that is away does not keep those that are back from news after a restart', async () => {
    lab = await BgpLab.start('away', 1);
    const gracefulRestartSeconds = 120;
    await lab.apply([
      lab.peer('tor-1', { gracefulRestartSeconds }),
      lab.peer('tor-2', { gracefulRestartSeconds, address: '172.30.0.77' }),
      lab.announcement('rack'),
      vip('203.0.113.1'),
    ]);
    await lab.expectHops(hop);
    process.kill(lab.node.birdPid(), 'SIGKILL');
    await lab.apply([vip('203.0.113.2')]);
    await lab.expectHops(hop, '203.0.113.2/32 172.30.0.1');
  });

  test('30: the agent ends, or is killed, and the session goes on; the next agent finds its BIRD; cleanup withdraws', async () => {
    lab = await BgpLab.start('restart', 1);
    await lab.apply([lab.peer('tor-1'), lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    const since = await lab.established();
    const pid = lab.node.birdPid();
    for (const [i, how] of (['stop', 'SIGKILL'] as const).entries()) {
      await lab.node.endAgent(how);
      await lab.node.startAgent();
      await lab.resend(lab.node);
      await lab.apply([vip(`203.0.113.${i + 2}`)]);
      const more = ['203.0.113.2/32 172.30.0.1', '203.0.113.3/32 172.30.0.1'].slice(0, i + 1);
      await lab.expectHops(hop, ...more);
      assert.ok(isSameSession(await lab.established(), since));
      assert.equal(lab.node.birdPid(), pid);
    }
    await lab.node.endAgent('stop');
    await lab.node.cleanUp();
    await lab.expectHops();
    assert.equal(lab.node.birdPid(), 0);
  });

  test('one that hangs is ended, and another takes its place', async () => {
    lab = await BgpLab.start('hang', 1);
    await lab.apply([lab.peer('tor-1'), lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    const pid = lab.node.birdPid();
    process.kill(pid, 'SIGSTOP');
    await eventually(async () => ([0, pid].includes(lab.node.birdPid()) ? undefined : true), 'another BIRD');
    await lab.expectHops(hop);
  });

  test('a peer that cannot be had hurts no other', async () => {
    lab = await BgpLab.start('unusable', 1);
    await lab.apply([lab.peer('tor-1'), lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    await lab.apply([
      lab.peer('far', { address: '172.30.0.78', multihopTtl: 3, interface: 'eth0' }),
      vip('203.0.113.2'),
    ]);
    await lab.expectHops(hop, '203.0.113.2/32 172.30.0.1');
    const codes = (await lab.node.status()).problems.map(({ code }) => code);
    assert.deepEqual(codes, ['PeerUnusable']);
  });

  test('a configuration that BIRD refuses leaves the one before in force, and is tried until it is taken', async () => {
    lab = await BgpLab.start('refused', 1);
    await lab.apply([lab.peer('tor-1'), lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    const since = await lab.established();
    // BIRD opens its log when it reads a configuration.
    await rename(lab.node.file('log'), `${lab.node.file('log')}.away`);
    await mkdir(lab.node.file('log'));
    await lab.apply([vip('203.0.113.2')], [{ kind: 'address', id: '203.0.113.1' }]);
    const [problem] = (await lab.node.status()).problems;
    assert.equal(problem?.code, 'BirdRefused');
    assert.match(problem?.message ?? '', /bird\.log/);
    assert.deepEqual(await lab.router.hops(), [hop]);
    await rmdir(lab.node.file('log'));
    await lab.expectHops('203.0.113.2/32 172.30.0.1');
    await noProblem();
    assert.ok(isSameSession(await lab.established(), since));
  });

  test('while BIRD waits until routers have found out that it died, plans come into force', async () => {
    lab = await BgpLab.start('waiting', 1);
    const bfd = { receiveMs: 1_000, transmitMs: 1_000, multiplier: 200, isPassive: false };
    await lab.apply([lab.peer('tor-1', { bfd }), lab.announcement('rack'), vip('203.0.113.1')]);
    await lab.expectHops(hop);
    await lab.node.endAgent('stop');
    process.kill(lab.node.birdPid(), 'SIGKILL');
    await lab.node.startAgent();
    await lab.resend(lab.node);
    await lab.apply([vip('203.0.113.2')]);
    assert.match(await lab.node.page('/metrics'), /^sluice_bird_starts_total 0$/m);
  });

  test('without BIRD the rest of the plan is in force, and the problem says so; it is started when it is there', async () => {
    lab = await BgpLab.start('missing', 1);
    const programs = await mkdtemp(join(tmpdir(), 'sluice-programs-'));
    const path = process.env['PATH'];
    try {
      for (const program of ['ip', 'nft', 'sysctl', 'arping', 'ndptool']) await linkProgram(program, programs);
      await lab.node.endAgent('stop');
      process.env['PATH'] = programs;
      await lab.node.startAgent();
      process.env['PATH'] = path;
      await lab.resend(lab.node);
      await lab.apply([lab.peer('tor-1'), lab.announcement('rack'), vip('203.0.113.1')]);
      const { problems, unreadyReason } = await lab.node.status();
      assert.equal(unreadyReason, null);
      assert.deepEqual(
        problems.map(({ code }) => code),
        ['BirdNotRunning'],
      );
      assert.match(problems[0]?.message ?? '', /bird is not installed/);
      await linkProgram('bird', programs);
      await lab.expectHops(hop);
      await noProblem();
    } finally {
      process.env['PATH'] = path;
      await rm(programs, { recursive: true });
    }
  });
});

async function linkProgram(name: string, folder: string): Promise<void> {
  for (const each of (process.env['PATH'] ?? '').split(':')) {
    const isThere = await stat(join(each, name)).then(
      () => true,
      () => false,
    );
    if (!isThere) continue;
    await symlink(join(each, name), join(folder, name));
    return;
  }
}
