import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { request } from 'undici';
import { parse } from 'yaml';
import { z } from 'zod';
import { registers } from '../golden/observed.ts';
import { certificateFor } from '../kit/certificate.ts';
import { freePorts } from '../kit/ports.ts';
import { readingsOf } from '../kit/promql.ts';
import { readScrape, type Scraped } from '../kit/scrape.ts';
import { eventually } from '../kit/wait.ts';
import { get, ingress, page, service, slice, tlsSecret } from './clusterrig.ts';
import { skip, WholeRig } from './wholerig.ts';

const files = join(import.meta.dirname, '../../charts/sluice/files');

const Alerts = z.object({
  groups: z.array(
    z.object({
      name: z.string(),
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.object({ severity: z.enum(['info', 'warning', 'critical']) }),
          annotations: z.object({ summary: z.string(), description: z.string() }),
        }),
      ),
    }),
  ),
});
const Dashboard = z.object({
  panels: z.array(z.object({ targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).default([]) })),
});

/** Labels that Prometheus gives to everything that it scrapes. */
const targetLabels = ['instance', 'job', 'pod'];
/** These count what a healthy cluster does not have; their labels are those of the register. */
const neverSeen = new Set([
  ...['sluice_route_retries_total', 'sluice_route_rejections_total', 'sluice_problems'],
  // Shown while there are BGPPeers; that they are is a matter of the tests of BGP, with routers.
  ...['sluice_bird_up', 'sluice_bird_starts_total', 'sluice_bird_refusals_total', 'sluice_bird_configure_seconds'],
  ...['sluice_bgp_session_up', 'sluice_bgp_announced_prefixes', 'sluice_bfd_session_up'],
]);

const [tcpPort = 0] = await freePorts(1);

describe('metrics of real processes, and what asks for them', { skip, timeout: 300_000 }, () => {
  let rig: WholeRig;
  let scraped: Scraped[];
  const labelsByMetric = new Map<string, Set<string>>();

  before(async () => {
    rig = await WholeRig.start(['web'], ['--tcp-services-configmap', 'default/tcp']);
    const { api } = rig.cluster;
    const balanced = {
      ...service('balanced'),
      spec: { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge', ports: [{ port: 80 }] },
    };
    await api.apply(service('web'), slice('web', rig.cluster.portOf(0)), balanced);
    await api.apply(tlsSecret('shop', await certificateFor(['shop.example'])));
    const probed = { 'sluice.dev/health-check-path': '/' };
    await api.apply(
      ingress('web', 'web.example', 'web', probed),
      ingress('shop', 'shop.example', 'web', probed, [{ hosts: ['shop.example'], secretName: 'shop' }]),
      ingress('lost', 'lost.example', 'nobody'),
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'tcp' }, data: { [String(tcpPort)]: 'default/web:80' } },
    );
    await rig.cluster.allAnswer('web.example', 200);
    await rig.cluster.allAnswer('lost.example', 503);
    await eventually(async () => {
      const answer = await get(tcpPort, 'web').catch(() => null);
      return answer?.status === 200 ? true : undefined;
    }, 'the TCP port to be open');
    scraped = await eventually(async () => {
      const pages = await Promise.all([
        page(rig.proxy.admin, '/metrics'),
        page(rig.controller.admin, '/metrics'),
        page(rig.controller.admin, '/edges/node-1/metrics'),
      ]);
      const missing = awaited.filter((pattern) => !pages.some((text) => pattern.test(text)));
      return missing.length === 0 ? pages.map(readScrape) : undefined;
    }, 'everything to have been counted');
    for (const { metric, labels } of scraped.flatMap(({ samples }) => samples)) {
      const known = labelsByMetric.get(metric) ?? new Set();
      for (const label of Object.keys(labels)) known.add(label);
      labelsByMetric.set(metric, known);
    }
  });

  after(async () => await rig?.stop());

  test('every metric is in a register, and every register is shown', () => {
    const shown = new Map(scraped.flatMap(({ typesByFamily }) => [...typesByFamily]));
    const registered = new Map(registers.flatMap(({ families }) => Object.entries(families)));
    const expected = [...registered.keys()].filter((name) => shown.has(name) || !neverSeen.has(name));
    assert.deepEqual([...shown.keys()].sort(), expected.sort());
    for (const [name, type] of shown) assert.equal(type, registered.get(name)?.type, name);
  });

  test('samples have the labels of the register', () => {
    const registered = new Map(registers.flatMap(({ families }) => Object.entries(families)));
    for (const { metric, labels } of scraped.flatMap(({ samples }) => samples)) {
      const family = registered.get(metric) ?? registered.get(metric.replace(/_(bucket|sum|count)$/, ''));
      const { le: _, ...own } = labels;
      assert.deepEqual(Object.keys(own).sort(), [...(family?.labels ?? ['unknown'])].sort(), metric);
    }
  });

  test('every query of alerts and dashboards reads what there is', () => {
    for (const query of [...alertQueries(), ...dashboardQueries()]) {
      const { readings, grouping } = readingsOf(query);
      assert.ok(readings.length > 0, query);
      for (const { metric, labels } of readings) {
        const known = labelsByMetric.get(metric) ?? (neverSeen.has(metric) ? labelsOfRegister(metric) : undefined);
        assert.ok(known, `${metric} of ${query} is not there`);
        for (const label of [...labels, ...grouping]) {
          assert.ok(known.has(label) || targetLabels.includes(label), `${metric} has no ${label}: ${query}`);
        }
      }
    }
  });

  test('values that queries compare with are among those that there are', () => {
    const values = new Set(scraped.flatMap(({ samples }) => samples.flatMap(({ labels }) => Object.values(labels))));
    // No object of this cluster has a warning only.
    for (const query of [...alertQueries(), ...dashboardQueries()]) {
      for (const [, value = ''] of query.matchAll(/\w="([^"]*)"/g)) assert.ok(values.has(value), `${value}: ${query}`);
    }
  });

  test('what an alert or a legend says names labels that its query keeps', () => {
    const { groups } = Alerts.parse(parse(readFileSync(join(files, 'alerts.yaml'), 'utf8')));
    for (const { expr, annotations } of groups.flatMap(({ rules }) => rules)) {
      const text = Object.values(annotations).join(' ');
      const kept = keptLabels(expr);
      for (const [, label = ''] of text.matchAll(/\$labels\.(\w+)/g)) assert.ok(kept.has(label), `${label}: ${expr}`);
    }
    for (const { expr, legendFormat } of dashboardTargets()) {
      const kept = keptLabels(expr);
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        assert.ok(kept.has(label), `${label}: ${expr}`);
    }
  });

  test('names of alerts are unique, and an edge has its pages through the controller', async () => {
    const { groups } = Alerts.parse(parse(readFileSync(join(files, 'alerts.yaml'), 'utf8')));
    const names = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
    assert.deepEqual(names, [...new Set(names)]);
    const answer = await request(`http://127.0.0.1:${rig.controller.admin}/edges/node-1/status`);
    assert.equal(z.object({ node: z.string() }).parse(await answer.body.json()).node, 'node-1');
  });
});

/** What comes a while after it was asked for. */
const awaited = [
  /^sluice_backend_healthy_endpoints\{.*\} 1$/m,
  /^sluice_route_flows_total\{.*\} [1-9]/m,
  /^sluice_controller_pool_addresses\{.*state="assigned".*\} 1$/m,
  /^sluice_plan_rows\{kind="service"\} [1-9]/m,
];

function alertQueries(): string[] {
  const { groups } = Alerts.parse(parse(readFileSync(join(files, 'alerts.yaml'), 'utf8')));
  return groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
}

function dashboardTargets(): { expr: string; legendFormat: string }[] {
  const folder = join(files, 'dashboards');
  const all = readdirSync(folder).map((name) => Dashboard.parse(JSON.parse(readFileSync(join(folder, name), 'utf8'))));
  return all.flatMap(({ panels }) => panels.flatMap(({ targets }) => targets));
}

function dashboardQueries(): string[] {
  return dashboardTargets().map(({ expr }) => expr);
}

function keptLabels(expr: string): ReadonlySet<string> {
  return new Set(readingsOf(expr).grouping);
}

function labelsOfRegister(metric: string): ReadonlySet<string> | undefined {
  for (const { families } of registers) {
    const family = families[metric];
    if (family) return new Set(family.labels);
  }
  return undefined;
}
