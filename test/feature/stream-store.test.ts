import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { signLeaf } from '../../controller/publish/certificates.ts';
import { fleetAuthority, fleetRows } from '../../controller/publish/fleetrows.ts';
import { fileStore, memoryStore } from '../../controller/publish/store.ts';

describe('what replicas must agree on', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-store-'));
  });

  after(() => rm(folder, { recursive: true }));

  for (const [kind, open] of [
    ['files', () => fileStore(join(folder, 'state'))],
    ['memory', memoryStore],
  ] as const) {
    test(`${kind}: of many that create at once, one wins and all get what it wrote`, async () => {
      const store = open();
      const kept = await Promise.all(Array.from({ length: 20 }, (_, i) => store.create('key', { key: `${i}` })));
      assert.equal(new Set(kept.map(({ key }) => key)).size, 1);
      assert.deepEqual(await store.load('key'), kept[0]);
      assert.equal(await store.load('other'), null);
    });
  }

  test('files are for their owner only, and nothing else is left behind', async () => {
    const store = fileStore(join(folder, 'private'));
    await store.create('key', { key: 'x' });
    assert.equal((await stat(join(folder, 'private', 'key.json'))).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(folder, 'private')), ['key.json']);
  });

  test('a file that is not ours is an error that names it and quotes nothing', async () => {
    await writeFile(join(folder, 'broken.json'), '{"key": "TOP SECRET');
    await assert.rejects(fileStore(folder).load('broken'), (error: Error) => {
      return /broken\.json/.test(error.message) && !/TOP SECRET/.test(error.message);
    });
  });

  test('the fleet keeps its certificate, its key and its authority over restarts', async () => {
    const nowMs = Date.now();
    const open = () => fileStore(join(folder, 'fleet'));
    assert.deepEqual(await fleetRows(open(), nowMs), await fleetRows(open(), nowMs + 1));
    assert.deepEqual(await fleetAuthority(open(), nowMs), await fleetAuthority(open(), nowMs + 1));
    const [certificate, key] = await fleetRows(open(), nowMs);
    assert.ok(certificate?.kind === 'certificate' && key?.kind === 'secret');
    assert.match(new X509Certificate(certificate.row.chainPem).subject, /CN=Sluice default certificate/);
    assert.equal(Buffer.from(key.row.value, 'base64').length, 32);
  });

  test('what somebody has damaged is an error that names it, and is neither used nor replaced', async () => {
    const damaged: [name: string, data: Record<string, string>][] = [
      ['sluice-default-certificate', {}],
      ['sluice-default-certificate', { 'tls.crt': 'TOP SECRET', 'tls.key': 'TOP SECRET' }],
      ['sluice-fleet-key', {}],
      ['sluice-fleet-key', { key: 'dG9vIHNob3J0' }],
      ['sluice-authority', { 'ca.crt': (await fleetAuthority(memoryStore(), Date.now())).certPem }],
    ];
    for (const [name, data] of damaged) {
      const store = memoryStore();
      await store.create(name, data);
      const use = async () => [await fleetRows(store, Date.now()), await fleetAuthority(store, Date.now())];
      await assert.rejects(use, (error: Error) => error.message.startsWith(`${name} does not hold what Sluice wrote`));
      assert.equal(await store.load(name), data);
    }
  });

  test('the authority signs leaves that verify, for names and addresses', async () => {
    const authority = await fleetAuthority(memoryStore(), Date.now());
    const leaf = await signLeaf(
      authority,
      ['sluice-controller', '192.0.2.1', '2001:db8::1', '123456789012'],
      30,
      Date.now(),
    );
    const [issuer, signed] = [new X509Certificate(authority.certPem), new X509Certificate(leaf.certPem)];
    assert.ok(signed.checkIssued(issuer) && signed.verify(issuer.publicKey));
    assert.ok(signed.checkHost('sluice-controller') && signed.checkIP('192.0.2.1') && signed.checkIP('2001:db8::1'));
    // Machines may be called that, and of containers one in 280 is.
    assert.ok(signed.checkHost('123456789012'));
    assert.equal(signed.ca, false);
    assert.ok(issuer.ca);
  });
});
