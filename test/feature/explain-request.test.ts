import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { ingress, ingressClass, type Manifest, service, toYaml } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { eventually } from '../kit/wait.ts';

const launcher = resolve(import.meta.dirname, '../../sluice.js');

function sluice(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8' });
}

let recorder: Recorder;
let gateway: Standalone;
let folder = '';
let files: string[] = [];

function manifests(port: number): Manifest[] {
  const { metadata, ...rest } = ingress({
    name: 'shop',
    host: 'shop.example',
    paths: { '/': 'web', '/api': 'api', '=/exact': 'web', '/lost': 'nobody' },
    annotations: { 'proxy-read-timeout': '30', typo: '1' },
  });
  return [
    ingressClass(),
    {
      ...rest,
      metadata: {
        ...metadata,
        annotations: { ...metadata.annotations, 'nginx.ingress.kubernetes.io/proxy-body-size': '5m' },
      },
    },
    ingress({
      name: 'moved',
      host: 'moved.example',
      paths: { '/': 'web' },
      annotations: { 'permanent-redirect': 'http://shop.example/' },
    }),
    ingress({
      name: 'closed',
      host: 'closed.example',
      paths: { '/': 'web' },
      annotations: { 'whitelist-source-range': '192.0.2.0/24' },
    }),
    ingress({
      name: 'probed',
      host: 'probed.example',
      paths: { '/': 'probed' },
      annotations: { 'health-check-type': 'tcp' },
    }),
    ingress({ name: 'idle', host: 'idle.example', paths: { '/': 'idle' } }),
    ingress({ name: 'shared', host: 'shared.example', paths: { '/': 'web', '/api': 'web' } }),
    ingress({
      name: 'shared',
      namespace: 'guest',
      host: 'shared.example',
      paths: { '/api(.*)': 'web', '/.*': 'web' },
      annotations: { 'use-regex': 'true' },
    }),
    ingress({
      name: 'wide',
      host: '*.wide.example',
      paths: { '/': 'web' },
      annotations: { 'rewrite-target': '/inside' },
    }),
    ingress({
      name: 'grpc',
      host: 'grpc.example',
      paths: { '/': 'api' },
      annotations: { 'backend-protocol': 'GRPC', 'proxy-ssl-verify': 'on' },
    }),
    ...service('web', [port]),
    ...service('api', [port]),
    ...service('probed', [port]),
    ...service('idle', []),
  ] as Manifest[];
}

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  gateway = await Standalone.start({ manifests: manifests(recorder.port) });
  folder = mkdtempSync(join(tmpdir(), 'sluice-explain-'));
  writeFileSync(join(folder, 'all.yaml'), toYaml(manifests(recorder.port)));
  writeFileSync(
    join(folder, 'settings.yaml'),
    toYaml([
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'settings', namespace: 'sluice' },
        data: { 'proxy-send-timeout': '15' },
      },
    ]),
  );
  files = ['--file', join(folder, 'all.yaml'), '--client', '127.0.0.1'];
});

after(async () => {
  await gateway?.stop();
  await recorder?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const asked = [
  'http://shop.example/',
  'http://shop.example/api/v1?x=1',
  'http://shop.example/exact',
  'http://shop.example/lost/and/found',
  'http://shop.example/lost;x/and/found',
  'http://shop.example/Lost',
  'http://shop.example/a/%2e%2e/%2e%2e/b',
  'http://moved.example/x',
  'http://closed.example/',
  'http://idle.example/',
  'http://a.wide.example/deep/path',
  'http://a.b.wide.example/',
  'http://unknown.example/',
];
for (const url of asked) {
  test(`${url}: the gateway answers as explain says, from files and from its own tables`, async () => {
    const [, host = '', path = ''] = /^http:\/\/([^/]+)(.*)$/.exec(url) ?? [];
    const raw = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    const { status } = await exchange({ port: gateway.httpPort }, raw);
    const page = `http://127.0.0.1:${gateway.adminPort}/tables`;
    for (const from of [files, ['--tables', page, '--client', '127.0.0.1']]) {
      const told = sluice('explain', url, ...from);
      const expected =
        status === 200
          ? /^answer +of default\/web\/80$|^answer +of default\/api\/80$/m
          : new RegExp(`^answer +${status} \\S`, 'm');
      assert.match(told.stdout, expected, told.stderr);
      assert.equal(told.status, status < 400 ? 0 : 1);
    }
  });
}

test('methods that are not known are answered as the gateway does, whatever routes say', async () => {
  for (const method of ['TRACE', 'get', 'BREW']) {
    const raw = `${method} /api HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n`;
    const { status } = await exchange({ port: gateway.httpPort }, raw);
    const { stdout } = sluice('explain', 'shop.example/api', '--method', method, ...files);
    assert.match(stdout, new RegExp(`^answer +${status} `, 'm'), method);
  }
});

test('a body that is told to be too long is refused as the gateway does, whoever it is of', async () => {
  for (const [host, length] of [
    ['shop.example', 5_242_881],
    ['closed.example', 1_048_576],
    ['closed.example', 1_048_577],
  ] as const) {
    const raw = `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`;
    const { status } = await exchange({ port: gateway.httpPort }, raw);
    const { stdout } = sluice('explain', host, '--method', 'POST', '--header', `Content-Length: ${length}`, ...files);
    assert.match(stdout, new RegExp(`^answer +${status} `, 'm'));
  }
});

test('an Ingress of another class that names the host is told of', () => {
  const classes = ['--ingress-class', 'other', '--controller-class', 'other'];
  assert.doesNotMatch(sluice('explain', 'a.b.wide.example', ...classes, ...files).stdout, /ClassNotServed/);
  for (const name of ['shop.example', 'a.wide.example']) {
    const { status, stdout } = sluice('explain', name, ...classes, ...files);
    assert.match(
      stdout,
      /^answer +404 no host covers this name\nproblem +warning ClassNotServed: Ingress default\/\w+: /m,
    );
    assert.equal(status, 1);
  }
});

test('which route takes it, why the others do not, and what sets its settings', () => {
  const { stdout } = sluice(
    'explain',
    'shop.example/api/v1',
    ...files,
    '--file',
    folder,
    '--configmap',
    'sluice/settings',
  );
  assert.match(
    stdout,
    /^route +ingress\/default\/shop\/0\/1 \(Ingress default\/shop spec\.rules\[0\]\.http\.paths\[1\]\)$/m,
  );
  assert.match(
    stdout,
    /^not +ingress\/default\/shop\/0\/0: it accepts, too, and comes later: a longer path goes first$/m,
  );
  assert.match(stdout, /^not +ingress\/default\/shop\/0\/2: its path \/exact \(exact\) does not cover \/api\/v1$/m);
  assert.match(
    stdout,
    /^route +timeouts .*sendMs 15000\*, readMs 30000\*.* by proxy-send-timeout of ConfigMap sluice\/settings, sluice\.dev\/proxy-read-timeout of Ingress default\/shop\)$/m,
  );
  assert.match(
    stdout,
    /^route +bodyLimit 5242880\* \(\* by nginx\.ingress\.kubernetes\.io\/proxy-body-size of Ingress default\/shop\)$/m,
  );
  assert.match(stdout, /^endpoint +127\.0\.0\.1:\d+, ready$/m);
  assert.match(stdout, /^problem +warning AnnotationUnknown: Ingress default\/shop /m);
});

test('of a backend that is spoken to otherwise nothing else is told to be set', () => {
  const { stdout } = sluice('explain', 'grpc.example', ...files);
  assert.match(stdout, /^backend +protocol "h2c"\* \(\* by sluice\.dev\/backend-protocol of Ingress default\/grpc\)$/m);
  assert.match(stdout, /^backend +balance algorithm "least-request"$/m);
});

test('why expressions of others come later', () => {
  const { stdout } = sluice('explain', 'shared.example/api', ...files);
  const reasonOf = (path: number) =>
    new RegExp(`^not +ingress/guest/shared/0/${path}: it accepts, too, and comes later: (.*)$`, 'm').exec(stdout)?.[1];
  assert.equal(reasonOf(0), 'a prefix goes before a pattern that says as much');
  assert.equal(reasonOf(1), 'what surely says more goes first');
});

test('tables of a proxy tell the health of endpoints, too; a file of them does for the rest', async () => {
  const page = `http://127.0.0.1:${gateway.adminPort}/tables`;
  assert.match(
    sluice('explain', 'shop.example', '--tables', page).stdout,
    /^endpoint .*, ready, 0 in flight, 0 of \d+ failed$/m,
  );
  assert.match(
    sluice('explain', 'probed.example', '--tables', page).stdout,
    /^endpoint .*, ready, healthy, 0 in flight, 0 of \d+ failed$/m,
  );
  const saved = join(folder, 'tables.json');
  writeFileSync(saved, await gateway.admin('/tables'));
  assert.match(sluice('explain', 'shop.example', '--tables', saved).stdout, /^endpoint .*, ready$/m);
});

/** What is told of shop.example by these tables and no page of health. */
async function toldWith(tables: string, problems: string): Promise<string> {
  const pages: Readonly<Record<string, string>> = { '/tables': tables, '/problems': problems };
  const server = createServer((request, response) => response.end(pages[request.url ?? ''] ?? '<html>'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const page = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tables`;
  const args = [launcher, 'explain', 'http://shop.example/', '--tables', page];
  return (await promisify(execFile)(process.execPath, args).finally(() => server.close())).stdout;
}

test('where another page stands in the place of health and problems, the tables are told without', async () => {
  assert.match(await toldWith(await gateway.admin('/tables'), '<html>'), /^answer +of default\/web\/80$/m);
});

test('a problem in the form of another release hides no other', async () => {
  const problems = [{ code: 'OfTomorrow' }, ...(JSON.parse(await gateway.admin('/problems')) as object[])];
  const told = await toldWith(await gateway.admin('/tables'), JSON.stringify(problems));
  assert.match(told, /^problem +warning AnnotationUnknown: Ingress default\/shop /m);
});

test('who may come is not guessed; a rewritten path is told', () => {
  const all = ['--file', join(folder, 'all.yaml')];
  assert.match(sluice('explain', 'closed.example', ...all).stdout, /^client +who may come is limited by address/m);
  assert.match(
    sluice('explain', 'closed.example', ...all, '--client', '192.0.2.9').stdout,
    /^answer +of default\/web\/80$/m,
  );
  assert.match(sluice('explain', 'a.wide.example/x', ...all).stdout, /^backend +sees the path \/inside$/m);
});

test('classes of another controller are served when the flag says so, as by a controller', () => {
  const file = join(folder, 'adopted.yaml');
  const text = toYaml(manifests(recorder.port)).replaceAll('sluice.dev/ingress-controller', 'k8s.io/ingress-nginx');
  writeFileSync(
    file,
    text.replaceAll('ingressClassName: sluice', 'ingressClassName: nginx').replace(/name: sluice$/m, 'name: nginx'),
  );
  assert.match(sluice('explain', 'shop.example', '--file', file).stdout, /^answer +404 /m);
  const adopted = sluice('explain', 'shop.example', '--file', file, '--adopt-controller-class', 'k8s.io/ingress-nginx');
  assert.match(adopted.stdout, /^answer +of default\/web\/80$/m);
});

test('of manifests that are there twice explain takes those that the gateway takes', async () => {
  const twice = (name: string, to: string) =>
    ingress({ name: 'twice', host: 'twice.example', paths: { '/': to }, annotations: { 'app-root': `/${name}` } });
  const written: [file: string, to: string][] = [
    ['a/b.yaml', 'api'],
    ['a-b.yaml', 'web'],
  ];
  const files = join(gateway.dir, 'twice');
  mkdirSync(join(files, 'a'), { recursive: true });
  for (const [file, to] of written) writeFileSync(join(files, file), toYaml([ingressClass(), twice(file, to)]));
  const location = await eventually(async () => {
    const response = await exchange({ port: gateway.httpPort }, get('/', 'twice.example'));
    return response.status === 302 ? fieldValue(response, 'location') : undefined;
  }, 'the new manifests to be in force');
  assert.match(location, /\/a-b\.yaml$/);
  const { stdout } = sluice('explain', 'http://twice.example/', '--file', files);
  assert.match(stdout, new RegExp(`^answer +302 to ${location}$`, 'm'));
});

test('what cannot be asked is one line', () => {
  const utf16 = join(folder, 'utf16.txt');
  writeFileSync(utf16, '\uFEFF{}', 'utf16le');
  const cases: [args: string[], line: RegExp][] = [
    [['ftp://x/'], /^error: ftp:\/\/x\/ is no URL of http or https\n$/],
    [['x.example', '--listener', 'no'], /^error: there is no listener no; there is: http, https\n$/],
    [['x.example', '--tables', utf16], /^error: \S+ cannot be read: it is not text in UTF-8\n$/],
    [['x.example', '--header', 'none'], /^error: the header none is not written as 'name: value'\n$/],
    [['x.example', '--tables', join(folder, 'all.yaml')], /^error: these are no tables of a proxy of this release\n$/],
  ];
  for (const [args, line] of cases) {
    const { status, stderr } = sluice('explain', ...args, ...(args.includes('--tables') ? [] : files));
    assert.deepEqual([status, line.test(stderr)], [1, true], stderr);
  }
});

test('diff: rows, their sources, their fields and the problems; exit codes as of diff', () => {
  const [all, other] = [join(folder, 'all.yaml'), join(folder, 'other.yaml')];
  const text = toYaml(manifests(recorder.port));
  writeFileSync(
    other,
    text.replace('/proxy-read-timeout: "30"', '/proxy-read-timeout: "40"').replace('name: nobody', 'name: web'),
  );
  const { status, stdout, stderr } = sluice('diff', '--from', all, '--to', other);
  assert.equal(status, 1, stderr);
  assert.match(
    stdout,
    /^~ route ingress\/default\/shop\/0\/0 \(Ingress default\/shop spec\.rules\[0\]\.http\.paths\[0\]\)\n {4}timeouts\.readMs 30000 → 40000\n/m,
  );
  assert.match(stdout, /^- backend default\/nobody\/80 /m);
  assert.match(stdout, /^- problem error +ServiceNotFound: /m);
  assert.deepEqual(
    [sluice('diff', '--from', all, '--to', all).status, sluice('diff', '--from', all, '--to', all).stdout],
    [0, ''],
  );
  const failed = sluice('diff', '--from', all, '--to', '/does/not/exist.yaml');
  assert.deepEqual([failed.status, /^error: .+ cannot be read: .+\n$/.test(failed.stderr)], [2, true], failed.stderr);
});
