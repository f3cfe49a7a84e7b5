import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { catalogue } from '../../controller/translate/problems.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { rowKinds, rowSchemas } from '../../proxy/table/rows.ts';
import { answerOf } from './answering.ts';
import { brief, briefProblem, optionsOf, readObjects, viewOf } from './translating.ts';

/**
 * One file per case: objects in, rows and problems out. `UPDATE=1` rewrites what is expected.
 * Rows show only what is not usual (translating.ts). Shorthands, all in namespace demo: `services` are Services with port
 * 80 and one slice; `secrets` are TLS Secrets by name, from the pair of that file name in translate/certificates, or
 * `certificate/key` of two pairs; `+name` adds the certificate of that name as ca.crt.
 */
const folder = join(import.meta.dirname, 'translate');

const Rows = z.record(z.string(), z.record(z.string(), z.unknown()));
const Case = z.strictObject({
  about: z.string(),
  options: z.record(z.string(), z.unknown()).default({}),
  now: z.string().default('2026-01-01T00:00:00Z'),
  services: z.array(z.string()).default([]),
  secrets: z.record(z.string(), z.string()).default({}),
  objects: z.array(z.looseObject({ kind: z.string() })).default([]),
  /** What the proxy's own matcher and filters make of the rows: `GET http://shop.example.com/x`. */
  requests: z.array(z.string()).default([]),
  expect: z
    .strictObject({
      requests: z.record(z.string(), z.string()).optional(),
      rows: z.partialRecord(z.enum(rowKinds), Rows),
      problems: z.array(z.unknown()),
    })
    .default({ rows: {}, problems: [] }),
});

const triggered = new Set<string>();
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

for (const file of files) {
  const path = join(folder, file);
  const document = parseDocument(readFileSync(path, 'utf8'));
  const golden = Case.parse(document.toJS());
  test(`${file.replace('.yaml', '')}: ${golden.about}`, () => {
    const options = optionsOf(golden.options);
    const manifests = [
      ...golden.services.flatMap(serviceManifests),
      ...Object.entries(golden.secrets).map(([name, pair]) => secretManifest(name, pair)),
      ...golden.objects,
    ];
    const { objects, unreadable } = readObjects(manifests);
    const { upserts, deletes, problems } = new Translator(options).apply(
      viewOf(objects),
      [],
      unreadable,
      Date.parse(golden.now),
    );
    assert.deepEqual(deletes, []);
    const rows: Record<string, Record<string, unknown>> = {};
    for (const kind of rowKinds) {
      const ofKind = upserts.filter((row) => row.kind === kind).sort((a, b) => (a.row.id < b.row.id ? -1 : 1));
      for (const row of ofKind) {
        rowSchemas[kind].parse(row.row);
        // The two listeners are the same in all cases but those that are about them.
        const isUsual = kind === 'listener' && (row.row.id === 'http' || row.row.id === 'https');
        if (isUsual && golden.options['listeners'] === undefined && !/^(tls-default|proxy-protocol)/.test(file))
          continue;
        rows[kind] ??= {};
        rows[kind][row.row.id] = brief(row, options);
      }
    }
    for (const { code, message, hint } of problems) {
      triggered.add(code);
      assert.doesNotMatch(message + hint, /\{\w+\}/, 'a placeholder was not filled in');
    }
    const answers = Object.fromEntries(golden.requests.map((line) => [line, answerOf(line, upserts)]));
    const actual = {
      ...(golden.requests.length > 0 && { requests: answers }),
      rows,
      problems: problems.map(briefProblem),
    };
    if (process.env['UPDATE'] === '1') {
      document.set('expect', actual);
      writeFileSync(path, document.toString({ lineWidth: 0, flowCollectionPadding: false }));
      return;
    }
    assert.deepEqual(actual, golden.expect);
  });
}

test('each problem of the catalogue is triggered by a case', () => {
  // What the watch finds is told by it, and only passed on here.
  const told = new Set(['ObjectDuplicate', 'FileMalformed', 'KindUnknown', 'FieldUnknown']);
  const missing = Object.keys(catalogue).filter((code) => !triggered.has(code) && !told.has(code));
  assert.deepEqual(missing, []);
});

test('each problem says what to do', () => {
  for (const [code, { text, hint }] of Object.entries(catalogue)) {
    assert.match(hint, /^[A-Z{].*[.}]$/, code);
    assert.match(text, /^[A-Z{].*[.}]$/, code);
  }
});

function serviceManifests(name: string): { kind: string }[] {
  const meta = { name, namespace: 'demo' };
  const labels = { 'kubernetes.io/service-name': name };
  return [
    { kind: 'Service', metadata: meta, spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] } } as {
      kind: string;
    },
    {
      kind: 'EndpointSlice',
      metadata: { ...meta, name: `${name}-1`, labels },
      ports: [{ name: 'http', port: 8080 }],
      endpoints: [{ addresses: ['10.0.0.1'] }],
    } as { kind: string },
  ];
}

function secretManifest(name: string, pair: string): { kind: string } {
  const [material = '', authority] = pair.split('+');
  const [certificate = '', key = certificate] = material.split('/');
  const read = (file: string) => readFileSync(join(folder, 'certificates', file)).toString('base64');
  const data = {
    ...(certificate === '' ? {} : { 'tls.crt': read(`${certificate}.crt`), 'tls.key': read(`${key}.key`) }),
    ...(authority === undefined ? {} : { 'ca.crt': read(`${authority}.crt`) }),
  };
  return { kind: 'Secret', metadata: { name, namespace: 'demo' }, type: 'kubernetes.io/tls', data } as { kind: string };
}
