import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folderOf, type SourceFile, sourceFiles } from './sources.ts';

const files = sourceFiles(['controller', 'proxy']);

/** A rule names the arrows that it forbids; the message says what to do instead. */
function forbid(what: string, isForbidden: (file: SourceFile, target: string) => boolean): void {
  test(what, () => {
    const found = files.flatMap((file) =>
      file.imports.filter((target) => isForbidden(file, target)).map((target) => `${file.path} imports ${target}`),
    );
    assert.deepEqual(found, []);
  });
}

const pureFolders = [
  ...[
    'controller/translate',
    'controller/annotations',
    'controller/configmap',
    'controller/addresses',
    'controller/plan',
  ],
  ...['proxy/frame', 'proxy/match', 'proxy/filters', 'proxy/select'],
];

test('the walk sees imports', () => {
  const publish = files.find((file) => file.path === 'controller/pipeline.ts');
  assert.ok(publish && publish.imports.length > 3, 'controller/pipeline.ts has imports');
});

forbid('controller/ sees of proxy/ only the contract and the kit; explain/ also the matcher', (file, target) => {
  if (!file.path.startsWith('controller/') || !target.startsWith('proxy/')) return false;
  if (folderOf(file.path) === 'controller/explain' && folderOf(target) === 'proxy/match') return false;
  return folderOf(target) !== 'proxy/table' && folderOf(target) !== 'proxy/kit';
});

forbid('proxy/ imports nothing of controller/', (file, target) => {
  return file.path.startsWith('proxy/') && target.startsWith('controller/');
});

forbid('only controller/watch knows the API client', (file, target) => {
  return target.startsWith('@kubernetes/') && folderOf(file.path) !== 'controller/watch';
});

forbid('the table is a leaf: it imports only itself, the kit, zod and node:crypto', (file, target) => {
  if (folderOf(file.path) !== 'proxy/table') return false;
  return !['proxy/table', 'proxy/kit'].includes(folderOf(target)) && target !== 'zod' && target !== 'node:crypto';
});

forbid('the kit imports nothing', (file) => folderOf(file.path) === 'proxy/kit');

forbid('the middle is pure: no socket, timer, file, process or logger', (file, target) => {
  const impure =
    /^(node:(net|tls|http|https|http2|fs|child_process|cluster|timers|dns|dgram|worker_threads|process|os)|pino|undici)/;
  // createSecureContext opens nothing; only OpenSSL itself can tell whether it takes a key or a list of suites.
  const asksOpenSsl = ['certificates', 'authorities', 'ciphers'].map((name) => `controller/translate/${name}.ts`);
  if (asksOpenSsl.includes(file.path) && target === 'node:tls') return false;
  return pureFolders.includes(folderOf(file.path)) && impure.test(target);
});

forbid('only proxy/forward and proxy/probe open backend connections', (file, target) => {
  const openers = ['node:net', 'node:dgram', 'node:tls', 'undici', 'node:http', 'node:https', 'node:http2'];
  const allowed = [
    'proxy/forward',
    'proxy/probe',
    'proxy/carry',
    'proxy/listen',
    'proxy/receive',
    'proxy/observe',
    'proxy/edge',
    'proxy/announce',
    'proxy/speak',
    'proxy',
  ];
  return file.path.startsWith('proxy/') && openers.includes(target) && !allowed.includes(folderOf(file.path));
});

forbid('a connection of proxy/carry is opened by proxy/forward alone', (file, target) => {
  return (
    target === 'proxy/carry/connect.ts' && file.path.startsWith('proxy/') && folderOf(file.path) !== 'proxy/forward'
  );
});

forbid(
  'only edge and announce touch the kernel: nobody else starts programs, but speak its BIRD and the fleet its workers',
  (file, target) => {
    const starters = ['proxy/edge', 'proxy/announce', 'proxy/speak', 'proxy/fleet'];
    return target === 'node:child_process' && file.path.startsWith('proxy/') && !starters.includes(folderOf(file.path));
  },
);

test('the middle has no clock and no randomness of its own', () => {
  const found = files
    .filter((file) => pureFolders.includes(folderOf(file.path)))
    .filter((file) =>
      /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(|\bset(Timeout|Interval|Immediate)\(/.test(
        file.text,
      ),
    )
    .map((file) => file.path);
  assert.deepEqual(found, []);
});

test('traffic is decided by the monotonic clock: one that is set, or jumps, ends no connection and forgets nobody', () => {
  const folders = ['parse', 'frame', 'carry', 'listen', 'match', 'filters', 'select', 'forward', 'share'].map(
    (name) => `proxy/${name}`,
  );
  // A Date field and the times in logs are of the system's clock; nothing else asks it.
  const allowed = ['proxy/listen/clock.ts', 'proxy/listen/date.ts'];
  const found = files
    .filter((file) => folders.includes(folderOf(file.path)) && !allowed.includes(file.path))
    .filter((file) => /\bDate\.now\(|\bnew Date\(\)|\bperformance\.timeOrigin\b/.test(file.text))
    .map((file) => file.path);
  assert.deepEqual(found, []);
});

test('user text becomes a regex in proxy/match/regex.ts only', () => {
  const found = files
    .filter((file) => file.path.startsWith('proxy/') && file.path !== 'proxy/match/regex.ts')
    .filter((file) => /\bnew RegExp\(|(?<![\w.])RegExp\(/.test(file.text))
    .map((file) => file.path);
  assert.deepEqual(found, []);
});

test('a worker starts without schemas, for which the clients of one that crashed would wait, and without what sends spans', () => {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const reached = new Set<string>();
  const visit = (path: string) => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const target of byPath.get(path)?.loads ?? []) visit(target);
  };
  visit('proxy/worker.ts');
  assert.ok(reached.has('proxy/observe/spans.ts'));
  for (const lazy of ['proxy/observe/otlp.ts', 'undici', 'zod'])
    assert.ok(!reached.has(lazy), `a worker starts with ${lazy}`);
});
