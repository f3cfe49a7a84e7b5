import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { NamedBackend } from '../kit/fleet.ts';
import { RedisServer, skipWithoutRedis } from '../kit/redis.ts';
import { eventually } from '../kit/wait.ts';
import { ShareRig, type SharingProxy, stickyTable } from './sharerig.ts';

const backends = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => NamedBackend.start(name)));
const endpoints = backends.map((backend) => backend.endpoint);
/** While this is in force everybody is sent to `a`; who is not known later is spread over all. */
const onlyA = stickyTable(endpoints.slice(0, 1));
const all = stickyTable(endpoints);
const clients = Array.from({ length: 24 }, (_, nth) => `127.0.11.${nth + 1}`);
/** A replica is given what there is without a wait for more of its kind. */
const atOnce = ['--repl-diskless-sync-delay', '0'];
after(() => {
  for (const backend of backends) backend.close();
});

/** With a second server, which follows the rig's and has what that has. */
function withReplica(play: (rig: ShareRig, replica: RedisServer) => Promise<void>): Promise<void> {
  return ShareRig.run(async (rig) => {
    const replica = await RedisServer.start();
    try {
      await replica.command('replicaof', '127.0.0.1', String(rig.redis.port));
      await eventually(async () => {
        const said = String(await replica.command('info', 'replication'));
        return said.includes('master_link_status:up') ? true : undefined;
      }, 'the replica to have what its primary has');
      await play(rig, replica);
    } finally {
      await replica.stop();
    }
  }, atOnce);
}

/** Until then a promoted replica would be short of the last items. */
async function hasItems(server: RedisServer, count: number): Promise<void> {
  await eventually(async () => {
    const [key] = (await server.command('keys', '*')) as string[];
    return key !== undefined && (await server.command('xlen', key)) === count ? true : undefined;
  }, `${count} items in the feed`);
}

async function keepsAll(proxies: readonly SharingProxy[], whom: readonly string[]): Promise<void> {
  for (const proxy of proxies) {
    await proxy.apply(all);
    for (const client of whom) assert.equal(await proxy.ask(client), 'a');
  }
}

describe('a Redis that fails over', { skip: skipWithoutRedis() }, () => {
  test('to its replica keeps every client where he is, and its old primary is not taken for one', () =>
    withReplica(async (rig, replica) => {
      const [first, second] = [await rig.proxy(onlyA), await rig.proxy(onlyA)];
      for (const proxy of [first, second]) await proxy.isUp();
      for (const client of clients.slice(0, 8)) assert.equal(await first.ask(client), 'a');
      await second.hasHeard(8);
      await hasItems(replica, 8);
      await rig.redis.kill();
      for (const client of clients.slice(8, 16)) assert.equal(await first.ask(client), 'a');
      await first.isDown();
      await replica.command('replicaof', 'no', 'one');
      rig.relay.target = replica.port;
      for (const proxy of [first, second]) await proxy.isUp();
      await second.hasHeard(16);

      await rig.redis.restart();
      await rig.redis.command('replicaof', '127.0.0.1', String(replica.port));
      rig.relay.target = rig.redis.port;
      await rig.relay.cut();
      await rig.relay.mend();
      for (const client of clients.slice(16)) assert.equal(await first.ask(client), 'a');
      await eventually(
        async () => ((await first.page('/problems')).includes('READONLY') ? true : undefined),
        'READONLY',
      );
      rig.relay.target = replica.port;
      for (const proxy of [first, second]) await proxy.isUp();
      await second.hasHeard(24);
      const third = await rig.proxy(all, { url: replica.url });
      await third.hasHeard(24);
      await keepsAll([first, second, third], clients);
    }));

  test('behind the back of its primary: what was told to either is known to all', () =>
    withReplica(async (rig, replica) => {
      const [first, second] = [await rig.proxy(onlyA), await rig.proxy(onlyA)];
      for (const proxy of [first, second]) await proxy.isUp();
      for (const client of clients.slice(0, 8)) assert.equal(await first.ask(client), 'a');
      await second.hasHeard(8);
      await hasItems(replica, 8);
      await replica.command('replicaof', 'no', 'one');
      const third = await rig.proxy(onlyA, { url: replica.url });
      await third.hasHeard(8);
      for (const client of clients.slice(8, 16)) assert.equal(await first.ask(client), 'a');
      await first.hasTold(16);
      for (const client of clients.slice(16)) assert.equal(await third.ask(client), 'a');
      await third.hasTold(8);
      rig.relay.target = replica.port;
      await rig.relay.cut();
      await rig.relay.mend();
      // What stands there is heard anew by who has lost his place, and what it lacks is told anew.
      await first.hasHeard(8);
      await second.hasHeard(16 + 8 + 8 + 16);
      await third.hasHeard(8 + 16);
      await keepsAll([first, second, third], clients);
    }));

  test('by its own command: both servers live on', () =>
    withReplica(async (rig, replica) => {
      const [first, second] = [await rig.proxy(onlyA), await rig.proxy(onlyA)];
      for (const proxy of [first, second]) await proxy.isUp();
      for (const client of clients.slice(0, 12)) assert.equal(await first.ask(client), 'a');
      await second.hasHeard(12);
      await rig.redis.command('failover', 'to', '127.0.0.1', String(replica.port));
      await eventually(
        async () => (String(await replica.command('role')).startsWith('master') ? true : undefined),
        'failover',
      );
      for (const client of clients.slice(12)) assert.equal(await first.ask(client), 'a');
      await first.isDown();
      rig.relay.target = replica.port;
      for (const proxy of [first, second]) await proxy.isUp();
      await second.hasHeard(24);
      await keepsAll([first, second], clients);
    }));

  test('to a server that wrote in the same millisecond: its item has the number of the one that is lost', () =>
    withReplica(async (rig, replica) => {
      const [first, second] = [await rig.proxy(onlyA), await rig.proxy(onlyA)];
      for (const proxy of [first, second]) await proxy.isUp();
      await replica.command('replicaof', 'no', 'one');
      for (const client of clients) assert.equal(await first.ask(client), 'a');
      await second.hasHeard(clients.length);
      const [key = ''] = (await rig.redis.command('keys', '*')) as string[];
      const [[number = '']] = (await rig.redis.command('xrevrange', key, '+', '-', 'count', '1')) as [[string]];
      await replica.command('xadd', key, number, 'B'.repeat(22), '10.0.0.1:80 1');
      rig.relay.target = replica.port;
      await rig.relay.cut();
      await rig.relay.mend();
      await first.hasTold(2 * clients.length);
      const third = await rig.proxy(all, { url: replica.url });
      await third.hasHeard(clients.length);
      await keepsAll([first, second, third], clients);
    }));

  test('whose clock looks another one, as it does by each slow answer: what a proxy has told stays its own to tell again', () =>
    ShareRig.run(async (rig) => {
      const first = await rig.proxy(onlyA);
      await first.isUp();
      for (const client of clients) assert.equal(await first.ask(client), 'a');
      await first.hasTold(clients.length);
      const [key = ''] = (await rig.redis.command('keys', '*')) as string[];
      rig.relay.delayMs = 20;
      await hasItems(rig.redis, clients.length);
      const [[number = '']] = (await rig.redis.command('xrevrange', key, '+', '-', 'count', '1')) as [[string]];
      await rig.redis.command('xdel', key, number);
      await first.hasTold(2 * clients.length);
    }));
});
