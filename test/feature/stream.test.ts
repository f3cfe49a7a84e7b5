import assert from 'node:assert/strict';
import { connect as tcpConnect } from 'node:net';
import { describe, test } from 'node:test';
import { tableContract } from '#table/rows.ts';
import { serviceAccounts } from '../../controller/publish/auth.ts';
import { makeAuthority } from '../../controller/publish/certificates.ts';
import { feedOf } from '../../controller/publish/feed.ts';
import { Publisher } from '../../controller/publish/publisher.ts';
import { startTableServer } from '../../controller/publish/server.ts';
import { waitUntil } from '../kit/wait.ts';
import {
  applied,
  get,
  log,
  onceApplied,
  openRaw,
  readUntil,
  refused,
  secret,
  startController,
  startRelay,
  stopAll,
  TestProxy,
  token,
} from './streamrig.ts';

describe('table stream', () => {
  test('a new proxy gets the whole table, then only what changes', async () => {
    const controller = await startController();
    controller.publisher.stage([secret('a', '1'), secret('b', '2')], []);
    controller.publisher.commit({}, {});
    const isApplied = onceApplied(controller.publisher);
    const proxy = new TestProxy([controller.url]);
    await isApplied;
    assert.equal(proxy.batches[0]?.isSnapshot, true);
    assert.deepEqual([...proxy.table.secret.keys()], ['a', 'b']);

    const isAppliedAgain = onceApplied(controller.publisher);
    controller.publisher.stage([secret('a', '1'), secret('c', '3')], [{ kind: 'secret', id: 'b' }]);
    const commit = controller.publisher.commit({}, {});
    assert.equal(controller.publisher.isApplied(), false);
    await isAppliedAgain;
    const [, second] = proxy.batches;
    assert.equal(second?.isSnapshot, false);
    assert.deepEqual(
      second?.upserts.map(({ row }) => row.id),
      ['c'],
    );
    assert.deepEqual(second?.deletes, [{ kind: 'secret', id: 'b' }]);
    assert.equal(proxy.hash, commit.hash);
    const { hash: appliedHash, generation: appliedGeneration } = commit;
    assert.deepEqual(controller.publisher.readers(), [
      {
        name: 'proxy-1',
        zone: 'zone-a',
        node: null,
        admin: null,
        connected: 'here',
        appliedHash,
        appliedGeneration,
        refused: [],
      },
    ]);
    await stopAll(proxy, controller);
  });

  test('what is staged and not committed is sent to nobody', async () => {
    const controller = await startController();
    controller.publisher.stage([secret('a', '1'), secret('b', '2')], []);
    const { hash } = controller.publisher.commit({}, {});
    controller.publisher.stage([secret('a', 'later')], [{ kind: 'secret', id: 'b' }]);
    const proxy = new TestProxy([controller.url]);
    await proxy.until(() => proxy.hash === hash);
    assert.deepEqual(
      [...proxy.table.secret.values()].map(({ id, value }) => [id, value]),
      [
        ['a', '1'],
        ['b', '2'],
      ],
    );
    controller.publisher.commit({}, {});
    await proxy.until(() => proxy.batches.length === 2);
    assert.deepEqual([...proxy.table.secret.values()], [{ id: 'a', value: 'later' }]);
    await stopAll(proxy, controller);
  });

  test('without a valid token there is no table', async () => {
    const controller = await startController();
    controller.publisher.stage([secret('a', '1')], []);
    controller.publisher.commit({}, {});
    for (const authorization of [undefined, 'Bearer', 'Bearer wrong', `Basic ${token}`]) {
      const response = await get(`${controller.url}/v1/tables?name=x`, authorization);
      assert.equal(response.status, 401, `${authorization}`);
      assert.doesNotMatch(response.text, /secret|"a"/);
    }
    assert.equal((await get(`${controller.url}/other`, undefined)).status, 404);
    assert.deepEqual(controller.publisher.readers(), []);
    await stopAll(controller);
  });

  test('a token that is bound to a node speaks for that node alone', async () => {
    const controller = await startController(async () => ({ ok: true, who: 'a pod', node: 'n1' }));
    controller.publisher.stage([secret('a', '1')], []);
    const { hash, generation } = controller.publisher.commit({}, {});
    const post = (node: string | null) =>
      JSON.stringify({ stream: '', name: 'p', zone: null, node, ack: { type: 'applied', hash, generation } });
    const bearer = `Bearer ${token}`;
    assert.equal((await get(`${controller.url}/v1/tables?name=p&node=n2`, bearer)).status, 403);
    assert.equal((await get(`${controller.url}/v1/acks`, bearer, post('n2'))).status, 403);
    assert.deepEqual(controller.publisher.readers(), []);
    assert.equal((await get(`${controller.url}/v1/acks`, bearer, post('n1'))).status, 200);
    const [state] = controller.publisher.readers();
    assert.deepEqual([state?.node, state?.connected, state?.appliedGeneration], ['n1', 'elsewhere', generation]);
    await stopAll(controller);
  });

  test('a reviewed token counts only for the service accounts that were named', async () => {
    let reviews = 0;
    const authorize = serviceAccounts(
      async (asked) => {
        reviews++;
        return asked.startsWith('good')
          ? { ok: true, who: `system:serviceaccount:edge:${asked.slice(5)}`, node: null }
          : { ok: false, reason: 'not authenticated' };
      },
      ['edge/sluice-proxy'],
    );
    assert.deepEqual(await authorize('good-sluice-proxy'), {
      ok: true,
      who: 'system:serviceaccount:edge:sluice-proxy',
      node: null,
    });
    assert.equal((await authorize('good-intruder')).ok, false);
    assert.equal((await authorize('bad')).ok, false);
    await authorize('good-sluice-proxy');
    assert.equal(reviews, 3, 'a verdict is kept for a while');
  });

  test('while the API server is away, a token that it knew goes on counting, and a new one does not', async () => {
    let nowMs = 0;
    let isAway = false;
    const review = async () => {
      if (isAway) throw new Error('connection refused');
      return { ok: true, who: 'system:serviceaccount:edge:sluice-proxy', node: null } as const;
    };
    const authorize = serviceAccounts(review, ['edge/sluice-proxy'], () => nowMs);
    assert.equal((await authorize('known')).ok, true);
    isAway = true;
    nowMs = 3_599_000;
    assert.equal((await authorize('known')).ok, true);
    assert.deepEqual(await authorize('new'), {
      ok: false,
      reason: 'the token cannot be reviewed: connection refused',
    });
    nowMs = 3_601_000;
    assert.equal((await authorize('known')).ok, false);
  });

  test('a proxy that comes back with the same content, to any replica, gets no snapshot', async () => {
    const [first, second] = [await startController(), await startController()];
    first.publisher.stage([secret('a', '1'), secret('b', '2')], []);
    second.publisher.stage([secret('b', '2')], []);
    second.publisher.stage([secret('a', '1')], []);
    first.publisher.commit({}, {});
    second.publisher.commit({}, {});
    const proxy = new TestProxy([first.url]);
    await proxy.until(() => proxy.batches.length === 1);
    await stopAll(proxy, first);

    const isApplied = onceApplied(second.publisher);
    const back = new TestProxy([second.url]);
    back.hash = proxy.hash;
    await isApplied;
    assert.equal(back.batches.length, 1);
    assert.equal(back.batches[0]?.isSnapshot, false);
    assert.equal(back.batches[0]?.upserts.length, 0);
    await stopAll(back, second);
  });

  test('when its controller goes, a proxy finds the other one', async () => {
    const [first, second] = [await startController(), await startController()];
    for (const { publisher } of [first, second]) {
      publisher.stage([secret('a', '1')], []);
      publisher.commit({}, {});
    }
    const proxy = new TestProxy([first.url, second.url]);
    await proxy.until(() => proxy.batches.length === 1);
    const served = first.publisher.readers()[0]?.connected === 'here' ? first : second;
    const other = served === first ? second : first;
    await served.server.stop();
    await proxy.until(() => proxy.batches.length === 2);
    assert.equal(proxy.batches[1]?.isSnapshot, false);
    assert.equal(other.publisher.readers()[0]?.connected, 'here');
    await stopAll(proxy, other);
  });

  test('a controller hears what a proxy of another replica has applied', async () => {
    const [first, second] = [await startController(), await startController()];
    for (const { publisher } of [first, second]) {
      publisher.stage([secret('a', '1')], []);
      publisher.commit({}, {});
    }
    const both = [onceApplied(first.publisher), onceApplied(second.publisher)];
    const proxy = new TestProxy([first.url, second.url]);
    await Promise.all(both);
    const places = [first, second].flatMap(({ publisher }) => publisher.readers().map(({ connected }) => connected));
    assert.deepEqual(places.sort(), ['elsewhere', 'here']);
    await stopAll(proxy, first, second);
  });

  test('a proxy leaves a controller that is behind for one that is not', async () => {
    const [behind, ahead] = [await startController(), await startController()];
    behind.publisher.stage([secret('a', 'old')], []);
    behind.publisher.commit({ Ingress: 5 }, { Ingress: 5 });
    ahead.publisher.stage([secret('a', 'new')], []);
    ahead.publisher.commit({ Ingress: 9 }, { Ingress: 9 });
    const proxy = new TestProxy([behind.url, ahead.url], {
      answer: (batch) =>
        (batch.commit.seen['Ingress'] ?? 0) < 9 ? refused(batch, 'TableFromThePast') : applied(batch),
    });
    await proxy.until(() => proxy.table.secret.get('a')?.value === 'new');
    await stopAll(proxy, behind, ahead);
  });

  test('a refused table is known with its reasons; the next one comes whole', async () => {
    const controller = await startController();
    controller.publisher.stage([secret('a', '1')], []);
    controller.publisher.commit({}, {});
    const codes: (string | undefined)[] = [];
    const proxy = new TestProxy([controller.url], {
      answer: (batch) => {
        codes.push(controller.publisher.readers()[0]?.refused[0]?.code);
        return batch.upserts.some(({ row }) => row.id === 'bad') ? refused(batch, 'RowBroken') : applied(batch);
      },
    });
    await proxy.until(() => proxy.batches.length === 1);
    controller.publisher.stage([secret('bad', 'x')], []);
    controller.publisher.commit({}, {});
    await proxy.until(() => proxy.batches.length === 2);
    assert.deepEqual([...proxy.table.secret.keys()], ['a'], 'the last good table stays in force');

    const isApplied = onceApplied(controller.publisher);
    controller.publisher.stage([secret('b', '2')], [{ kind: 'secret', id: 'bad' }]);
    const commit = controller.publisher.commit({}, {});
    await isApplied;
    assert.deepEqual(codes, [undefined, undefined, 'RowBroken']);
    assert.deepEqual(controller.publisher.readers()[0]?.refused, []);
    assert.equal(proxy.batches[2]?.isSnapshot, true);
    assert.deepEqual([...proxy.table.secret.keys()].sort(), ['a', 'b']);
    assert.equal(proxy.hash, commit.hash);
    await stopAll(proxy, controller);
  });

  test('while a proxy applies, changes gather and go out as one batch', async () => {
    const controller = await startController();
    controller.publisher.stage([secret('a', '0')], []);
    controller.publisher.commit({}, {});
    const [isApplying, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const proxy = new TestProxy([controller.url], {
      answer: async (batch) => {
        if (batch.commit.generation === 2) {
          isApplying.resolve();
          await mayEnd.promise;
        }
        return applied(batch);
      },
    });
    await proxy.until(() => proxy.batches.length === 1);
    controller.publisher.stage([secret('a', '1')], []);
    controller.publisher.commit({}, {});
    await isApplying.promise;
    for (let i = 2; i <= 20; i++) {
      controller.publisher.stage([secret('a', `${i}`)], []);
      controller.publisher.commit({}, {});
    }
    mayEnd.resolve();
    await proxy.until(() => proxy.table.secret.get('a')?.value === '20');
    assert.equal(proxy.batches.length, 3);
    assert.equal(proxy.batches[2]?.commit.generation, 21);
    await stopAll(proxy, controller);
  });

  test('a reader that does not read holds up nobody and gets a whole table later', async () => {
    const controller = await startController();
    const rows = Array.from({ length: 4_000 }, (_, i) => secret(`row-${i}`, 'x'.repeat(4_096)));
    controller.publisher.stage(rows, []);
    controller.publisher.commit({}, {});
    const stalled = await openRaw(controller.server.port, 'stalled');
    stalled.pause();
    const proxy = new TestProxy([controller.url]);
    await proxy.until(() => proxy.batches.length === 1);
    for (let round = 0; round < 5; round++) {
      controller.publisher.stage([secret('row-0', `${round}`)], []);
      const { hash } = controller.publisher.commit({}, {});
      await proxy.until(() => proxy.hash === hash);
    }
    const states = controller.publisher.readers().map(({ name, appliedHash }) => [name, appliedHash !== null]);
    assert.deepEqual(states.sort(), [
      ['proxy-1', true],
      ['stalled', false],
    ]);
    assert.equal(controller.publisher.isApplied(), false);
    const isApplied = onceApplied(controller.publisher);
    stalled.destroy();
    await isApplied;
    await stopAll(proxy, controller);
  });

  test('anybody may look on with curl: nobody waits for their answers', async () => {
    const controller = await startController();
    controller.publisher.stage([secret('a', '1')], []);
    controller.publisher.commit({}, {});
    const observer = await openRaw(controller.server.port, '');
    await readUntil(observer, '"generation":1');
    controller.publisher.stage([secret('a', '2')], []);
    controller.publisher.commit({}, {});
    await readUntil(observer, '"generation":2');
    assert.deepEqual(controller.publisher.readers(), []);
    observer.destroy();
    await stopAll(controller);
  });

  test('a proxy does not talk to a server that its authority did not sign', async () => {
    const impostor = await makeAuthority(Date.now());
    const server = await startTableServer({
      feeds: [
        feedOf({
          contract: tableContract,
          publisher: new Publisher(tableContract),
          authorize: async () => assert.fail('the token was given to an impostor'),
          reader: 'proxy',
          isCurrent: () => true,
          log,
        }),
      ],
      authority: impostor,
      address: '127.0.0.1',
      port: 0,
      extraNames: [],
      log,
    });
    const real = await startController();
    real.publisher.stage([secret('a', '1')], []);
    real.publisher.commit({}, {});
    const proxy = new TestProxy([`https://127.0.0.1:${server.port}`, real.url]);
    await proxy.until(() => proxy.batches.length === 1);
    await stopAll(proxy, real, { server });
  });

  test('why a controller is not followed is said in words that name what to correct', async () => {
    const real = await startController();
    const cases: [files: { caFile?: string; tokenFile?: string }, reason: RegExp][] = [
      [{ tokenFile: 'wrong' }, /answered 401: it does not know the token of \S+wrong$/],
      [{ tokenFile: 'empty' }, /empty does not hold one token$/],
      [{ tokenFile: 'ca.crt' }, /ca\.crt does not hold one token$/],
      // TLS takes no authority at all for all public ones.
      [{ caFile: 'empty' }, /empty holds no certificate in PEM form$/],
      [{ caFile: 'none' }, /ENOENT.*none/],
      [{ caFile: 'other.crt' }, /no certificate of the authority that we were given/],
    ];
    for (const [files, reason] of cases) {
      const proxy = new TestProxy([real.url], files);
      await waitUntil(() => reason.test(proxy.client.state().lastError ?? ''), String(reason));
      await proxy.client.stop();
    }
    assert.deepEqual(real.publisher.readers(), []);
    await stopAll(real);
  });

  test('a connection that falls silent is given up', { timeout: 60_000 }, async () => {
    const real = await startController();
    real.publisher.stage([secret('a', '1')], []);
    real.publisher.commit({}, {});
    const relay = await startRelay(real.server.port);
    const proxy = new TestProxy([`https://127.0.0.1:${relay.port}`]);
    await proxy.until(() => proxy.batches.length === 1);
    relay.freeze();
    await proxy.until(() => proxy.batches.length === 2);
    assert.equal(proxy.batches[1]?.isSnapshot, false);
    assert.equal(proxy.client.state().connects, 2);
    await stopAll(proxy, real);
    relay.close();
  });

  test('garbage on the port and bodies that are no acknowledgement hurt nobody', async () => {
    const controller = await startController();
    controller.publisher.stage([secret('a', '1')], []);
    controller.publisher.commit({}, {});
    const garbage = tcpConnect(controller.server.port, '127.0.0.1');
    garbage.on('error', () => {});
    garbage.write(Buffer.from([0, 255, 22, 3, 1, 7, 7, 7]));
    await new Promise<void>((resolve) => garbage.on('close', () => resolve()));
    for (const body of ['', '{', '[]', '{"stream":1}', '{"stream":"x","name":"y","ack":{"type":"hm"}}']) {
      assert.equal((await get(`${controller.url}/v1/acks`, `Bearer ${token}`, body)).status, 400, body);
    }
    const proxy = new TestProxy([controller.url]);
    await proxy.until(() => proxy.batches.length === 1);
    await stopAll(proxy, controller);
  });
});
