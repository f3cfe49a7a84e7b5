import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { mostAnnounced } from '#table/announced.ts';
import type { Commit } from '#table/change.ts';
import { canonicalJson, rowHash, TableHash } from '#table/hash.ts';
import { type Row, tableContract } from '#table/rows.ts';
import { AckPost, BatchReader, commitLine, deleteLine, heartbeatLine, rowLine, snapshotLine } from '#table/wire.ts';
import { Publisher } from '../../controller/publish/publisher.ts';

const commit: Commit = { schemaVersion: 1, generation: 1, hash: 'h', seen: {}, holds: {} };

function read(...lines: string[]) {
  const reader = new BatchReader(tableContract);
  return lines
    .join('')
    .split('\n')
    .flatMap((line) => reader.push(line) ?? []);
}

const codesOf = (batches: ReturnType<typeof read>) =>
  batches.flatMap(({ problems }) => problems.map(({ code }) => code));

describe('lines of the table stream', () => {
  test('rows, deletes and commits come out as they went in; heartbeats are nothing', () => {
    const row = { id: 'a', value: 'x\ny' };
    const [batch, ...more] = read(
      snapshotLine,
      heartbeatLine,
      rowLine('secret', canonicalJson(row)),
      heartbeatLine,
      deleteLine({ kind: 'route', id: 'r' }),
      commitLine(commit),
    );
    assert.deepEqual(more, []);
    assert.deepEqual(batch, {
      batch: { isSnapshot: true, upserts: [{ kind: 'secret', row }], deletes: [{ kind: 'route', id: 'r' }], commit },
      problems: [],
    });
  });

  test('a fault refuses its own batch and no other; it names the row and never a value', () => {
    const bad = rowLine('secret', '{"id":"a","value":17}');
    const certificate = rowLine('certificate', '{"id":"ns/tls","keyPem":"TOP SECRET"}');
    const batches = read(bad, certificate, commitLine(commit), commitLine({ ...commit, generation: 2 }));
    assert.deepEqual(
      batches.map(({ problems }) => problems.length),
      [2, 0],
    );
    assert.match(batches[0]?.problems[0]?.message ?? '', /secret\/a .* value/);
    assert.match(batches[0]?.problems[1]?.message ?? '', /certificate\/ns\/tls/);
    assert.doesNotMatch(JSON.stringify(batches), /TOP SECRET/);
  });

  test('unknown kinds, broken lines and a schema from the future are refused by name', () => {
    assert.deepEqual(codesOf(read('{"row":{"kind":"teapot","row":{}}}\n', commitLine(commit))), ['RowKindUnknown']);
    assert.deepEqual(codesOf(read('{"delete":{"kind":"constructor","id":"x"}}\n', commitLine(commit))), [
      'RowKindUnknown',
    ]);
    assert.deepEqual(codesOf(read('{"row":\n', commitLine(commit))), ['LineMalformed']);
    assert.deepEqual(codesOf(read(commitLine({ ...commit, schemaVersion: 99 }))), ['SchemaVersion']);
    assert.deepEqual(codesOf(read(commitLine({ ...commit, schemaVersion: 0 }))), []);
  });

  test('no text makes the reader throw', () => {
    const line = fc.oneof(
      fc.string(),
      fc.json(),
      fc.json().map((json) => `{"row":{"kind":"route","row":${json}}}`),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
        const batches = read(...lines.map((text) => `${text}\n`), commitLine(commit));
        assert.equal(batches.at(-1)?.batch.commit.hash, 'h');
      }),
      { numRuns: 300 },
    );
  });
});

describe('content hash', () => {
  test('does not depend on the order of keys, and knows every value apart', () => {
    assert.equal(canonicalJson({ b: [1, { d: null, c: undefined }], a: 'é"' }), '{"a":"é\\"","b":[1,{"d":null}]}');
    assert.notEqual(rowHash('secret', '{"id":"a"}'), rowHash('host', '{"id":"a"}'));
    assert.equal(new TableHash().text(), '0'.repeat(32));
  });

  test('any order of changes that ends in the same rows ends in the same hash', () => {
    const change = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.option(fc.constantFrom('1', '2')) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const [stepwise, atOnce] = [new Publisher(tableContract), new Publisher(tableContract)];
        const last = new Map<string, string>();
        for (const { id, value } of changes) {
          if (value === null) stepwise.stage([], [{ kind: 'secret', id }]);
          else stepwise.stage([{ kind: 'secret', row: { id, value } }], []);
          if (value === null) last.delete(id);
          else last.set(id, value);
          stepwise.commit({}, {});
        }
        const rows = [...last].sort().map(([id, value]): Row => ({ kind: 'secret', row: { id, value } }));
        atOnce.stage(rows, []);
        assert.equal(stepwise.commit({}, {}).hash, atOnce.commit({}, {}).hash);
      }),
    );
  });
});

test('what an edge says that it announces is addresses, and no more than a message may hold', () => {
  const ack = { type: 'applied', hash: '', generation: 1 };
  const isTaken = (...gained: object[]) =>
    AckPost.safeParse({
      ...{ stream: '', name: 'n1', zone: null, node: 'n1', ack },
      announced: { isWhole: true, gained, lost: [] },
    }).success;
  const said = { way: 'layer2', address: '192.0.2.1' };
  assert.ok(isTaken(said, { way: 'bgp', address: '2001:db8::1' }));
  for (const bad of [{ ...said, address: '192.0.2' }, { ...said, address: 'x'.repeat(70) }, { ...said, way: '' }, {}]) {
    assert.ok(!isTaken(bad), JSON.stringify(bad));
  }
  assert.ok(isTaken(...Array(mostAnnounced).fill(said)));
  assert.ok(!isTaken(...Array(mostAnnounced + 1).fill(said)));
});
