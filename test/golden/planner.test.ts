import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { checkPointers } from '#table/check.ts';
import { type EdgePlan, emptyPlan, type PlanRow, planContract } from '#table/plan.ts';
import { maxListEndpoints } from '#table/service.ts';
import { Planner } from '../../controller/plan/planner.ts';
import { planCatalogue } from '../../controller/plan/problems.ts';
import { AddressWorld, claimOptions } from './allocating.ts';
import { briefProblem } from './translating.ts';

/**
 * One file per case: objects in, rows of the plan and problems out. `UPDATE=1` rewrites what is expected. Rows show only
 * what is not usual, endpoints in one line each.
 */
const folder = join(import.meta.dirname, 'planner');

const Case = z.strictObject({
  about: z.string(),
  /** Kinds of rows that the case is about; all, if it says nothing. */
  rows: z.array(z.string()).optional(),
  objects: z.array(z.looseObject({ kind: z.string() })),
  expect: z.unknown().optional(),
});

const triggered = new Set<string>();

for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
  const path = join(folder, file);
  const document = parseDocument(readFileSync(path, 'utf8'));
  const golden = Case.parse(document.toJS());
  test(`${file.replace('.yaml', '')}: ${golden.about}`, () => {
    const world = new AddressWorld();
    for (const object of golden.objects) world.put(object);
    const planner = new Planner({ ...claimOptions, secretNamespace: 'sluice' });
    const { upserts, deletes, problems } = planner.apply(world.view(), []);
    assert.deepEqual(deletes, []);
    const plan = planOf(upserts);
    for (const { code, message, hint } of problems) {
      triggered.add(code);
      assert.doesNotMatch(message + hint, /\{\w+\}/, 'a placeholder was not filled in');
    }
    const shown = Object.entries(plan).filter(([kind]) => golden.rows?.includes(kind) ?? true);
    const rows = shown.map(([kind, byId]) => {
      const ids = [...byId.keys()].sort();
      return [kind, Object.fromEntries(ids.map((id) => [id, brief(kind, byId.get(id))]))] as const;
    });
    const actual = {
      rows: Object.fromEntries(rows.filter(([, byId]) => Object.keys(byId).length > 0)),
      problems: problems.map(briefProblem),
    };
    if (process.env['UPDATE'] === '1') {
      document.set('expect', actual);
      writeFileSync(path, document.toString({ lineWidth: 0, flowCollectionPadding: false }));
    } else assert.deepEqual(actual, golden.expect);
  });
}

test('a Service is told of endpoints that are more than a node can choose among, and no more when zones part them', () => {
  const world = new AddressWorld();
  const planner = new Planner({ ...claimOptions, secretNamespace: 'sluice' });
  const changes = world.follow();
  const slices = (count: number, zones: number) => {
    for (let first = 0; first < count; first += 1_000) {
      const hosts = Array.from({ length: Math.min(1_000, count - first) }, (_, i) => first + i);
      world.put({
        kind: 'EndpointSlice',
        metadata: { name: `s${first}`, namespace: 'demo', labels: { 'kubernetes.io/service-name': 'crowd' } },
        addressType: 'IPv4',
        ports: [{ name: '', port: 8080, protocol: 'TCP' }],
        endpoints: hosts.map((host) => ({
          addresses: [`10.1.${host >> 8}.${host & 255}`],
          ...(zones > 1 && { hints: { forZones: [{ name: `z${host % zones}` }] } }),
        })),
      });
    }
    return planner.apply(world.view(), changes.splice(0)).problems;
  };
  world.put({ kind: 'Service', metadata: { name: 'crowd', namespace: 'demo' }, spec: { ports: [{ port: 80 }] } });
  assert.deepEqual(slices(maxListEndpoints, 1), []);
  const problems = slices(maxListEndpoints + 1, 1);
  assert.deepEqual(problems.map(briefProblem), [
    {
      code: 'warning TooManyEndpoints',
      at: 'Service demo/crowd spec.ports[0]',
      message: 'Port 80 has more than 4095 IPv4 endpoints for a node to choose from: the rest take no traffic.',
    },
  ]);
  for (const { code } of problems) triggered.add(code);
  assert.deepEqual(slices(maxListEndpoints + 1, 3), []);
});

test('each problem of the catalogue is triggered by a case, and says what to do', () => {
  assert.deepEqual(
    Object.keys(planCatalogue).filter((code) => !triggered.has(code)),
    [],
  );
  for (const [code, { text, hint }] of Object.entries(planCatalogue)) {
    assert.match(hint, /^[A-Z{].*[.}]$/, code);
    assert.match(text, /^["A-Z{].*[.}]$/, code);
  }
});

/** As an edge takes it: every row is valid, and none points at nothing. */
function planOf(upserts: readonly PlanRow[]): EdgePlan {
  const plan = emptyPlan();
  for (const { kind, row } of upserts) {
    planContract.schemas[kind].parse(row);
    (plan[kind] as Map<string, unknown>).set(row.id, row);
  }
  const changed = upserts.map(({ kind, row }) => ({ kind, id: row.id }));
  assert.deepEqual(checkPointers(planContract, plan, changed, []), []);
  return plan;
}

const usual: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  node: { podCidrs: '', isLeaving: false, zone: null },
  service: {
    externalIps: '',
    externalTrafficPolicy: 'cluster',
    internalTrafficPolicy: 'cluster',
    affinityTimeoutSeconds: null,
    sourceRanges: '',
    healthCheckNodePort: null,
  },
};

function brief(kind: string, row: object | undefined): Record<string, unknown> | string {
  const left = ['id', 'source', 'namespace', 'name'];
  const entries = Object.entries(row ?? {}).map(([field, value]) => [field, short(field, value)] as const);
  const shown = entries.filter(([field, value]) => !left.includes(field) && usual[kind]?.[field] !== value);
  return Object.fromEntries(shown);
}

function short(field: string, value: unknown): unknown {
  if (field === 'endpoints') return (value as EndpointOf[]).map(endpointText);
  if (field === 'vips') return (value as Record<string, string>[]).map((vip) => Object.values(vip).join(' '));
  if (field === 'ports') {
    return (value as PortOf[]).map(({ name, protocol, port, nodePort, endpointsId }) => {
      return `${name || '-'} ${protocol}/${port} ${nodePort ?? '-'} ${endpointsId}`;
    });
  }
  return Array.isArray(value) ? value.join(' ') : value;
}

type EndpointOf = Extract<PlanRow, { kind: 'endpoints' }>['row']['endpoints'][number];
type PortOf = Extract<PlanRow, { kind: 'service' }>['row']['ports'][number];

function endpointText({ address, port, node, zone, forNodes, forZones, ...states }: EndpointOf): string {
  const is = Object.entries(states).map(([state, holds]) => (holds ? state : `not ${state}`));
  const hints = [...forNodes.map((each) => `for ${each}`), ...forZones.map((each) => `for ${each}`)];
  return [`${address} ${port}`, node ?? '-', zone ?? '-', ...is, ...hints].join(', ');
}
