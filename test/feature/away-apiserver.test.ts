import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Load } from '../kit/load.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, get, ingress, page, type RunningController, service, skip, slice } from './clusterrig.ts';

/**
 * Nothing that traffic needs has a term: not the tables, nor the streams, nor the keys. So what holds while the API server is
 * away for the length of this test holds for any length.
 */
describe('the API server is away while everything else is started anew', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  let load: Load | null = null;
  const controller = () => rig.controllers[0] as RunningController;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one', 'two'], controllers: 1, proxies: 2, workers: 1 });
    await rig.api.apply(service('web'), slice('web', rig.portOf(0)), ingress('web', 'web.test', 'web'));
    await rig.allAnswer('web.test', 200, 'one');
    const port = rig.proxies[1]?.http ?? 0;
    load = Load.start({ port, host: 'web.test', connections: 2, requestsPerSecond: 100 });
    await eventually(async () => (await readiness(controller().admin)) === 'ok' || undefined, 'the controller');
    await rig.api.stopApi();
  });

  after(async () => {
    await load?.stop();
    await rig?.stop();
  });

  async function readiness(port: number): Promise<string> {
    return (await page(port, '/readyz').catch(() => '')).trim();
  }

  test('a proxy whose token nobody can review now starts from its own copy', async () => {
    const [first] = rig.proxies;
    first?.process.signal('SIGKILL');
    await first?.process.ended();
    const again = await rig.startProxy('proxy-1', 1);
    rig.proxies[0] = again;
    assert.deepEqual(await get(again.http, 'web.test'), { status: 200, text: 'one' });
    assert.equal(await readiness(again.admin), 'ok');
  });

  test('a controller that starts anew says nothing, and takes nothing from anybody', async () => {
    const { publish, process } = controller();
    await process.stop();
    // On the port that proxies know. The authority is kept in the API server, so it waits for that.
    const again = await rig.startControllerProcess(rig.api.url, [], { port: publish });
    await again.printed(/ECONNREFUSED|cannot be reached|does not answer/);
    for (const { http, admin } of rig.proxies) {
      assert.deepEqual(await get(http, 'web.test'), { status: 200, text: 'one' });
      assert.equal(await readiness(admin), 'ok');
    }
  });

  test('when the server is back, changes arrive at all of them, and no request has failed', async () => {
    await rig.api.startApi();
    await rig.api.apply(slice('web', rig.portOf(1)));
    await rig.allAnswer('web.test', 200, 'two');
    const { failures, answered } = (await load?.stop()) ?? { failures: ['no load'], answered: 0 };
    assert.deepEqual(failures, []);
    assert.ok(answered > 0);
  });
});
