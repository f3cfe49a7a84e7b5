import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { chart, renderChart, skipWithoutHelm } from '../kit/helm.ts';

const helm = { skip: skipWithoutHelm() };
const files = join(chart, 'files');

test(
  'alerts and dashboards are installed as their files have them, and templates of theirs are left to Prometheus',
  helm,
  () => {
    const additionalLabels = { release: 'monitoring' };
    const { objects, failure } = renderChart({
      metrics: {
        prometheusRule: { enabled: true, additionalLabels, namespace: 'monitoring' },
        dashboards: { enabled: true, additionalLabels: { grafana_dashboard: '1' } },
      },
    });
    assert.equal(failure, '');
    const rule = objects.find(({ kind }) => kind === 'PrometheusRule');
    assert.deepEqual(rule?.['spec'], parse(readFileSync(join(files, 'alerts.yaml'), 'utf8')));
    assert.equal(rule?.metadata.namespace, 'monitoring');
    const labels = (rule?.metadata['labels'] ?? {}) as Record<string, string>;
    assert.equal(labels['release'], 'monitoring');
    const boards = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.endsWith('-dashboards'));
    const data = (boards?.['data'] ?? {}) as Record<string, string>;
    const names = readdirSync(join(files, 'dashboards'));
    assert.deepEqual(Object.keys(data).sort(), names.map((name) => `sluice-${name}`).sort());
    for (const name of names) {
      const text = readFileSync(join(files, 'dashboards', name), 'utf8');
      assert.deepEqual(JSON.parse(data[`sluice-${name}`] ?? ''), JSON.parse(text), name);
    }
  },
);

test('neither is there unless it is asked for', helm, () => {
  const { objects } = renderChart({});
  assert.deepEqual(
    objects.filter(({ kind, metadata }) => kind === 'PrometheusRule' || metadata.name.endsWith('-dashboards')),
    [],
  );
});
