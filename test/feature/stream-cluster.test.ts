import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, ingress, page, service, skip, slice } from './clusterrig.ts';

describe('controllers and proxies on a real API server', { skip }, () => {
  let rig: ClusterRig;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one', 'two'], controllers: 2, proxies: 0, workers: 1 });
    await rig.api.apply(service('web'), slice('web', rig.portOf(0)), ingress('web', 'web.test', 'web'));
    rig.proxies.push(...(await Promise.all([rig.startProxy('proxy-1'), rig.startProxy('proxy-2')])));
  });

  after(() => rig?.stop());

  test('traffic flows, and controllers that never spoke to each other have the same table', async () => {
    await rig.allAnswer('web.test', 200, 'one');
    const hashes = await Promise.all(
      rig.proxies.map(async ({ admin }) => JSON.parse(await page(admin, '/tables')).hash),
    );
    assert.equal(new Set(hashes).size, 1);
    const States = z.array(z.object({ name: z.string(), appliedHash: z.string().nullable() }));
    for (const { admin } of rig.controllers) {
      await eventually(async () => {
        const states = States.parse(JSON.parse(await page(admin, '/proxies')));
        return (states.length === 2 && states.every(({ appliedHash }) => appliedHash === hashes[0])) || undefined;
      }, 'each controller to know of both proxies');
    }
  });

  test('the status says where, once all proxies serve', async () => {
    await eventually(async () => {
      const { body } = await rig.api.call('GET', '/apis/networking.k8s.io/v1/namespaces/default/ingresses/web');
      return /192\.0\.2\.80/.test(JSON.stringify(body['status'])) || undefined;
    }, 'the status of the Ingress');
  });

  test('an object with a problem is told of on /problems, in metrics and as an Event, and hurts nobody', async () => {
    await rig.api.apply(ingress('lost', 'lost.test', 'nowhere'));
    await rig.allAnswer('lost.test', 503);
    await rig.allAnswer('web.test', 200, 'one');
    for (const { admin } of rig.controllers) {
      await eventually(async () => /ServiceNotFound/.test(await page(admin, '/problems')) || undefined, 'the problem');
      assert.match(
        await page(admin, '/metrics'),
        /^sluice_controller_problems\{severity="error",code="ServiceNotFound"\} 1$/m,
      );
    }
    await eventually(async () => {
      const { body } = await rig.api.call('GET', '/apis/events.k8s.io/v1/namespaces/default/events');
      return /ServiceNotFound/.test(JSON.stringify(body)) || undefined;
    }, 'the Event');
    await rig.api.delete(ingress('lost', 'lost.test', 'nowhere'));
    await rig.allAnswer('lost.test', 404);
  });

  test('a token of another service account opens nothing', async () => {
    await rig.makeStranger('intruder');
    const process = rig.startProxyProcess('intruder', 'intruder');
    await process.printed(/the controller answered 401/);
    await process.stop();
  });

  test('one controller dies: its proxies follow the other', async () => {
    const [first] = rig.controllers;
    first?.process.signal('SIGKILL');
    await first?.process.ended();
    await rig.api.apply(service('late'), slice('late', rig.portOf(1)), ingress('late', 'late.test', 'late'));
    await rig.allAnswer('late.test', 200, 'two');
  });

  test('no controller and no API server: traffic goes on, and a proxy that restarts serves its last good tables', async () => {
    await rig.api.stopApi();
    for (const { process } of rig.controllers) await process.stop();
    await rig.allAnswer('late.test', 200, 'two');
    await rig.proxies[1]?.process.stop();
    rig.proxies[1] = await rig.startProxy('proxy-2');
    await rig.allAnswer('late.test', 200, 'two');
    await rig.allAnswer('web.test', 200, 'one');
  });
});
