import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { rootCertificates } from 'node:tls';
import fc from 'fast-check';
import { checkPointers } from '#table/check.ts';
import type { ClientAuth } from '#table/clientauth.ts';
import { emptyTable, type Row, type RowRef, type Table, tableContract } from '#table/rows.ts';
import type { UpstreamTls } from '#table/upstreamtls.ts';
import { applyDelta, deltaFromNothing, deltaOf } from '../../proxy/receive/delta.ts';
import { TableDisk } from '../../proxy/receive/disk.ts';
import { Intake } from '../../proxy/receive/intake.ts';
import { Memory } from '../../proxy/receive/memory.ts';
import { TimeGuard } from '../../proxy/receive/order.ts';
import { faultsOf } from '../../proxy/receive/validate.ts';
import { Authority } from '../kit/authority.ts';
import { certificateFor } from '../kit/certificate.ts';
import { quiet } from '../kit/quiet.ts';
import { certificateRow, plainTable, plainTls, row, snapshot } from '../kit/rows.ts';

function tableOf(rows: readonly Row[]): Table {
  const table = emptyTable();
  applyDelta(table, { upserts: [...rows], deletes: [] });
  return table;
}

test('a change and what takes it back leave no trace, and a snapshot is reduced to its differences', () => {
  const anyRow = fc
    .record({ id: fc.constantFrom('a', 'b', 'c'), hostname: fc.constantFrom('x.test', 'y.test') })
    .map(({ id, hostname }) => row('host', { id, hostname }));
  const anySecret = fc.record({ id: fc.constantFrom('a', 'b'), value: fc.constantFrom('1', '2') });
  const anyRows = fc.array(
    fc.oneof(
      anyRow,
      anySecret.map((fields) => row('secret', fields)),
    ),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(anyRows, anyRows, fc.boolean(), (before, upserts, isSnapshot) => {
      const table = tableOf(before);
      const copy = structuredClone(table);
      const deletes: RowRef[] = isSnapshot ? [] : [{ kind: 'host', id: 'c' }];
      const delta = deltaOf(table, { isSnapshot, upserts, deletes });
      const inverse = applyDelta(table, delta);
      if (isSnapshot) assert.deepEqual(table, tableOf(upserts));
      assert.deepEqual(deltaOf(table, { isSnapshot, upserts, deletes }).upserts, []);
      applyDelta(table, inverse);
      assert.deepEqual(table, copy);
    }),
  );
});

test('a table whose saving waits for a change is on disk when the process may end', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  t.after(() => rm(dir, { recursive: true }));
  const disk = await TableDisk.open({ contract: tableContract, dir, keyFile: null });
  const memory = new Memory(disk, quiet);
  const intake = new Intake({
    contract: tableContract,
    guard: new TimeGuard(0),
    log: quiet,
    nowMs: () => 0,
    faultsOf: () => [],
    spread: async () => {},
    notApplied: () => assert.fail('a change that nobody has to apply'),
    onForce: async () => {},
  });
  await intake.take(snapshot([row('secret', { id: 'a', value: '1' })]));
  const change = Promise.withResolvers<void>();
  void intake.inTurn(() => change.promise);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  memory.changed(intake);
  t.mock.timers.tick(1_000);
  const closed = memory.close(intake);
  change.resolve();
  await closed;
  assert.equal((await disk.load())?.upserts.length, 1);
});

test('a pointer that leads nowhere is found, whether its target went or never came', () => {
  const rows = [
    ...plainTable([]),
    row('secret', { id: 'ca', value: 'PEM' }),
    certificateRow('client', [], { cert: 'PEM', key: 'PEM' }),
    row('backend', {
      id: 'b2',
      tls: { ...plainTls, verify: { caSecretId: 'ca', names: ['b2.test'], depth: 1 }, certificateId: 'client' },
    }),
  ];
  rows.push(row('listener', { id: 'tcp', protocol: 'tcp' }), row('l4route', { id: 'l4' }));
  const table = tableOf(rows);
  const all = rows.map(({ kind, row: { id } }) => ({ kind, id }));
  assert.deepEqual(checkPointers(tableContract, table, all, []), []);
  const targets: RowRef[] = [
    { kind: 'listener', id: 'http' },
    { kind: 'listener', id: 'tcp' },
    { kind: 'host', id: 'h' },
    { kind: 'backend', id: 'b' },
    { kind: 'secret', id: 'ca' },
    { kind: 'certificate', id: 'client' },
  ];
  for (const target of targets) {
    const broken = tableOf(rows);
    broken[target.kind].delete(target.id);
    const ofDelete = checkPointers(tableContract, broken, [], [target]);
    assert.ok(ofDelete.length > 0, `the loss of ${target.kind} ${target.id} is seen`);
    assert.ok(ofDelete.every((problem) => problem.code === 'PointerBroken' && problem.message.includes(target.id)));
    const others = all.filter(({ kind, id }) => kind !== target.kind || id !== target.id);
    assert.equal(checkPointers(tableContract, broken, others, []).length, ofDelete.length);
  }
});

test('patterns and keys that no worker could use are found in what changed', async () => {
  const good = await certificateFor(['a.test']);
  const other = await certificateFor(['a.test']);
  const path = { type: 'regex', value: '/(a', ignoreCase: false, place: null } as const;
  const upserts = [
    row('route', { id: 'r', hostIds: [], backends: [], match: { path, methods: null, headers: [], query: [] } }),
    certificateRow('good', ['a.test'], good),
    certificateRow('mixed', ['a.test'], { cert: good.cert, key: other.key }),
    certificateRow('garbage', ['a.test'], { cert: 'no PEM', key: 'no PEM' }),
  ];
  const problems = faultsOf(tableOf(upserts), { upserts, deletes: [] });
  assert.deepEqual(problems.map((problem) => problem.code).sort(), [
    'CertificateUnusable',
    'CertificateUnusable',
    'PatternUnusable',
  ]);
  assert.ok(!JSON.stringify(problems).includes(other.key.split('\n')[1] ?? ''), 'no key material is told');
});

const clientAuth = {
  mode: 'require' as const,
  caSecretId: 'ca',
  crlSecretId: null,
  depth: 1,
  subject: null,
  errorPage: null,
  passesCertificate: false,
  clearPrefixes: [],
};

test('TLS that no worker could speak as it was asked for is found: never is it spoken with less', async () => {
  const root = await Authority.root();
  const backend = (id: string, fields: Partial<UpstreamTls>) =>
    row('backend', { id, protocol: 'https', tls: { ...plainTls, ...fields } });
  const verified = (id: string, caSecretId: string | null) =>
    backend(id, { verify: { caSecretId, names: ['a.test'], depth: 1 } });
  const asking = (id: string, fields: Partial<ClientAuth>) =>
    row('host', { id, clientAuth: { ...clientAuth, ...fields } });
  const upserts = [
    row('listener', { id: 'http' }),
    row('secret', { id: 'ca', value: root.cert }),
    row('secret', { id: 'empty', value: '' }),
    verified('good', 'ca'),
    verified('public', null),
    verified('by nobody', 'empty'),
    verified('by a bundle that is not there', 'gone'),
    backend('without its certificate', { certificateId: 'gone' }),
    backend('without suites', { ciphers: 'NOPE' }),
    asking('fine', {}),
    asking('asks by nobody', { caSecretId: 'empty' }),
    asking('with a pattern that is none', { subject: 'CN=(' }),
    row('host', { id: 'host without suites', ciphers: 'NOPE' }),
  ];
  const problems = faultsOf(tableOf(upserts), { upserts, deletes: [] });
  const found = problems.filter(({ code }) => code !== 'PointerBroken');
  assert.deepEqual(
    found.map(({ code, message }) => `${code} ${/row (.*?) (?:cannot|are)/.exec(message)?.[1] ?? ''}`.trim()).sort(),
    [
      'CiphersUnusable host without suites',
      'ClientAuthUnusable asks by nobody',
      'PatternUnusable',
      'UpstreamTlsUnusable by a bundle that is not there',
      'UpstreamTlsUnusable by nobody',
      'UpstreamTlsUnusable without its certificate',
      'UpstreamTlsUnusable without suites',
    ],
  );
  // A bundle changes under the hosts that ask for it, too.
  const changed = [row('secret', { id: 'ca', value: '' })];
  const hosts = faultsOf(tableOf([...upserts, ...changed]), { upserts: changed, deletes: [] });
  assert.deepEqual(
    hosts.filter(({ code }) => code === 'ClientAuthUnusable').map(({ message }) => /row (.*?) are/.exec(message)?.[1]),
    ['fine'],
  );
});

test('a bundle that many hosts ask clients by is read once when it changes', () => {
  const bundle = row('secret', { id: 'ca', value: rootCertificates.join('\n') });
  const cpuOf = (count: number) => {
    const hosts = Array.from({ length: count }, (_, nth) => row('host', { id: `${nth}`, clientAuth }));
    const table = tableOf([...hosts, bundle]);
    const before = process.cpuUsage();
    assert.deepEqual(faultsOf(table, { upserts: [bundle], deletes: [] }), []);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  const least = (count: number) => Math.min(...[0, 1, 2].map(() => cpuOf(count)));
  // In CPU, compared with itself: to read it for each would take two hundred times as much.
  const [ofOne, ofMany] = [least(1), least(200)];
  assert.ok(ofMany < ofOne * 20, `${ofMany} µs for many, ${ofOne} µs for one`);
});

test('an L4 route on a listener that can do nothing with it is found', () => {
  const names = { hostnames: ['a.test'] };
  const upserts = [
    ...(['http', 'https', 'tcp', 'udp'] as const).map((id) => row('listener', { id, protocol: id })),
    row('l4route', { id: 'fits', listenerIds: ['https', 'tcp'], backends: [], ...names }),
    row('l4route', { id: 'plain', listenerIds: ['tcp', 'udp'], backends: [] }),
    row('l4route', { id: 'of http', listenerIds: ['http'], backends: [] }),
    row('l4route', { id: 'names of udp', listenerIds: ['udp'], backends: [], ...names }),
  ];
  const problems = faultsOf(tableOf(upserts), { upserts, deletes: [] });
  assert.deepEqual(
    problems.map(({ code, message }) => `${code} ${/row (.*) is of no use/.exec(message)?.[1]}`),
    ['ListenerUnfit of http', 'ListenerUnfit names of udp'],
  );
});

test('a sender that has seen less than the table holds is refused, until it is the only one for long', () => {
  const guard = new TimeGuard(1_000);
  const commit = (seen: Record<string, number>) => snapshot([], { seen }).commit;
  assert.equal(guard.refusal(commit({ Ingress: 5 }), 0), null);
  guard.tookForce({ Ingress: 5, Service: 7 });
  assert.equal(guard.refusal(commit({ Ingress: 5, Service: 7 }), 0), null);
  assert.equal(guard.refusal(commit({ Ingress: 9, Service: 6 }), 0)?.code, 'TableFromThePast');
  assert.equal(guard.refusal(commit({ Ingress: 9 }), 999)?.code, 'TableFromThePast');
  assert.equal(guard.refusal(commit({}), 999), null, 'files count nothing');
  assert.equal(
    guard.refusal(commit({ Ingress: 9, Service: 6 }), 1_500)?.code,
    'TableFromThePast',
    'the time starts anew',
  );
  assert.equal(guard.refusal(commit({ Ingress: 9, Service: 6 }), 2_500), null);
  guard.tookForce({ 'Ingress team': 7 });
  assert.match(
    guard.refusal(commit({ Ingress: 6 }), 3_000)?.message ?? '',
    /has seen Ingress team up to 6; .* holds 7\./,
  );
});

test('tables on disk come back whole, hide their secrets, and refuse to load when touched', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  try {
    const pair = await certificateFor(['a.test']);
    const rows = [...plainTable([{ address: '127.0.0.1', port: 81 }]), certificateRow('c', ['a.test'], pair)];
    const { commit } = snapshot(rows, { seen: { Ingress: 3 }, holds: { Ingress: 2 } });
    const disk = await TableDisk.open({ contract: tableContract, dir, keyFile: null });
    assert.equal(await disk.load(), null);
    await disk.write(disk.take(tableOf(rows), commit));

    const file = join(dir, 'tables.json');
    const text = await readFile(file, 'utf8');
    for (const path of [file, join(dir, 'tables.key')]) assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.ok(!text.includes('PRIVATE KEY') && !text.includes(Buffer.alloc(32, 7).toString('base64')));

    const again = await (await TableDisk.open({ contract: tableContract, dir, keyFile: null })).load();
    assert.deepEqual(again?.commit, commit);
    assert.deepEqual(tableOf(again.upserts), tableOf(rows));

    const elsewhere = await mkdtemp(join(dir, 'other-'));
    const other = await TableDisk.open({ contract: tableContract, dir: elsewhere, keyFile: null });
    await other.write(other.take(tableOf(rows), commit));
    const foreign = await readFile(join(elsewhere, 'tables.json'), 'utf8');
    const mixed = { ...JSON.parse(text), rows: JSON.parse(text).rows.slice(1) };
    const ofOtherRows = { ...JSON.parse(text), commit: { ...commit, hash: snapshot(rows.slice(1)).commit.hash } };
    for (const damaged of [text.slice(0, -20), '', '{}', foreign, JSON.stringify(mixed), JSON.stringify(ofOtherRows)]) {
      await writeFile(file, damaged);
      await assert.rejects(disk.load());
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('half a key of our own, as a full disk leaves it behind, is made anew; one that was given is not', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  try {
    const keyFile = join(dir, 'tables.key');
    await writeFile(keyFile, 'aGFsZg==');
    await assert.rejects(TableDisk.open({ contract: tableContract, dir, keyFile }), /tables\.key does not hold a key/);
    const rows = plainTable([{ address: '127.0.0.1', port: 81 }]);
    const disk = await TableDisk.open({ contract: tableContract, dir, keyFile: null });
    await disk.write(disk.take(tableOf(rows), snapshot(rows).commit));
    assert.deepEqual(
      tableOf((await (await TableDisk.open({ contract: tableContract, dir, keyFile: null })).load())?.upserts ?? []),
      tableOf(rows),
    );
    assert.equal((await stat(keyFile)).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(dir)).sort(), ['tables.json', 'tables.key']);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('the whole table is a change from nothing', () => {
  const rows = plainTable([{ address: '127.0.0.1', port: 81 }]);
  assert.deepEqual(tableOf(deltaFromNothing(tableOf(rows)).upserts), tableOf(rows));
});
