import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { pathOf } from '../kit/apiserver.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, ingress, page, type RunningController, service, skip, slice } from './clusterrig.ts';

/** What a process takes for the time of day. Timers go by the monotonic clock, which nobody can set. */
const shiftedDate = `
const { Date: Real } = globalThis;
const shiftMs = Number(process.env.CLOCK_SHIFT_MS);
globalThis.Date = class Date extends Real {
  constructor(...given) {
    if (given.length === 0) super(Real.now() + shiftMs);
    else super(...given);
  }
  static now() {
    return Real.now() + shiftMs;
  }
};
`;

const hourMs = 3_600_000;

describe('clocks that are an hour apart', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one'], controllers: 0, proxies: 0, workers: 1 });
    const file = rig.file('shifted.mjs');
    writeFileSync(file, shiftedDate);
    const at = (shiftMs: number) => {
      rig.environment = { NODE_OPTIONS: `--import ${pathToFileURL(file)}`, CLOCK_SHIFT_MS: String(shiftMs) };
    };
    at(hourMs - 60_000);
    rig.controllers.push(await rig.startController());
    await rig.keepAuthority();
    at(-hourMs);
    rig.controllers.push(await rig.startController());
    rig.proxies.push(await rig.startProxy('late', 1));
    at(hourMs);
    rig.proxies.push(await rig.startProxy('early', 1));
    await rig.api.apply(service('web'), slice('web', rig.portOf(0)), ingress('web', 'web.test', 'web'));
  });

  after(async () => {
    await rig?.stop();
  });

  async function leads({ admin }: RunningController): Promise<boolean> {
    return /^sluice_controller_leader 1$/m.test(await page(admin, '/metrics'));
  }

  async function hasStatus(name: string): Promise<void> {
    await eventually(async () => {
      const { body } = await rig.api.call('GET', pathOf(ingress(name, '', '')));
      return JSON.stringify(body['status']).includes('192.0.2.80') || undefined;
    }, `the status of ${name}`);
  }

  test('the clocks are what this test is about', async () => {
    const [one = '', two = ''] = rig.controllers.map(({ process }) => /"time":"?([^",]+)/.exec(process.stderr)?.[1]);
    assert.ok(Math.abs(instant(one) - instant(two)) > hourMs, `${one} and ${two}`);
  });

  test('routes arrive at every proxy, and statuses at the Ingress', async () => {
    await rig.allAnswer('web.test', 200, 'one');
    await hasStatus('web');
  });

  test('one leads; neither takes the Lease of the other for one that has run out', async () => {
    const lease = '/apis/coordination.k8s.io/v1/namespaces/default/leases/sluice-controller';
    const spec = async () => (await rig.api.call('GET', lease)).body['spec'] as Record<string, unknown>;
    const first = await spec();
    // Several renewals, each a chance to take it.
    const renewals = new Set<unknown>();
    await eventually(async () => {
      renewals.add((await spec())['renewTime']);
      return renewals.size >= 4 || undefined;
    }, 'renewals of the Lease');
    assert.equal((await spec())['holderIdentity'], first['holderIdentity']);
    assert.equal((await spec())['leaseTransitions'], first['leaseTransitions']);
  });

  test('the other takes over when the leader goes', async () => {
    const [one, two] = rig.controllers as [RunningController, RunningController];
    const [leader, other] = (await leads(one)) ? [one, two] : [two, one];
    await leader.process.stop();
    await eventually(async () => (await leads(other)) || undefined, 'the other to lead');
    await rig.api.apply(ingress('later', 'later.test', 'web'));
    await rig.allAnswer('later.test', 200, 'one');
    await hasStatus('later');
  });
});

/** Of a log line: ISO text or milliseconds. */
function instant(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : Date.parse(text);
}
