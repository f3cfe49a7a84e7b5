import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { giveRequestId } from '../../proxy/listen/requestid.ts';
import { AccessLog } from '../../proxy/observe/accesslog.ts';
import { writeRequestLine } from '../../proxy/observe/logline.ts';
import { LogPage } from '../../proxy/observe/logpage.ts';
import { endedSnapshot, mergeSnapshots, withoutGoneRoutes } from '../../proxy/observe/metrics.ts';
import { renderMetrics } from '../../proxy/observe/prometheus.ts';
import type { ExchangeRecord } from '../../proxy/observe/record.ts';
import { WorkerMetrics } from '../../proxy/observe/workermetrics.ts';
import { exchangeRecord } from '../kit/exchangerecord.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-observe-'));
after(() => rmSync(folder, { recursive: true }));

const sinks = (droppedLines: number) => ({
  accessLog: { droppedLines },
  spans: { exported: 0, dropped: droppedLines },
});
const noLog = sinks(0);

function count(metrics: WorkerMetrics, ...records: Partial<ExchangeRecord>[]): void {
  for (const fields of records) {
    metrics.requestStarted();
    metrics.finished(exchangeRecord(fields));
  }
}

/** Value of one sample, by its whole name with labels. */
function sample(text: string, name: string): number | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

const routeLabels = (id: string) =>
  `kind="Ingress",namespace="shop",name="web",route="${id}",backend="shop/web/80",service="web",service_port="80"`;

test('workers are summed, and the text is what Prometheus reads', () => {
  const first = new WorkerMetrics(noLog);
  const second = new WorkerMetrics(sinks(3));
  first.connectionOpened('http');
  first.connectionOpened('http');
  first.connectionClosed('http');
  second.connectionOpened('http');
  count(
    first,
    { durationMs: 3, bytesSent: 100 },
    { durationMs: 30, status: 503, flag: 'NE', upstreamMs: -1, tries: 0 },
  );
  count(second, { durationMs: 20_000, bytesReceived: 7, tries: 3 }, { status: 0, flag: 'DC', routeIndex: -1 });
  second.requestStarted();
  const text = renderMetrics(mergeSnapshots([first.snapshot(), second.snapshot()]));

  assert.equal(sample(text, 'sluice_http_requests_total{code="2xx"}'), 2);
  assert.equal(sample(text, 'sluice_http_requests_total{code="5xx"}'), 1);
  assert.equal(sample(text, 'sluice_http_requests_total{code="none"}'), 1);
  assert.equal(sample(text, 'sluice_http_responses_flagged_total{flag="NE"}'), 1);
  assert.equal(sample(text, 'sluice_http_responses_flagged_total{flag="DC"}'), 1);
  assert.equal(sample(text, 'sluice_http_requests_in_flight'), 1);
  assert.equal(sample(text, 'sluice_http_request_duration_seconds_bucket{le="0.0025"}'), 1);
  assert.equal(sample(text, 'sluice_http_request_duration_seconds_bucket{le="0.005"}'), 2);
  assert.equal(sample(text, 'sluice_http_request_duration_seconds_bucket{le="10"}'), 3);
  assert.equal(sample(text, 'sluice_http_request_duration_seconds_bucket{le="+Inf"}'), 4);
  assert.equal(sample(text, 'sluice_http_request_duration_seconds_count'), 4);
  assert.equal(sample(text, 'sluice_upstream_response_seconds_count'), 3);
  assert.equal(sample(text, 'sluice_upstream_retries_total'), 2);
  assert.equal(sample(text, 'sluice_connections{listener="http"}'), 2);
  assert.equal(sample(text, 'sluice_connections_total{listener="http"}'), 3);
  assert.equal(sample(text, 'sluice_access_log_dropped_lines_total'), 3);
  assert.equal(sample(text, `sluice_route_requests_total{${routeLabels('ingress/shop/web/0/0')},code="2xx"}`), 2);
  assert.equal(sample(text, `sluice_route_requests_total{${routeLabels('ingress/shop/web/0/0')},code="5xx"}`), 1);
  assert.equal(sample(text, `sluice_route_request_duration_seconds_count{${routeLabels('ingress/shop/web/0/0')}}`), 3);
  assertIsExposition(text);
});

test('a metric label cannot leave its line, whatever a row is called', () => {
  const metrics = new WorkerMetrics(noLog);
  count(metrics, { routeId: 'a"b\\c\nd 1' });
  const text = renderMetrics(metrics.snapshot());
  assert.ok(text.includes('route="a\\"b\\\\c\\nd 1"'));
  assertIsExposition(text);
});

test('a route that is gone is shown once more; its number serves the next route without mixing counts', () => {
  const metrics = new WorkerMetrics(noLog);
  count(metrics, { routeId: 'old', routeIndex: 5 }, { routeId: 'old', routeIndex: 5 });
  count(metrics, { routeId: 'new', routeIndex: 5 }, { routeId: 'old', routeIndex: 5 });
  const shown = metrics.snapshot();
  metrics.letGo((routeId) => routeId === 'new');
  assert.equal(sample(renderMetrics(shown), `sluice_route_requests_total{${routeLabels('old')},code="2xx"}`), 3);
  const next = renderMetrics(metrics.snapshot());
  assert.equal(sample(next, `sluice_route_requests_total{${routeLabels('old')},code="2xx"}`), undefined);
  assert.equal(sample(next, `sluice_route_requests_total{${routeLabels('new')},code="2xx"}`), 1);
  const pruned = withoutGoneRoutes(mergeSnapshots([shown, shown]), (routeId) => routeId === 'new');
  assert.deepEqual(
    pruned.series.map(({ routeId }) => routeId),
    ['new'],
  );
  assert.equal(sample(renderMetrics(pruned), `sluice_route_requests_total{${routeLabels('new')},code="2xx"}`), 2);
});

test('requests are counted by what their route and backend are called, whatever became of the rows', () => {
  const metrics = new WorkerMetrics(noLog);
  const before = { routeIndex: 1, routeSerial: 1, backendSerial: 1 };
  count(metrics, { ...before, routeId: 'a' }, { ...before, routeId: 'a', routeSerial: 2 });
  count(metrics, { ...before, routeId: 'a', routeSerial: 2, backendSerial: 2 });
  count(metrics, { ...before, routeId: 'b', routeSerial: 3 }, { ...before, routeId: 'a' });
  const of = (route: string) =>
    sample(renderMetrics(metrics.snapshot()), `sluice_route_requests_total{${routeLabels(route)},code="2xx"}`);
  assert.deepEqual([of('a'), of('b')], [4, 1]);
  metrics.letGo((routeId) => routeId === 'b');
  assert.deepEqual([of('a'), of('b')], [undefined, 1]);
  // The place of the other has become its own.
  count(metrics, { ...before, routeId: 'a' }, { ...before, routeId: 'b', routeSerial: 3 });
  assert.deepEqual([of('a'), of('b')], [1, 2]);
});

test('many routes that come and go under one number do not pile up', () => {
  const metrics = new WorkerMetrics(noLog);
  for (let i = 0; i < 500; i++) count(metrics, { routeId: `r${i}`, routeIndex: 0 });
  assert.ok(metrics.snapshot().series.length <= 64);
});

test('the counts of a worker that ended stay, its gauges do not', () => {
  const dead = new WorkerMetrics(noLog);
  dead.connectionOpened('http');
  dead.requestStarted();
  count(dead, {});
  const living = new WorkerMetrics(noLog);
  count(living, {});
  const text = renderMetrics(mergeSnapshots([endedSnapshot(dead.snapshot()), living.snapshot()]));
  assert.equal(sample(text, 'sluice_http_requests_total{code="2xx"}'), 2);
  assert.equal(sample(text, 'sluice_http_requests_in_flight'), 0);
  assert.equal(sample(text, 'sluice_connections{listener="http"}'), 0);
  assert.equal(sample(text, 'sluice_connections_total{listener="http"}'), 1);
});

test('a log line is JSON with the names that pipelines know, and hostile text stays inside its string', async () => {
  const path = join(folder, 'fields.log');
  const log = new AccessLog({ target: path });
  log.finished(exchangeRecord({}));
  const hostile = '"}\n{"response_code":200,\u2028\\ \x00\x7f\xff\ud800';
  log.finished(exchangeRecord({ target: hostile, userAgent: hostile, authority: hostile, method: '', upstreamMs: -1 }));
  await log.close();
  const text = readFileSync(path, 'utf8');
  assert.equal(text.split('\n').length, 3);
  const [plain, odd] = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(plain, {
    start_time: '2026-01-02T03:04:05.067Z',
    method: 'GET',
    path: '/a?b=c',
    protocol: 'HTTP/1.1',
    response_code: 200,
    response_flags: '-',
    bytes_received: 0,
    bytes_sent: 0,
    duration: 2.346,
    upstream_service_time: 2.5,
    x_forwarded_for: null,
    client_address: '192.0.2.1',
    user_agent: 'curl/8',
    request_id: 'id-1',
    authority: 'shop.example',
    upstream_host: '10.0.0.1:8080',
    upstream_cluster: 'shop/web/80',
    upstream_tries: 1,
    retry_refused: null,
    requested_server_name: null,
    route_name: 'ingress/shop/web/0/0',
    ingress: 'web',
    namespace: 'shop',
    service: 'web',
    service_port: '80',
  });
  assert.equal(odd?.['user_agent'], hostile.replace('\ud800', '\ud800'));
  assert.equal(odd?.['response_code'], 200);
  assert.equal(odd?.['method'], null);
  assert.equal(odd?.['upstream_service_time'], null);
  assert.equal(log.droppedLines, 0);
});

test('an id of ours is logged as the request has it, and so is one of a client in between', () => {
  const page = new LogPage();
  // All but four digits are the same for 65,536 of them.
  for (let count = 0; count < 70_000; count++) {
    const record = exchangeRecord({ requestId: 'of a client' });
    if (count % 1_000 !== 999) giveRequestId(record);
    writeRequestLine(page, record);
    const line = JSON.parse(page.bytes.toString('latin1', 0, page.end)) as Record<string, unknown>;
    assert.equal(line['request_id'], record.requestId);
    page.clear();
  }
});

test('what a connection keeps for its lines is short, however long its client calls itself', () => {
  const page = new LogPage();
  const record = exchangeRecord({ userAgent: '\xff'.repeat(30_000) });
  for (let request = 0; request < 3; request++) {
    writeRequestLine(page, record);
    const line = JSON.parse(page.bytes.toString('latin1', 0, page.end)) as Record<string, unknown>;
    assert.equal(line['user_agent'], record.userAgent);
    page.clear();
  }
  const { userAgent = '', piece } = record.loggedClient ?? {};
  assert.ok(userAgent.length + (piece?.length ?? 0) < 4_096, `${piece?.length}`);
});

test('whatever a line is made of comes back from it, and however long it is', async () => {
  const path = join(folder, 'values.log');
  const log = new AccessLog({ target: path });
  const agents = [
    '\u0141',
    'caf\u00e9',
    '\u00e9'.repeat(20),
    '"',
    'x\\'.repeat(10),
    '\ud83d\ude00',
    'x'.repeat(15),
    'y'.repeat(20_000),
  ];
  const sizes = [0, 9, 10, 99, 1000, 2 ** 32, Number.MAX_SAFE_INTEGER];
  const wanted = Array.from({ length: 400 }, (_, i) => ({
    userAgent: i % 40 === 0 ? (agents.at(-1) ?? '') : (agents[i % (agents.length - 1)] ?? ''),
    bytesSent: sizes[i % sizes.length] ?? 0,
    bytesReceived: sizes[(i + 1) % sizes.length] ?? 0,
    durationMs: i % 2 === 0 ? i * 10 : i / 1000,
    upstreamHost: `10.0.0.${i % 3}:80`,
    serverName: i % 5 === 0 ? '' : `h${i % 5}.example`,
    tries: 1 + (i % 2),
  }));
  for (const each of wanted) log.finished(exchangeRecord(each));
  await log.close();
  const found = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(log.droppedLines, 0);
  assert.deepEqual(
    found.map((line) => [
      [line.user_agent, line.bytes_sent, line.bytes_received, line.duration],
      [line.upstream_host, line.requested_server_name ?? '', line.upstream_tries],
    ]),
    wanted.map((each) => [
      [each.userAgent, each.bytesSent, each.bytesReceived, each.durationMs],
      [each.upstreamHost, each.serverName, each.tries],
    ]),
  );
});

test('after reopen lines go to a new file, and none is lost', async () => {
  const path = join(folder, 'rotated.log');
  const log = new AccessLog({ target: path });
  for (let i = 0; i < 1000; i++) log.finished(exchangeRecord({ requestId: `before-${i}` }));
  await written(path, 'before-999');
  renameSync(path, `${path}.1`);
  log.finished(exchangeRecord({ requestId: 'to the old file' }));
  await written(`${path}.1`, 'to the old file');
  log.reopen();
  for (let i = 0; i < 1000; i++) log.finished(exchangeRecord({ requestId: `after-${i}` }));
  await log.close();
  assert.equal(lineCount(`${path}.1`), 1001);
  assert.equal(lineCount(path), 1000);
  assert.equal(log.droppedLines, 0);
});

for (const [what, target] of [
  ['a full disk', '/dev/full'],
  ['a folder that is not there', join(folder, 'none', 'access.log')],
] as const) {
  test(`${what} drops lines and counts them`, async () => {
    const log = new AccessLog({ target });
    for (let i = 0; i < 100; i++) log.finished(exchangeRecord({}));
    await log.close();
    assert.equal(log.droppedLines, 100);
    log.finished(exchangeRecord({}));
    assert.equal(log.droppedLines, 101);
  });
}

test('off writes nothing', async () => {
  const log = new AccessLog({ target: 'off' });
  log.finished(exchangeRecord({}));
  await log.close();
  assert.equal(log.droppedLines, 0);
});

test('a stdout that nobody reads costs lines, not the worker: whole lines are in the pipe, the rest is counted', async () => {
  const path = join(folder, 'stuck');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, 'r+');
  const child = logger(pipe);
  const [[{ dropped, turns }], [code]] = await Promise.all([once(child, 'message'), once(child, 'exit')]);
  assert.equal(code, 0);
  const buffer = Buffer.alloc(1024 * 1024);
  const text = buffer.toString('utf8', 0, readSync(pipe, buffer));
  closeSync(pipe);
  const lines = text.trimEnd().split('\n');
  for (const line of lines) assert.equal(JSON.parse(line).method, 'GET');
  assert.ok(dropped > 0);
  assert.equal(lines.length + dropped, 20_000);
  assert.equal(turns, 200);
});

test('two workers on one pipe do not cut into each other', async () => {
  const path = join(folder, 'shared');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, 'r+');
  const reader = fork(new URL('../kit/pipereader.ts', import.meta.url), [path], { execArgv: [] });
  await once(reader, 'message');
  const results = await Promise.all([logger(pipe), logger(pipe)].map((child) => once(child, 'message')));
  const told = once(reader, 'message');
  // The last writer is gone: the reader sees the end.
  closeSync(pipe);
  const [{ lines, bad }] = await told;
  assert.equal(bad, 0);
  assert.equal(lines + results.reduce((sum, [result]) => sum + result.dropped, 0), 40_000);
});

/** A process that logs 20,000 lines to the given stdout in 200 turns, and reports. */
function logger(stdout: number): ChildProcess {
  return fork(new URL('../kit/logger.ts', import.meta.url), [], {
    stdio: ['ignore', stdout, 'inherit', 'ipc'],
    execArgv: [],
  });
}

const lineCount = (path: string) => readFileSync(path, 'utf8').split('\n').length - 1;

/** Waits until a file holds a text. */
async function written(path: string, text: string): Promise<void> {
  while (!holds(path, text)) await new Promise((resolve) => setImmediate(resolve));
}

function holds(path: string, text: string): boolean {
  try {
    return readFileSync(path, 'utf8').includes(text);
  } catch {
    return false;
  }
}

/** Every line is a comment or a sample of the family above it, no sample comes twice, and counters are finite. */
function assertIsExposition(text: string): void {
  assert.ok(text.endsWith('\n'));
  const seen = new Set<string>();
  let family = '';
  for (const line of text.trimEnd().split('\n')) {
    const help = /^# HELP (\S+) \S/.exec(line);
    if (help) {
      family = help[1] as string;
      assert.match(family, /^sluice_[a-z_]+$/);
      assert.ok(!seen.has(`# ${family}`), `${family} stands in one place`);
      seen.add(`# ${family}`);
      continue;
    }
    if (line.startsWith('# TYPE ')) {
      assert.match(line, new RegExp(`^# TYPE ${family} (counter|gauge|histogram|summary)$`));
      if (line.endsWith('counter')) assert.match(family, /_total$/);
      continue;
    }
    const found = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$/.exec(line);
    assert.ok(found, line);
    assert.ok([family, `${family}_bucket`, `${family}_sum`, `${family}_count`].includes(found[1] as string), line);
    assert.ok(Number.isFinite(Number(found[3])), line);
    assert.ok(!seen.has(`${found[1]}${found[2]}`), `${line} comes twice`);
    seen.add(`${found[1]}${found[2]}`);
  }
}
