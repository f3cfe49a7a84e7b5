import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Load } from '../kit/load.ts';
import { Relay } from '../kit/relay.ts';
import { eventually, waitUntil } from '../kit/wait.ts';
import { ClusterRig, ingress, page, service, skip, slice } from './clusterrig.ts';

describe('the API server goes away and comes back', { skip, timeout: 480_000 }, () => {
  let rig: ClusterRig;
  let relay: Relay;
  let loads: Load[] = [];
  const proxy = () => rig.proxies[0] as ClusterRig['proxies'][0];

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one', 'two'], controllers: 0, proxies: 0, workers: 1 });
    relay = new Relay(Number(new URL(rig.api.url).port));
    await relay.mend();
    rig.controllers.push(await rig.startController(relay.url));
    await rig.keepAuthority();
    await rig.api.apply(
      ...[service('steady'), slice('steady', rig.portOf(0)), ingress('steady', 'steady.test', 'steady')],
      ...[service('web'), slice('web', rig.portOf(0)), ingress('web', 'web.test', 'web')],
    );
    rig.proxies.push(await rig.startProxy('proxy-1', 2, 'shared'));
    await rig.allAnswer('steady.test', 200, 'one');
    await rig.allAnswer('web.test', 200, 'one');
    const options = { port: proxy().http, connections: 2, requestsPerSecond: 100 };
    loads = ['steady.test', 'web.test'].map((host) => Load.start({ ...options, host }));
  });

  after(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await relay?.cut();
    await rig?.stop();
  });

  /** Values of one of the controller's figures, by kind of object. */
  async function figures(name: string): Promise<Map<string, number>> {
    const text = await page(rig.controllers[0]?.admin ?? 0, '/metrics');
    const lines = text.matchAll(new RegExp(`^sluice_controller_${name}(?:\\{kind="(\\w+)"\\})? (\\S+)$`, 'gm'));
    return new Map([...lines].map(([, kind = '', value]) => [kind, Number(value)]));
  }

  async function everyKind(name: string, value: number): Promise<void> {
    await eventually(async () => {
      const found = [...(await figures(name)).values()];
      return (found.length > 0 && found.every((each) => each === value)) || undefined;
    }, `${name} ${value} of every kind`);
  }

  test('killed, away for many attempts to reach it, back: nothing changes', async () => {
    const before = JSON.parse(await page(proxy().admin, '/tables')) as { hash: string };
    const generation = await figures('table_generation');
    await rig.api.stopApi();
    // In its place: something that takes connections, counts them, and says nothing.
    let attempts = 0;
    const impostor = createServer((socket) => {
      attempts++;
      socket.destroy();
    });
    impostor.listen(Number(new URL(rig.api.url).port), '127.0.0.1');
    await once(impostor, 'listening');
    await everyKind('watch_failing', 1);
    await waitUntil(() => attempts >= 15, 'fifteen attempts to reach the API server');
    impostor.close();
    await once(impostor, 'close');
    await rig.api.startApi();
    await everyKind('watch_failing', 0);
    assert.deepEqual(await figures('table_generation'), generation);
    const after = JSON.parse(await page(proxy().admin, '/tables')) as { hash: string };
    assert.equal(after.hash, before.hash);
  });

  test('changes made afterwards arrive', async () => {
    await rig.api.apply(ingress('after', 'after.test', 'steady'));
    await rig.allAnswer('after.test', 200, 'one');
    await rig.api.delete(ingress('after', 'after.test', 'steady'));
    await rig.allAnswer('after.test', 404);
  });

  test('history is gone when the watch comes back (410): the difference arrives, and nothing else', async () => {
    await rig.api.apply(ingress('leaves', 'leaves.test', 'steady'), ingress('stays', 'stays.test', 'steady'));
    await rig.allAnswer('leaves.test', 200);
    await rig.allAnswer('stays.test', 200);
    const relists = await figures('watch_relists_total');
    await relay.cut();
    await everyKind('watch_failing', 1);
    await rig.api.apply(ingress('comes', 'comes.test', 'steady'), slice('web', rig.portOf(1), 'web-2'));
    await rig.api.delete(ingress('leaves', 'leaves.test', 'steady'));
    await rig.api.compact();
    // Without the recent events that the server keeps in memory.
    await rig.api.stopApi();
    await rig.api.startApi();
    await relay.mend();
    await rig.allAnswer('comes.test', 200, 'one');
    await rig.allAnswer('leaves.test', 404);
    await rig.allAnswer('stays.test', 200, 'one');
    await rig.allAnswer('web.test', 200, 'two');
    const again = await figures('watch_relists_total');
    for (const kind of ['Ingress', 'EndpointSlice']) {
      assert.ok((again.get(kind) ?? 0) > (relists.get(kind) ?? 0), `${kind} was not listed anew`);
    }
  });

  test('no request has failed meanwhile', async () => {
    for (const { failures, answered } of await Promise.all(loads.map((load) => load.stop()))) {
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  });
});
