import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../kit/wait.ts';
import { Installation, skipWithoutCluster } from './installation.ts';
import { ingress } from './objects.ts';

/** The API server asks controllers before it takes an object. */
describe('the admission webhook', { skip: skipWithoutCluster, timeout: 900_000 }, () => {
  const sluice = new Installation({
    controller: { admissionWebhooks: { enabled: true, timeoutSeconds: 2 } },
    edge: { enabled: false },
    proxy: { workers: 1, service: { type: 'NodePort', externalTrafficPolicy: 'Cluster' } },
  });
  const broken = (name: string) => ingress(name, `${name}.test`, 80, { 'sluice.dev/auth-type': 'digest' });

  before(() => sluice.start());
  after(() => sluice.remove());

  test('what its author must correct is refused, and said', async () => {
    // The leader tells the API server whom to trust; until then it takes everything.
    const refusal = await eventually(() => refused(broken('broken')), 'a refusal', 120_000);
    assert.match(refusal ?? '', /denied the request: AnnotationDenies: .*auth-type/s);
  });

  test('what may come later is taken with a warning, and what is well without', async () => {
    const early = ingress('early', 'early.test', 8_443, {});
    assert.match(await sluice.apply(early), /Warning: .*8443/);
    assert.doesNotMatch(await sluice.apply(ingress('well', 'well.test', 80, {})), /Warning/);
  });

  test('while no controller answers, everything is taken; then no more', async () => {
    await sluice.kubectl('scale', 'deployment/sluice-controller', '--replicas', '0');
    await sluice.kubectl('wait', 'pods', '--selector', selector, '--for=delete', '--timeout', '3m');
    await sluice.apply(broken('ignored'));
    await sluice.kubectl('scale', 'deployment/sluice-controller', '--replicas', '2');
    await sluice.kubectl('rollout', 'status', 'deployment/sluice-controller', '--timeout', '3m');
    const refusal = await eventually(() => refused(broken('again')), 'a refusal', 120_000);
    assert.match(refusal ?? '', /denied the request/);
    await sluice.answers(sluice.hosts.web, 200);
  });

  /** What is said to an object that is not taken; undefined when it is, and then it is deleted. */
  async function refused(object: object): Promise<string | undefined> {
    try {
      await sluice.apply(object);
    } catch (error) {
      return String(error);
    }
    await sluice.kubectl('delete', 'ingress', (object as { metadata: { name: string } }).metadata.name);
    return undefined;
  }
});

const selector = 'app.kubernetes.io/component=controller';
