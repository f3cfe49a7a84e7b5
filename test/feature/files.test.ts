import assert from 'node:assert/strict';
import { appendFileSync, existsSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { watchFiles } from '../../controller/watch/files.ts';
import type { Source } from '../../controller/watch/source.ts';
import type { ViewUpdate } from '../../controller/watch/view.ts';

let dir: string;
let source: Source | null = null;
let updates: ViewUpdate[] = [];
let wake: (() => void) | null = null;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sluice-files-'));
});

afterEach(async () => {
  source?.stop();
  source = null;
  updates = [];
  await rm(dir, { recursive: true, force: true });
});

const service = (name: string, port = 80) =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {ports: [{port: ${port}}]}\n`;
const write = (name: string, text: string) => writeFile(join(dir, name), text);
const portOf = (update: ViewUpdate, name: string) =>
  update.view.get('Service', `default/${name}`)?.spec.ports[0]?.port ?? null;

function start(folder = dir): void {
  source = watchFiles({
    dir: folder,
    onUpdate: (update) => {
      updates.push(update);
      wake?.();
    },
  });
}

/** The first update, from now on or not yet taken, of which this is true. The test's own time limit ends a wait in vain. */
async function updateWhere(isIt: (update: ViewUpdate) => boolean): Promise<ViewUpdate> {
  for (;;) {
    while (updates.length > 0) {
      const update = updates.shift() as ViewUpdate;
      if (isIt(update)) return update;
    }
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

test('reads documents, lists, JSON and folders; fills in what an API server would', async () => {
  await mkdir(join(dir, 'below'));
  await write('below/a.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [JSON.parse(secretJson)] }));
  await write('b.yaml', `${service('one')}---\n# nothing\n---\n${service('two', 81)}`);
  await write('notes.txt', 'not: [a manifest');
  start();
  const { view, unreadable, changes } = await updateWhere(() => true);
  assert.deepEqual(unreadable, []);
  assert.deepEqual(changes.map(({ key }) => key).sort(), ['default/one', 'default/two', 'shop/tls']);
  const secret = view.get('Secret', 'shop/tls');
  assert.equal(secret?.data['a'], Buffer.from('plain').toString('base64'));
  assert.equal(secret?.data['b'], 'Yg==');
  assert.equal(secret?.metadata.creationTimestamp, '');
});

const secretJson =
  '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"tls","namespace":"shop","creationTimestamp":null},"data":{"b":"Yg=="},"stringData":{"a":"plain"}}';

test('create, edit, rename and delete are seen, and only what changed is reported', { timeout: 20_000 }, async () => {
  await write('a.yaml', `${service('kept')}---\n${service('edited')}`);
  start();
  await updateWhere(({ changes }) => changes.length === 2);
  await write('a.yaml', `${service('kept')}---\n${service('edited', 8080)}`);
  const edit = await updateWhere((update) => portOf(update, 'edited') === 8080);
  assert.deepEqual(edit.changes, [{ kind: 'Service', key: 'default/edited' }]);
  await write('new.yaml', service('new'));
  await updateWhere((update) => portOf(update, 'new') === 80);
  await rename(join(dir, 'new.yaml'), join(dir, 'moved.yaml'));
  await write('moved.yaml', service('new', 99));
  await updateWhere((update) => portOf(update, 'new') === 99);
  await unlink(join(dir, 'moved.yaml'));
  const gone = await updateWhere((update) => portOf(update, 'new') === null);
  assert.deepEqual(gone.changes, [{ kind: 'Service', key: 'default/new' }]);
});

test('a file that is written anew piece by piece loses nothing meanwhile', { timeout: 20_000 }, async () => {
  const first = [1, 2, 3].map((n) => service(`s${n}`)).join('---\n');
  await write('a.yaml', `${first}#${' '.repeat(1_000_000)}`);
  start();
  await updateWhere((update) => portOf(update, 's3') === 80);
  const path = join(dir, 'a.yaml');
  const scannedMs = () => performance.now() - (source?.state()['File']?.lastEventAgeMs ?? 0);
  writeFileSync(path, `${service('s1', 81)}#`);
  // As long as it takes to be looked at some times.
  for (let looks = 0, atMs = scannedMs(); looks < 6; ) {
    appendFileSync(path, ' ');
    await setImmediate();
    if (scannedMs() - atMs < 10) continue;
    atMs = scannedMs();
    looks++;
  }
  writeFileSync(path, first.replaceAll('80', '82'));
  const update = await updateWhere(() => true);
  assert.deepEqual(
    ['s1', 's2', 's3'].map((name) => portOf(update, name)),
    [82, 82, 82],
  );
  assert.equal(update.changes.length, 3);
});

test('the swap of a mounted ConfigMap is one change', { timeout: 20_000 }, async () => {
  await mkdir(join(dir, '..one'));
  await mkdir(join(dir, '..two'));
  await write('..one/a.yaml', `${service('a', 1)}---\n${service('b', 1)}`);
  await write('..two/a.yaml', `${service('a', 2)}---\n${service('b', 2)}`);
  await symlink('..one', join(dir, '..data'));
  await symlink('..data/a.yaml', join(dir, 'a.yaml'));
  start();
  await updateWhere((update) => portOf(update, 'a') === 1);
  await symlink('..two', join(dir, '..data_tmp'));
  await rename(join(dir, '..data_tmp'), join(dir, '..data'));
  const swapped = await updateWhere((update) => portOf(update, 'a') === 2);
  assert.equal(portOf(swapped, 'b'), 2);
  assert.equal(swapped.changes.length, 2);
});

/** Resolves at the end of a scan. */
async function scanned(): Promise<void> {
  const atMs = () => Math.round(performance.now() - (source?.state()['File']?.lastEventAgeMs ?? 0));
  for (const before = atMs(); atMs() - before < 10; ) await setImmediate();
}

/** Moves things, again when the scan that follows is under way, and then lets the folder rest. */
async function moveWhileScanned(move: () => void): Promise<void> {
  for (let round = 0; round < 6; round++) {
    move();
    for (const sinceMs = performance.now(); performance.now() - sinceMs < 33 + 3 * round; ) await setImmediate();
    move();
    for (let scans = 0; scans < 3; scans++) await scanned();
  }
}

const many = Array.from({ length: 400 }, (_, n) => `m${n}.yaml`);

test('a file that is renamed while the folder is read is not lost', { timeout: 60_000 }, async () => {
  for (const name of many) await write(name, service(name.slice(0, -5)));
  const [first, last] = [join(dir, 'a.yaml'), join(dir, 'z.yaml')];
  await write('a.yaml', service('moving'));
  start();
  await updateWhere((update) => portOf(update, 'moving') === 80);
  await moveWhileScanned(() => (existsSync(first) ? renameSync(first, last) : renameSync(last, first)));
  assert.deepEqual(updates, []);
});

test('a ConfigMap that is swapped while it is read is read whole', { timeout: 60_000 }, async () => {
  for (const folder of ['..one', '..two']) {
    await mkdir(join(dir, folder));
    for (const name of many) await write(`${folder}/${name}`, service(name.slice(0, -5)));
    await write(`${folder}/a.yaml`, folder === '..one' ? service('moving') : '');
    await write(`${folder}/z.yaml`, folder === '..one' ? '' : service('moving'));
  }
  await symlink('..one', join(dir, '..data'));
  for (const name of ['a.yaml', 'z.yaml', ...many]) await symlink(`..data/${name}`, join(dir, name));
  start();
  await updateWhere((update) => portOf(update, 'moving') === 80);
  let next = '..two';
  await moveWhileScanned(() => {
    symlinkSync(next, join(dir, '..data_tmp'));
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
    next = next === '..two' ? '..one' : '..two';
  });
  assert.deepEqual(updates, []);
});

test('a syntax error names file, line and column, and the last good state stays', { timeout: 20_000 }, async () => {
  await write('a.yaml', service('a'));
  await write('b.yaml', service('b'));
  start();
  await updateWhere(({ changes }) => changes.length === 2);
  await write('a.yaml', 'apiVersion: v1\nkind: Secret\nstringData: {password: "hunter2\n  - ]');
  const broken = await updateWhere(({ unreadable }) => unreadable.length > 0);
  const [problem] = broken.unreadable;
  assert.equal(problem?.code, 'FileMalformed');
  assert.equal(problem?.name, 'a.yaml');
  assert.match(problem?.field ?? '', /^[34]:\d+$/);
  assert.doesNotMatch(problem?.message ?? '', /hunter2/);
  assert.equal(portOf(broken, 'a'), 80);
  await write('a.yaml', service('a', 81));
  const mended = await updateWhere(({ unreadable }) => unreadable.length === 0);
  assert.equal(portOf(mended, 'a'), 81);
});

test('wrong types, unknown kinds and unknown fields of ours are problems of their own and hurt nothing else', async () => {
  const bad = 'apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: eighty}]}\n';
  const old = 'apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: old}\n';
  const deployment = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n';
  const list = 'apiVersion: v1\nkind: List\nitems: [1]\n';
  const nameless = 'apiVersion: v1\nkind: Service\nmetadata: [1, 2]\n';
  const pool = `apiVersion: sluice.dev/v1\nkind: AddressPool\nmetadata: {name: p}\nspec: {addresses: [192.0.2.0/24], typo: 1}\n`;
  await write('a.yaml', [bad, old, deployment, list, nameless, pool, service('good')].join('---\n'));
  start();
  const update = await updateWhere(() => true);
  assert.deepEqual(
    update.unreadable.map(({ code, kind, name, field }) => [code, kind, name, field]),
    [
      ['ObjectMalformed', 'Service', 'bad', 'spec.ports[0].port'],
      ['ObjectMalformed', 'Ingress', 'old', 'apiVersion'],
      ['KindUnknown', 'List', '', 'kind'],
      ['ObjectMalformed', 'Service', '', 'metadata'],
      ['FieldUnknown', 'AddressPool', 'p', 'spec.typo'],
      ['KindUnknown', 'Deployment', 'd', 'kind'],
    ],
  );
  assert.ok(update.view.get('AddressPool', '/p'));
  assert.equal(portOf(update, 'good'), 80);
});

test('binary garbage and endless aliases are problems of their file', async () => {
  await write(
    'garbage.yaml',
    Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 37) % 256)).toString('latin1'),
  );
  const laughs = [
    'a0: &a0 [x]',
    ...Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(9)}]`),
  ];
  await write('laughs.yaml', laughs.join('\n'));
  await write('inward.yaml', `${service('inward')}x: &a [*a]\n`);
  await write('scalar.yaml', 'just words');
  await write('good.yaml', service('good'));
  start();
  const update = await updateWhere(() => true);
  const malformed = update.unreadable.filter(({ code }) => code === 'FileMalformed');
  assert.deepEqual(
    malformed.map(({ name }) => name),
    ['garbage.yaml', 'inward.yaml', 'laughs.yaml', 'scalar.yaml'],
  );
  assert.equal(malformed[1]?.message, 'inward.yaml line 1, column 1: an alias cannot be resolved');
  assert.equal(portOf(update, 'good'), 80);
});

test('the same object in two files: the first by name is used, the other is reported', {
  timeout: 20_000,
}, async () => {
  await write('b.yaml', service('a', 2));
  await write('a.yaml', service('a', 1));
  start();
  const both = await updateWhere(() => true);
  assert.equal(portOf(both, 'a'), 1);
  assert.deepEqual(
    both.unreadable.map(({ code }) => code),
    ['ObjectDuplicate'],
  );
  await unlink(join(dir, 'a.yaml'));
  const one = await updateWhere(({ unreadable }) => unreadable.length === 0);
  assert.equal(portOf(one, 'a'), 2);
});

test('a folder that is not there yet is a problem, and is read when it comes', { timeout: 20_000 }, async () => {
  const later = join(dir, 'later');
  start(later);
  const missing = await updateWhere(() => true);
  assert.deepEqual(
    missing.unreadable.map(({ code }) => code),
    ['FileMalformed'],
  );
  await mkdir(later);
  await write('later/a.yaml', service('a'));
  const found = await updateWhere((update) => portOf(update, 'a') === 80);
  assert.deepEqual(found.unreadable, []);
});

test('links that lead back up are followed once', { timeout: 20_000 }, async () => {
  await mkdir(join(dir, 'below'));
  await write('below/a.yaml', service('a'));
  for (const name of ['one', 'two', 'three']) await symlink('..', join(dir, 'below', name));
  start();
  const update = await updateWhere(() => true);
  assert.equal(portOf(update, 'a'), 80);
  assert.deepEqual(update.unreadable, []);
});

test('a folder below, or a file, that cannot be read for now is told, and keeps what it said', {
  timeout: 20_000,
}, async () => {
  const isRoot = process.geteuid?.() === 0;
  await chmod(dir, 0o755);
  for (const name of ['below', 'closed']) await mkdir(join(dir, name));
  await write('below/a.yaml', service('a'));
  await write('b.yaml', service('b'));
  // Of what is there twice it stays the first, too.
  await write('c.yaml', service('a', 81));
  start();
  await updateWhere((update) => portOf(update, 'a') === 80 && portOf(update, 'b') === 80);
  for (const name of ['below', 'closed', 'b.yaml']) await chmod(join(dir, name), 0);
  // Root may read everything; nobody (65534 by convention) may not.
  if (isRoot) process.seteuid?.(65_534);
  try {
    const update = await updateWhere(({ unreadable }) => unreadable.length === 4);
    const told = update.unreadable.map(({ code, name }) => `${code} ${name}`);
    assert.deepEqual(told.sort(), [
      ...['FileMalformed b.yaml', 'FileMalformed below', 'FileMalformed closed'],
      'ObjectDuplicate a',
    ]);
    assert.deepEqual([portOf(update, 'a'), portOf(update, 'b')], [80, 80]);
  } finally {
    if (isRoot) process.seteuid?.(0);
    for (const name of ['below', 'closed', 'b.yaml']) await chmod(join(dir, name), 0o700);
  }
  const update = await updateWhere(({ unreadable }) => unreadable.length === 1);
  assert.deepEqual([portOf(update, 'a'), portOf(update, 'b')], [80, 80]);
});

test('a file that is not UTF-8 is told, and not guessed at', { timeout: 20_000 }, async () => {
  await writeFile(join(dir, 'latin1.yaml'), Buffer.from(`${service('a')}# caf\u00e9\n`, 'latin1'));
  await writeFile(join(dir, 'windows.yaml'), Buffer.from(`\ufeff${service('b')}`, 'utf16le'));
  await write('mark.yaml', `\ufeff${service('c').replaceAll('\n', '\r\n')}`);
  start();
  const update = await updateWhere(() => true);
  assert.deepEqual(
    update.unreadable.map(({ message }) => message),
    ['latin1', 'windows'].map((name) => `${name}.yaml cannot be read: it is not text in UTF-8`),
  );
  assert.deepEqual([portOf(update, 'a'), portOf(update, 'c')], [null, 80]);
});
