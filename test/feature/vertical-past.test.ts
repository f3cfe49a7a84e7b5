import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { certificateFor } from '../kit/certificate.ts';
import { fingerprintOf } from '../kit/handshake.ts';
import { Load } from '../kit/load.ts';
import { Relay } from '../kit/relay.ts';
import { eventually } from '../kit/wait.ts';
import {
  ClusterRig,
  get,
  ingress,
  page,
  type RunningController,
  type RunningProxy,
  service,
  skip,
  slice,
  tlsSecret,
} from './clusterrig.ts';

const Table = z.object({ hash: z.string() });

/**
 * Two controllers, of which `behind` can be cut off from the API server. Proxies know both, and each way from the
 * proxies to a controller can be cut, too.
 */
describe('proxies never go back in time', { skip, timeout: 480_000 }, () => {
  let rig: ClusterRig;
  let apiOfBehind: Relay;
  let toAhead: Relay;
  let toBehind: Relay;
  let loads: Load[] = [];
  let wantedPrint = '';

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one', 'two'], controllers: 1, proxies: 0, workers: 1 });
    apiOfBehind = new Relay(Number(new URL(rig.api.url).port));
    await apiOfBehind.mend();
    rig.controllers.push(await rig.startController(apiOfBehind.url));
    const ways: Relay[] = [];
    for (const controller of rig.controllers) {
      const way = new Relay(controller.publish);
      await way.mend();
      controller.publish = Number(new URL(way.url).port);
      ways.push(way);
    }
    [toAhead, toBehind] = ways as [Relay, Relay];
    const pair = await certificateFor(['secure.test']);
    wantedPrint = new X509Certificate(pair.cert).fingerprint256;
    await rig.api.apply(
      ...[service('web'), slice('web', rig.portOf(0)), ingress('old', 'old.test', 'web')],
      tlsSecret('secure', pair),
      ingress('web', 'secure.test', 'web', { 'sluice.dev/ssl-redirect': 'false' }, [
        { hosts: ['secure.test'], secretName: 'secure' },
      ]),
    );
    await toBehind.cut();
    for (const name of ['proxy-1', 'proxy-2']) rig.proxies.push(await rig.startProxy(name, 1, 'shared'));
    await rig.allAnswer('old.test', 200, 'one');
    const host = 'secure.test';
    loads = rig.proxies.flatMap(({ http, https }) => [
      Load.start({ port: http, host, connections: 2, requestsPerSecond: 100 }),
      Load.start({ port: https, host, connections: 1, requestsPerSecond: 30, isTls: true }),
    ]);
  });

  after(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    for (const relay of [apiOfBehind, toAhead, toBehind]) await relay?.cut();
    await rig?.stop();
  });

  async function noneFailed(): Promise<void> {
    for (const { failures, answered } of await Promise.all(loads.splice(0).map((load) => load.stop()))) {
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  }

  test('a controller that is cut off from the API server is refused, and the tables in force stay', async () => {
    const behind = rig.controllers[1] as RunningController;
    await eventually(async () => /^ok/.test(await page(behind.admin, '/readyz')) || undefined, 'a table to be told');
    await apiOfBehind.cut();
    await rig.api.apply(slice('web', rig.portOf(1)), ingress('new', 'new.test', 'web'));
    await rig.api.delete(ingress('old', 'old.test', 'web'));
    await rig.allAnswer('old.test', 404);
    // Of endpoints the controller hears by another watch than of Ingresses.
    await rig.allAnswer('new.test', 200, 'two');
    await toAhead.cut();
    await toBehind.mend();
    for (const proxy of rig.proxies) {
      await proxy.process.printed(/TableFromThePast/);
      assert.match(await page(proxy.admin, '/problems'), /TableFromThePast/);
      await hasTheNewTables(proxy);
    }
    await noneFailed();
  });

  test('nor is it believed by a proxy that starts anew, and has but its own copy', async () => {
    await savedHash('proxy-1', await hashOf(rig.proxies[0] as RunningProxy));
    rig.proxies[0]?.process.signal('SIGKILL');
    await rig.proxies[0]?.process.ended();
    const again = await rig.startProxy('proxy-1', 1, 'shared');
    rig.proxies[0] = again;
    await hasTheNewTables(again);
    await again.process.printed(/TableFromThePast/);
    await hasTheNewTables(again);
  });

  test('once it has caught up, it is followed', async () => {
    await apiOfBehind.mend();
    await rig.api.apply(slice('web', rig.portOf(0)));
    await rig.allAnswer('new.test', 200, 'one');
    await eventually(async () => {
      const pages = await Promise.all(rig.proxies.map(({ admin }) => page(admin, '/problems')));
      return pages.every((text) => !text.includes('TableFromThePast')) || undefined;
    }, 'the refusal to be forgotten');
  });

  test('a controller that is cut off for longer is left for the one that is ahead', async () => {
    await rig.allAnswer('left.test', 404);
    await toAhead.mend();
    await apiOfBehind.cut();
    await rig.api.apply(ingress('left', 'left.test', 'web'));
    // Proxies look every ten seconds.
    for (const { http } of rig.proxies) {
      await eventually(async () => (await get(http, 'left.test')).status === 200 || undefined, 'the change', 90_000);
    }
    await apiOfBehind.mend();
  });

  test('without any controller, proxies that restart serve what they had, certificates included', async () => {
    const hash = await hashOf(rig.proxies[1] as RunningProxy);
    for (const { process } of rig.controllers) await process.stop();
    await rig.api.stopApi();
    await savedHash('proxy-1', hash);
    // One is killed, one goes in order.
    for (const [i, signal] of (['SIGKILL', 'SIGTERM'] as const).entries()) {
      rig.proxies[i]?.process.signal(signal);
      await rig.proxies[i]?.process.ended();
      rig.proxies[i] = await rig.startProxy(`proxy-${i + 1}`, 1, 'shared');
    }
    for (const proxy of rig.proxies) {
      assert.equal(await hashOf(proxy), hash);
      assert.deepEqual(await get(proxy.http, 'new.test'), { status: 200, text: 'one' });
      assert.equal(await fingerprintOf(proxy.https, 'secure.test'), wantedPrint);
    }
  });

  /** Waits until the proxy's copy on disk is of this table. */
  async function savedHash(name: string, hash: string): Promise<void> {
    await eventually(async () => {
      const text = await readFile(join(rig.file(name), 'tables.json'), 'utf8').catch(() => '');
      return text.includes(hash) || undefined;
    }, 'the tables to be saved');
  }
});

async function hashOf({ admin }: RunningProxy): Promise<string> {
  return Table.parse(JSON.parse(await page(admin, '/tables'))).hash;
}

async function hasTheNewTables({ http }: RunningProxy): Promise<void> {
  assert.deepEqual(await get(http, 'new.test'), { status: 200, text: 'two' });
  assert.equal((await get(http, 'old.test')).status, 404);
}
