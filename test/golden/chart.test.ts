import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { readmeDocument, schemaDocument, valuesDocument } from '../../charts/values/document.ts';
import { type ApiServer, type Manifest, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { chart, lintChart, renderChart, skipWithoutHelm } from '../kit/helm.ts';

/** One file per case: values in, manifests out. `UPDATE=1` rewrites what is expected. */
const folder = join(import.meta.dirname, 'chart');

const Case = z.strictObject({
  about: z.string(),
  values: z.looseObject({}),
  /** `Kind/name`s that the case is about; all, if it says nothing. */
  show: z.array(z.string()).optional(),
  expect: z.unknown().optional(),
});

const cases = readdirSync(folder).map((file) => ({
  file,
  each: Case.parse(parse(readFileSync(join(folder, file), 'utf8'))),
}));
const citizen = cases.find(({ file }) => file === 'citizen.yaml')?.each.values;
const helm = { skip: skipWithoutHelm() };

test('values.yaml, values.schema.json and README.md of the chart are what charts/values says (UPDATE=1 writes them)', () => {
  for (const [name, text] of [
    ['values.yaml', valuesDocument()],
    ['values.schema.json', schemaDocument()],
    ['README.md', readmeDocument()],
  ] as const) {
    if (process.env['UPDATE'] === '1') writeFileSync(join(chart, name), text);
    assert.equal(readFileSync(join(chart, name), 'utf8'), text, name);
  }
});

for (const { file, each } of cases) {
  test(`${file}: ${each.about}`, helm, () => {
    const { objects, warnings, failure } = renderChart(each.values);
    const shown = objects.filter((object) => each.show === undefined || each.show.includes(nameOf(object)));
    const isFailure = failure !== '';
    const outcome = isFailure
      ? { failure: failure.replace(/^Error: (execution error at .*?: )?/, '').replace(/\n\nUse --debug.*/s, '') }
      : { ...(warnings !== '' && { warnings }), manifests: shown.map(brief) };
    if (process.env['UPDATE'] === '1') {
      writeFileSync(
        join(folder, file),
        stringify({ ...each, expect: outcome }, { lineWidth: 0, aliasDuplicateObjects: false }),
      );
      return;
    }
    assert.deepEqual(outcome, each.expect);
    if (!isFailure) assert.equal(lintChart(each.values), '');
  });
}

test('our kinds are upgraded with the chart, and stay when it goes unless that is not wanted', helm, () => {
  const definitionsOf = (values: Parameters<typeof renderChart>[0]) =>
    renderChart(values).objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
  const policies = (values: Parameters<typeof renderChart>[0]) =>
    definitionsOf(values).map(({ metadata }) => Object(metadata['annotations'])['helm.sh/resource-policy']);
  assert.deepEqual(policies({}), ['keep', 'keep', 'keep']);
  assert.deepEqual(policies({ crds: { keep: false } }), [undefined, undefined, undefined]);
  assert.deepEqual(policies({ crds: { enabled: false } }), []);
});

test('every object says whose it is', helm, () => {
  const { objects } = renderChart({ ...citizen, edge: { enabled: true }, crds: { enabled: true } });
  const mute = objects.filter(({ metadata }) => {
    const labels = Object(metadata['labels']);
    return labels['app.kubernetes.io/instance'] !== 'gateway' || labels.team !== 'edge';
  });
  assert.deepEqual(mute.map(nameOf), ['ConfigMap/more']);
});

describe('what is rendered, before a real API server', { skip: helm.skip || (await skipWithoutApiServer()) }, () => {
  let api: ApiServer;

  before(async () => {
    api = await startApiServer();
    for (const name of ['edge-system', 'shop']) {
      await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
  });

  after(() => api?.stop());

  for (const { file, each } of cases.filter(({ each }) => !isFailing(each.expect))) {
    test(`${file}: every object is taken, with no field that it does not know`, async () => {
      const { objects } = renderChart(each.values);
      const names = objects.map((object) => `${nameOf(object)} ${object.metadata.namespace ?? ''}`);
      assert.deepEqual(names.toSorted(), [...new Set(names)].sort());
      const refused: string[] = [];
      for (const object of objects.filter(({ apiVersion }) => !foreign.test(apiVersion))) {
        const { status, body } = await api.dryRun(object);
        if (status >= 300) refused.push(`${nameOf(object)}: ${body['message']}`);
      }
      assert.deepEqual(refused, []);
    });
  }

  test('a class of load balancers that cannot be changed is told before anything is', async () => {
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'gateway-sluice-proxy', namespace: 'edge-system' },
    };
    const spec = { type: 'LoadBalancer', ports: [{ port: 80 }] };
    await api.apply({ ...service, spec });
    const { status } = await api.call('PATCH', '/api/v1/namespaces/edge-system/services/gateway-sluice-proxy', {
      spec: { loadBalancerClass: 'sluice.dev/edge' },
    });
    assert.equal(status, 422, 'the API server would refuse it');
    const kubeconfig = await api.kubeconfig();
    assert.equal(renderChart({}, kubeconfig).failure, '');
    assert.match(
      renderChart({ edge: { enabled: true } }, kubeconfig).failure,
      /has no loadBalancerClass, .* kubectl --namespace edge-system delete service gateway-sluice-proxy$/m,
    );
    await api.delete(service);
    assert.equal(renderChart({ edge: { enabled: true } }, kubeconfig).failure, '');
  });

  test('two releases in one namespace, which would share their keys, are refused', async () => {
    const kubeconfig = await api.kubeconfig();
    const there = renderChart({}).objects.filter(({ metadata: { name } }) => name === 'gateway-sluice-controller');
    const [deployment] = there.filter(({ kind }) => kind === 'Deployment');
    assert.ok(deployment);
    await api.apply(deployment);
    assert.equal(renderChart({}, kubeconfig).failure, '', 'its own');
    const labels = { ...Object(deployment.metadata['labels']), 'app.kubernetes.io/instance': 'first' };
    await api.apply({ ...deployment, metadata: { ...deployment.metadata, labels } });
    assert.match(renderChart({}, kubeconfig).failure, /Release first is in namespace edge-system already\./);
    await api.delete(deployment);
  });

  test('definitions that somebody else has installed are left alone, and taken over by what the notes say', async () => {
    const documents = readFileSync(join(chart, 'files/crds.yaml'), 'utf8').split('\n---\n');
    const definitions = documents.map((each) => parse(each)).filter((each) => each !== null) as Manifest[];
    await api.apply(...definitions);
    const kubeconfig = await api.kubeconfig();
    const before = renderChart({}, kubeconfig);
    assert.deepEqual(
      before.objects.filter(({ kind }) => kind === 'CustomResourceDefinition'),
      [],
    );
    const commands = [...before.warnings.matchAll(/^ {2}kubectl (label|annotate) --overwrite crd (.+)$/gm)];
    for (const [, verb, words = ''] of commands) {
      const given = words.split(' ').filter((word) => word.includes('='));
      const names = words.split(' ').filter((word) => !word.includes('='));
      const field = verb === 'label' ? 'labels' : 'annotations';
      const values = Object.fromEntries(given.map((each) => each.split('=')));
      for (const name of names) {
        const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
        assert.equal((await api.call('PATCH', path, { metadata: { [field]: values } })).status, 200, name);
      }
    }
    const { objects, warnings } = renderChart({}, kubeconfig);
    assert.equal(warnings, '');
    const ours = objects.filter(({ kind }) => kind === 'CustomResourceDefinition').map(({ metadata }) => metadata.name);
    assert.deepEqual(ours.sort(), definitions.map(({ metadata }) => metadata.name).sort());
    // By these Helm knows what it may take over.
    const { body } = await api.call('GET', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${ours[0]}`);
    assert.equal(Object(Object(body.metadata)['labels'])['app.kubernetes.io/managed-by'], 'Helm');
  });
});

/** Kinds that this API server does not have. */
const foreign = /^(monitoring\.coreos\.com|keda\.sh)\//;

function isFailing(expected: unknown): boolean {
  return typeof expected === 'object' && expected !== null && 'failure' in expected;
}

function nameOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.name}`;
}

/** Without the labels that all have, and that one test looks at. */
function brief(object: Manifest): unknown {
  const { labels: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
