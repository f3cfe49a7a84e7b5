import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { controllerServerName } from '#table/wire.ts';
import { pathOf } from '../kit/apiserver.ts';
import { Load } from '../kit/load.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, ingress, page, type RunningController, service, sharedToken, skip, slice } from './clusterrig.ts';

/** A Lease runs for 15 s, and is looked at every two. */
const leaseBoundMs = 90_000;
const States = z.array(z.object({ name: z.string(), connected: z.string(), appliedHash: z.string().nullable() }));

describe('the leader of two controllers is killed', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  let loads: Load[] = [];
  let leader: RunningController;
  let other: RunningController;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one'], controllers: 2, proxies: 0, workers: 1 });
    await rig.api.apply(service('web'), slice('web', rig.portOf(0)), ingress('web', 'web.test', 'web'));
    for (const name of ['proxy-1', 'proxy-2']) rig.proxies.push(await rig.startProxy(name, 1, 'shared'));
    await rig.allAnswer('web.test', 200, 'one');
    const host = 'web.test';
    loads = rig.proxies.map(({ http: port }) => Load.start({ port, host, connections: 2, requestsPerSecond: 100 }));
    leader = await leading(rig.controllers);
    other = rig.controllers.find((each) => each !== leader) as RunningController;
  });

  after(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await rig?.stop();
  });

  async function hashInForce(): Promise<string> {
    const pages = await Promise.all(rig.proxies.map(({ admin }) => page(admin, '/tables')));
    const hashes = new Set(pages.map((text) => z.object({ hash: z.string() }).parse(JSON.parse(text)).hash));
    assert.equal(hashes.size, 1);
    return [...hashes][0] ?? '';
  }

  test('what one has brought into force, either would answer with "you have it", not with a snapshot', async () => {
    const hash = await hashInForce();
    for (const { publish } of [leader, other]) {
      await eventually(async () => /^\{"commit":/.test(await firstLine(publish, hash)) || undefined, 'one commit');
    }
    assert.match(await firstLine(other.publish, 'of some other content'), /^\{"snapshot":true\}/);
  });

  test('its proxies go over to the other without a change of their table', async () => {
    const hash = await hashInForce();
    leader.process.signal('SIGKILL');
    await leader.process.ended();
    await eventually(async () => {
      const states = States.parse(JSON.parse(await page(other.admin, '/proxies')));
      const isHere = states.filter((each) => each.connected === 'here' && each.appliedHash === hash);
      return isHere.length === 2 || undefined;
    }, 'both proxies at the other controller');
    assert.equal(await hashInForce(), hash);
  });

  test('changes arrive at once, statuses when the Lease has run out', async () => {
    const late = ingress('late', 'late.test', 'web');
    await rig.api.apply(late);
    await rig.allAnswer('late.test', 200, 'one');
    await leading([other]);
    await eventually(async () => {
      const { body } = await rig.api.call('GET', pathOf(late));
      return JSON.stringify(body['status']).includes('192.0.2.80') || undefined;
    }, 'the status');
  });

  test('no request has failed', async () => {
    for (const { failures, answered } of await Promise.all(loads.map((load) => load.stop()))) {
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  });

  test('one whose terminal is closed leaves its Lease to whoever comes', async () => {
    other.process.signal('SIGHUP');
    other.process.signal('SIGHUP');
    assert.deepEqual(await other.process.ended(), { code: 0, signal: null });
    const { body } = await rig.api.call(
      'GET',
      '/apis/coordination.k8s.io/v1/namespaces/default/leases/sluice-controller',
    );
    assert.equal((body['spec'] as Record<string, unknown>)['holderIdentity'], '');
  });

  /** What a controller says first to somebody who holds a table with this hash. */
  async function firstLine(publish: number, hash: string): Promise<string> {
    const ca = await readFile(rig.file('ca.crt'), 'utf8');
    const agent = new Agent({ connect: { ca, servername: controllerServerName } });
    try {
      const { body } = await request(`https://127.0.0.1:${publish}/v1/tables?hash=${encodeURIComponent(hash)}`, {
        dispatcher: agent,
        headers: { authorization: `Bearer ${sharedToken}` },
      });
      let text = '';
      for await (const chunk of body) {
        text += String(chunk);
        if (text.includes('\n')) break;
      }
      return text.slice(0, text.indexOf('\n'));
    } finally {
      await agent.destroy();
    }
  }
});

/** The one of them that leads. */
async function leading(controllers: readonly RunningController[]): Promise<RunningController> {
  return await eventually(
    async () => {
      for (const each of controllers) {
        if (/^sluice_controller_leader 1$/m.test(await page(each.admin, '/metrics'))) return each;
      }
      return undefined;
    },
    'a leader',
    leaseBoundMs,
  );
}
