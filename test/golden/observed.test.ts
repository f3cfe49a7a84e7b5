import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { logFields } from '../../proxy/observe/logfields.ts';
import { writeFlowLine, writeRequestLine } from '../../proxy/observe/logline.ts';
import { LogPage } from '../../proxy/observe/logpage.ts';
import { traceContextOf } from '../../proxy/observe/tracecontext.ts';
import { exchangeRecord, flowRecord } from '../kit/exchangerecord.ts';
import { collectGarbage } from '../kit/garbage.ts';
import { dashboardFiles } from './dashboards.ts';
import { logsDocument, metricsDocument, registers } from './observed.ts';

const root = join(import.meta.dirname, '../..');

test('docs/metrics.md and docs/logs.md are what the registers say (UPDATE=1 writes them)', () => {
  for (const [path, text] of [
    ['docs/metrics.md', metricsDocument()],
    ['docs/logs.md', logsDocument()],
  ] as const) {
    if (process.env['UPDATE'] === '1') writeFileSync(join(root, path), text);
    assert.equal(readFileSync(join(root, path), 'utf8'), text, path);
  }
});

test('the dashboards of the chart are what dashboards.ts says (UPDATE=1 writes them)', () => {
  const folder = join(root, 'charts/sluice/files/dashboards');
  for (const [name, text] of dashboardFiles()) {
    if (process.env['UPDATE'] === '1') writeFileSync(join(folder, name), text);
    // The formatter lays out JSON in its own way.
    assert.deepEqual(JSON.parse(readFileSync(join(folder, name), 'utf8')), JSON.parse(text), name);
  }
  assert.deepEqual(readdirSync(folder).sort(), [...dashboardFiles().keys()].sort());
});

test('names follow the rules of Prometheus: base units, and _total for what only grows', () => {
  const wrong = registers.flatMap(({ families }) =>
    Object.entries(families).filter(
      ([name, { type }]) =>
        // ingress-nginx has its own ways.
        (!name.startsWith('nginx_') && (type === 'counter') !== name.endsWith('_total')) ||
        /_(ms|milliseconds|kb|mb)\b/.test(name),
    ),
  );
  assert.deepEqual(wrong, []);
});

const trace = traceContextOf(
  {
    ...{ endpoint: '', serviceName: '', isOn: true, continues: true, ratio: 1, sampledBy: 'everybody' },
    ...{ queue: 1, batch: 1, delayMs: 1 },
  },
  null,
  undefined,
  false,
);

test('methods that clients make up are not kept, however long they are', () => {
  const longest = 60_000;
  const keptBytes = () => {
    collectGarbage();
    return process.memoryUsage().arrayBuffers;
  };
  lineOf((page) => writeRequestLine(page, exchangeRecord({ method: 'M'.repeat(longest) })));
  const before = keptBytes();
  for (let i = 0; i < 60; i++)
    lineOf((page) => writeRequestLine(page, exchangeRecord({ method: `M${i}`.padEnd(longest) })));
  const kept = keptBytes() - before;
  assert.ok(kept < 10 * longest, `${kept} bytes are kept`);
});

test('a line of the access log has the fields of the register, in its order', () => {
  const full = lineOf((page) =>
    writeRequestLine(page, exchangeRecord({ upstreamFault: 'certificate has expired', trace })),
  );
  assert.deepEqual(Object.keys(full), Object.keys(logFields));
  const usual = lineOf((page) => writeRequestLine(page, exchangeRecord({})));
  const optional = Object.entries(logFields).flatMap(([name, field]) => ('isOptional' in field ? [name] : []));
  assert.deepEqual(
    Object.keys(usual),
    Object.keys(logFields).filter((name) => !optional.includes(name)),
  );
});

test('a line says its names, whoever of the same route asked before and however often', () => {
  const routeSource = { kind: 'Ingress', namespace: 'shop', name: 'many' } as const;
  const names = ['shop.example', 'shop.example', 'other.example', 'shop.example', 'shop.example', 'shop.example'];
  for (const authority of [...names, 'other.example', 'other.example', ...names]) {
    for (const serverName of ['', 'sni.example']) {
      const line = lineOf((page) => writeRequestLine(page, exchangeRecord({ routeSource, authority, serverName })));
      assert.equal(line['authority'], authority);
      assert.equal(line['requested_server_name'], serverName === '' ? null : serverName);
    }
    const again = lineOf((page) => writeRequestLine(page, exchangeRecord({ routeSource, authority })));
    assert.equal(again['authority'], authority);
  }
});

test('a line of a flow has those that flows have', () => {
  const line = lineOf((page) => writeFlowLine(page, flowRecord({})));
  assert.deepEqual(
    Object.keys(line),
    Object.entries(logFields).flatMap(([name, { ofFlows }]) => (ofFlows ? [name] : [])),
  );
});

test('text and numbers of the access log are of the type that the register says, or null', () => {
  const line = lineOf((page) => writeRequestLine(page, exchangeRecord({ upstreamFault: 'x', trace })));
  for (const [name, { type }] of Object.entries(logFields)) {
    if (line[name] === null) continue;
    if (type === 'time') assert.equal(new Date(String(line[name])).toISOString(), line[name], name);
    else assert.equal(typeof line[name], type === 'text' ? 'string' : 'number', name);
  }
});

function lineOf(write: (page: LogPage) => void): Record<string, unknown> {
  const page = new LogPage();
  write(page);
  return JSON.parse(page.bytes.toString('latin1', 0, page.end)) as Record<string, unknown>;
}
