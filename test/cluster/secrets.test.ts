import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Installation, skipWithoutCluster } from './installation.ts';
import { ingress } from './objects.ts';

const count = 5_000;
const bytes = 4_096;

/** A cluster full of Secrets that no Ingress names. */
describe('Secrets that nobody uses', { skip: skipWithoutCluster, timeout: 900_000 }, () => {
  const sluice = new Installation({
    edge: { enabled: false },
    proxy: { workers: 1, service: { type: 'NodePort', externalTrafficPolicy: 'Cluster' } },
  });
  const other = new Installation();

  before(async () => {
    for (const each of [sluice, other]) await each.addNamespace();
    const data = { value: Buffer.alloc(bytes, 's').toString('base64') };
    const secrets = Array.from({ length: count }, (_, i) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: `unused-${i}` },
      data,
    }));
    for (let at = 0; at < count; at += 500) await other.create(secrets.slice(at, at + 500));
    await sluice.install();
    await sluice.addBackend();
    await sluice.answers(sluice.hosts.web, 200);
  });
  after(async () => {
    await other.remove();
    await sluice.remove();
  });

  test('they are not asked for, until an Ingress beside them names one', async (t) => {
    const before = await footprint();
    t.diagnostic(`memory of the controllers with ${count} Secrets that nobody uses: ${mib(before)} MiB`);
    assert.doesNotMatch(await metrics(), /^sluice_controller_watch_\w+\{kind="Secret"\}/m);
    // From then on the namespace is followed, and what is not named is dropped unread.
    const tls = { tls: [{ hosts: ['early.test'], secretName: 'missing' }] };
    const early = ingress('early', 'early.test', 80, {}) as { spec: object };
    await other.apply({ ...early, spec: { ...early.spec, ...tls } });
    await sluice.answers('early.test', 308);
    assert.match(await metrics(), /^sluice_controller_watch_\w+\{kind="Secret"\}/m);
    const after = await footprint();
    t.diagnostic(`the same, when an Ingress in their namespace names another: ${mib(after)} MiB`);
  });

  const metrics = () => sluice.page('deployment/sluice-controller', '/metrics');

  async function footprint(): Promise<number> {
    const said = await sluice.kubectl(
      'exec',
      'deployment/sluice-controller',
      '--',
      'node',
      '-p',
      `require('fs').readFileSync('/proc/1/status', 'utf8').match(/VmRSS:\\s+(\\d+)/)[1]`,
    );
    return 1_024 * Number(said);
  }
});

function mib(size: number): number {
  return Math.round(size / (1 << 20));
}
