import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { chart, renderChart, skipWithoutHelm } from '../kit/helm.ts';
import { promtool, skipWithoutPromtool } from '../kit/promtool.ts';
import { type Case, cases } from './alerting.ts';

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

const Alerts = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          for: z
            .string()
            .regex(/^\d+[mh]$/)
            .optional(),
        }),
      ),
    }),
  ),
});

/** What promtool is to find of one alert: it fires after its time and not before, and never without cause. */
function testsOf(alert: string, forMin: number, { afterMin, fires, quiet }: Case): object[] {
  const expr = `count(ALERTS{alertname="${alert}",alertstate="firing"})`;
  const at = (minutes: number, value: number | null) => ({
    expr,
    eval_time: `${minutes}m`,
    exp_samples: value === null ? [] : [{ labels: '{}', value }],
  });
  const seriesOf = (series: Case['fires']) =>
    Object.entries(series).map(([name, values]) => ({ series: name, values }));
  return [
    {
      name: `${alert} fires`,
      input_series: seriesOf(fires),
      promql_expr_test: [...(forMin > 0 ? [at(forMin - 1, null)] : []), at(afterMin, 1)],
    },
    { name: `${alert} is quiet`, input_series: seriesOf(quiet), promql_expr_test: [at(afterMin, null)] },
  ].map((each) => ({ interval: '1m', ...each }));
}

test('each alert fires when it should and after its time, and is quiet else, as Prometheus evaluates it', {
  skip: skipWithoutPromtool(),
}, () => {
  const rules = join(files, 'alerts.yaml');
  assert.equal(promtool('check', 'rules', rules), '');
  const alerts = Alerts.parse(parse(readFileSync(rules, 'utf8'))).groups.flatMap((group) => group.rules);
  assert.deepEqual(alerts.map(({ alert }) => alert).sort(), Object.keys(cases).sort());
  const tests = alerts.flatMap(({ alert, for: lasting = '0m' }) => {
    const minutes = Number.parseInt(lasting, 10) * (lasting.endsWith('h') ? 60 : 1);
    const given = cases[alert];
    assert.ok(given, alert);
    return testsOf(alert, minutes, given);
  });
  const folder = mkdtempSync(join(tmpdir(), 'sluice-alerts-'));
  try {
    const file = join(folder, 'tests.yaml');
    writeFileSync(file, stringify({ rule_files: [rules], evaluation_interval: '1m', tests }));
    assert.equal(promtool('test', 'rules', file), '');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
