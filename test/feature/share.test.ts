import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Problem } from '../../proxy/table/problem.ts';
import { certificateFor } from '../kit/certificate.ts';
import { NamedBackend } from '../kit/fleet.ts';
import { freePorts } from '../kit/ports.ts';
import { skipWithoutRedis } from '../kit/redis.ts';
import { ShareRig, stickyTable } from './sharerig.ts';

const backends = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => NamedBackend.start(name)));
const endpoints = backends.map((backend) => backend.endpoint);
/** While this is in force everybody is sent to `a`; who is not known later is spread over all. */
const onlyA = stickyTable(endpoints.slice(0, 1));
const all = stickyTable(endpoints);
const clients = Array.from({ length: 24 }, (_, nth) => `127.0.9.${nth + 1}`);
/** How many are heard of where a load runs, too: it comes from an address of its own. */
const withLoad = clients.length + 1;
const dir = mkdtempSync(join(tmpdir(), 'sluice-share-'));
after(() => {
  for (const backend of backends) backend.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('proxies share through Redis', { skip: skipWithoutRedis() }, () => {
  test('a client that moves between proxies keeps its endpoint while endpoints come; one that nobody knows is spread', () =>
    ShareRig.run(async (rig) => {
      const [first, second] = [await rig.proxy(onlyA), await rig.proxy(onlyA)];
      const both = [first, second];
      for (const proxy of both) await proxy.isUp();
      for (const client of clients) assert.equal(await first.ask(client), 'a');
      await second.hasHeard(clients.length);
      for (const proxy of both) await proxy.apply(all);
      for (const proxy of both) for (const client of clients) assert.equal(await proxy.ask(client), 'a');
      const strangers = await Promise.all(clients.map((_, nth) => second.ask(`127.0.10.${nth + 1}`)));
      assert.ok(new Set(strangers).size > 2, 'or the test would prove nothing');
      // Who moves while its endpoint is away stays moved, for both.
      for (const proxy of both) await proxy.apply(stickyTable(endpoints.slice(1)));
      const moved = await Promise.all(clients.map((client) => second.ask(client)));
      await first.hasHeard(2 * clients.length);
      for (const proxy of both) await proxy.apply(all);
      for (const [nth, client] of clients.entries()) assert.equal(await first.ask(client), moved[nth]);
      // A proxy that comes later is not ready before it knows what the others know.
      const third = await rig.proxy(all);
      await third.isReady();
      for (const [nth, client] of clients.entries()) assert.equal(await third.ask(client), moved[nth]);
    }));

  test('the server holds one key that expires, and no address of a client', () =>
    ShareRig.run(async (rig) => {
      const proxy = await rig.proxy(onlyA);
      for (const client of clients) await proxy.ask(client);
      await proxy.hasTold(clients.length);
      const keys = (await rig.redis.command('keys', '*')) as string[];
      assert.equal(keys.length, 1);
      const [key = ''] = keys;
      assert.match(key, /^sluice:1:[\w-]{16}:affinity$/);
      const ttlMs = Number(await rig.redis.command('pttl', key));
      assert.ok(ttlMs > 0 && ttlMs <= 86_400_000);
      const stored = JSON.stringify(await rig.redis.command('xrange', key, '-', '+'));
      assert.ok(stored.includes(`127.0.0.1:${endpoints[0]?.port} `) && !stored.includes('127.0.9'));
    }));

  test('a fleet with another key, on the same server, hears nothing', () =>
    ShareRig.run(async (rig) => {
      const fleets = [await rig.proxy(onlyA), await rig.proxy(stickyTable(endpoints, Buffer.alloc(32, 9)))];
      for (const proxy of fleets) await proxy.isUp();
      for (const proxy of fleets) for (const client of clients) await proxy.ask(client);
      for (const proxy of fleets) await proxy.hasTold(clients.length);
      for (const proxy of fleets) assert.equal(await proxy.figure('sluice_share_heard_total'), 0);
    }));

  /** Breaks the server; returns what mends it. */
  const faults: Record<string, (rig: ShareRig) => Promise<() => Promise<unknown>>> = {
    hangs: async ({ redis }) => {
      redis.suspend();
      return async () => redis.resume();
    },
    'is killed': async ({ redis }) => {
      await redis.kill();
      return () => redis.restart();
    },
    'is out of reach': async ({ relay }) => {
      await relay.cut();
      return () => relay.mend();
    },
    'takes bytes and sends none': async ({ relay }) => {
      relay.delayMs = Number.POSITIVE_INFINITY;
      return async () => {
        // What was swallowed is gone: the connections of that time are of no use.
        await relay.cut();
        relay.delayMs = 0;
        await relay.mend();
      };
    },
    'is full': async ({ redis }) => {
      await redis.command('config', 'set', 'maxmemory', '1');
      return () => redis.command('config', 'set', 'maxmemory', '0');
    },
    'becomes a replica': async ({ redis }) => {
      const [nobody = 0] = await freePorts(1);
      await redis.command('replicaof', '127.0.0.1', String(nobody));
      return () => redis.command('replicaof', 'no', 'one');
    },
  };
  for (const [what, breakServer] of Object.entries(faults)) {
    test(`a server that ${what} costs no request; it is said; what happened meanwhile is shared afterwards`, () =>
      ShareRig.run(async (rig) => {
        const [first, second] = [await rig.proxy(onlyA), await rig.proxy(onlyA)];
        for (const proxy of [first, second]) await proxy.isUp();
        for (const client of clients.slice(0, 12)) assert.equal(await first.ask(client), 'a');
        await second.hasHeard(12);
        const load = rig.load(first);
        const mend = await breakServer(rig);
        for (const client of clients.slice(12)) assert.equal(await first.ask(client), 'a');
        await first.isDown();
        const [problem] = JSON.parse(await first.page('/problems')) as Problem[];
        assert.equal(problem?.code, 'ShareUnavailable');
        assert.match(problem?.message ?? '', /^No state is shared through Redis at 127\.0\.0\.1:\d+: .{5,200}\.$/);
        assert.equal(await second.ask(clients[0] as string), 'a', 'what was heard before is known');
        await mend();
        await first.isUp();
        assert.deepEqual(JSON.parse(await first.page('/problems')), []);
        await second.hasHeard(withLoad);
        for (const proxy of [first, second]) await proxy.apply(all);
        for (const client of clients) assert.equal(await second.ask(client), 'a');
        // Also with who comes first now, from a server that may have lost everything.
        const third = await rig.proxy(all, { url: rig.redis.url });
        await third.hasHeard(withLoad);
        for (const client of clients) assert.equal(await third.ask(client), 'a');
        const { answered, failures } = await load.stop();
        assert.deepEqual(failures, []);
        assert.ok(answered > 0);
      }));
  }

  test('who comes while the server takes no writes hears what it holds, and says so until it takes them', () =>
    ShareRig.run(async (rig) => {
      const first = await rig.proxy(onlyA);
      for (const client of clients) assert.equal(await first.ask(client), 'a');
      await first.hasTold(clients.length);
      await rig.redis.command('config', 'set', 'min-replicas-to-write', '1');
      const second = await rig.proxy(all);
      await second.hasHeard(clients.length);
      await second.isDown();
      assert.match(await second.page('/problems'), /NOREPLICAS/);
      await rig.redis.command('config', 'set', 'min-replicas-to-write', '0');
      await second.isUp();
      for (const client of clients) assert.equal(await second.ask(client), 'a');
    }));

  test('who comes while the memory is full, and has nothing to tell, says so, too', () =>
    ShareRig.run(async (rig) => {
      await rig.redis.command('set', 'ballast', 'x'.repeat(2 << 20));
      await rig.redis.command('config', 'set', 'maxmemory', '1mb');
      const proxy = await rig.proxy(onlyA);
      await proxy.isDown();
      assert.match(proxy.logged, /"reason":"OOM /);
      await rig.redis.command('config', 'set', 'maxmemory', '0');
      await proxy.isUp();
      assert.deepEqual(await rig.redis.command('keys', 'sluice:*'), []);
    }));

  test('a server that takes 200 ms for everything is shared through all the same, and costs no request', () =>
    ShareRig.run(async (rig) => {
      rig.relay.delayMs = 100;
      const [first, second] = [await rig.proxy(onlyA), await rig.proxy(onlyA)];
      for (const proxy of [first, second]) await proxy.isUp();
      const load = rig.load(first);
      for (const client of clients) assert.equal(await first.ask(client), 'a');
      await second.hasHeard(withLoad);
      await second.apply(all);
      for (const client of clients) assert.equal(await second.ask(client), 'a');
      assert.deepEqual((await load.stop()).failures, []);
    }));

  test('a wrong password is said without the password; a right one in the file is found without a restart', () =>
    ShareRig.run(
      async (rig) => {
        const passwordFile = join(dir, 'password');
        writeFileSync(passwordFile, 'open-barley\n');
        const wrong = await rig.proxy(all, { url: rig.url.replace('//', '//:open-wheat@') });
        const filed = await rig.proxy(all, { passwordFile });
        for (const proxy of [wrong, filed]) {
          await proxy.isReady();
          await proxy.isDown();
          const said = proxy.logged + (await proxy.page('/problems'));
          assert.match(said, /WRONGPASS/);
          assert.doesNotMatch(said, /open-/);
        }
        writeFileSync(passwordFile, 'open-sesame\n');
        await filed.isUp();
      },
      ['--requirepass', 'open-sesame'],
    ));

  test('a user may have no more rights than the manual says', () =>
    ShareRig.run(async (rig) => {
      const commands = ['+xadd', '+xread', '+xrange', '+xtrim', '+pexpire', '+time', '+client|setname', '+select'];
      await rig.redis.command('acl', 'setuser', 'proxy', 'on', '>open-sesame', '~sluice:*', ...commands);
      const proxy = await rig.proxy(onlyA, { url: `${rig.url.replace('//', '//proxy:open-sesame@')}/2` });
      await proxy.isUp();
      for (const client of clients) await proxy.ask(client);
      await proxy.hasTold(clients.length);
      assert.equal(await proxy.figure('sluice_share_failures_total'), 0);
    }));

  test('a user who may read and not write is said once, and not taken for one through whom state is shared', () =>
    ShareRig.run(async (rig) => {
      const commands = ['+xread', '+xrange', '+xtrim', '+pexpire', '+time', '+client|setname'];
      await rig.redis.command('acl', 'setuser', 'proxy', 'on', '>open-sesame', '~sluice:*', ...commands);
      const proxy = await rig.proxy(onlyA, { url: rig.url.replace('//', '//proxy:open-sesame@') });
      await proxy.isDown();
      await proxy.ask(clients[0] as string);
      await proxy.hasFailed(4);
      assert.doesNotMatch(proxy.logged, /"state is shared through Redis"/);
      assert.equal(proxy.logged.match(/"no state is shared/g)?.length, 1);
      assert.match(await proxy.page('/problems'), /NOPERM/);
      await rig.redis.command('acl', 'setuser', 'proxy', '+xadd');
      await proxy.isUp();
      await proxy.hasTold(1);
    }));

  test('a server that evicts what it holds, without a word, is told again', () =>
    ShareRig.run(async (rig) => {
      const first = await rig.proxy(onlyA);
      await first.isUp();
      for (const client of clients) await first.ask(client);
      await first.hasTold(clients.length);
      await rig.redis.command('flushall');
      await first.hasTold(2 * clients.length);
      const late = await rig.proxy(all);
      await late.isUp();
      for (const client of clients) assert.equal(await late.ask(client), 'a');
    }));

  test('a server that has lost everything is told again, though it has taken something new since', () =>
    ShareRig.run(async (rig) => {
      const first = await rig.proxy(onlyA);
      await first.isUp();
      for (const client of clients.slice(0, 12)) await first.ask(client);
      await first.hasTold(12);
      await rig.redis.command('flushall');
      for (const client of clients.slice(12)) await first.ask(client);
      await first.hasTold(24 + 12);
      const late = await rig.proxy(all);
      await late.isUp();
      for (const client of clients) assert.equal(await late.ask(client), 'a');
    }));

  test('TLS: the server is one that the given authority vouches for, or nothing is shared', async () => {
    const [tlsPort = 0] = await freePorts(1);
    for (const name of ['ours', 'strange']) {
      const { cert, key } = await certificateFor(['localhost']);
      writeFileSync(join(dir, `${name}.crt`), cert);
      writeFileSync(join(dir, `${name}.key`), key);
    }
    const [cert, key] = [join(dir, 'ours.crt'), join(dir, 'ours.key')];
    await ShareRig.run(
      async (rig) => {
        const url = `rediss://localhost:${tlsPort}`;
        const trusting = await rig.proxy(all, { url, caFile: cert });
        const doubting = await rig.proxy(all, { url, caFile: join(dir, 'strange.crt') });
        await trusting.isUp();
        await doubting.isDown();
        assert.match(await doubting.page('/problems'), /certificate/);
      },
      [
        ...['--tls-port', String(tlsPort), '--tls-auth-clients', 'no'],
        ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert],
      ],
    );
  });

  test('what others write into the feed by mistake or malice is passed over', () =>
    ShareRig.run(async (rig) => {
      const proxy = await rig.proxy(onlyA);
      await proxy.isUp();
      await proxy.ask(clients[0] as string);
      await proxy.hasTold(1);
      const [key = ''] = (await rig.redis.command('keys', '*')) as string[];
      const [seconds] = (await rig.redis.command('time')) as string[];
      const soon = String((Number(seconds) + 60) * 1000);
      const id = 'A'.repeat(22);
      const add = (field: string, value: string) => rig.redis.command('xadd', key, '*', field, value);
      await add('short', `10.0.0.1:80 ${soon}`);
      for (const value of ['', soon, '10.0.0.1:80 1', '10.0.0.1:80 999999999999999']) await add(id, value);
      for (const endpoint of ['http://evil/', `${'1'.repeat(70)}:80`]) await add(id, `${endpoint} ${soon}`);
      await add(id, `10.0.0.1:80 ${soon}`);
      await proxy.hasHeard(1);
      assert.equal(await proxy.figure('sluice_share_heard_total'), 1);
      assert.equal(await proxy.ask(clients[0] as string), 'a');
    }));
});
