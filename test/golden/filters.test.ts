import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { compileFilters } from '../../proxy/filters/compile.ts';
import { Filter } from '../../proxy/table/filter.ts';
import { PathMatch } from '../../proxy/table/route.ts';
import { factsOf, parseRequest } from './facts.ts';
import { routeRow } from './rows.ts';

const folder = join(import.meta.dirname, 'filters');

/** What a filter list does with one request, in one line: the answer, or what the backend sees. */
const Expect = z.string();

const Case = z.strictObject({
  about: z.string(),
  steps: z.array(
    z.strictObject({
      path: PathMatch,
      filters: z.array(Filter),
      httpsPort: z.int().default(443),
      requests: z.array(
        z.strictObject({
          send: z.string(),
          headers: z.record(z.string(), z.string()).default({}),
          expect: Expect.default(''),
        }),
      ),
    }),
  ),
});

for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
  const path = join(folder, file);
  const document = parseDocument(readFileSync(path, 'utf8'));
  const golden = Case.parse(document.toJS());
  test(`${file.replace('.yaml', '')}: ${golden.about}`, () => {
    const found: string[] = [];
    const wanted: string[] = [];
    golden.steps.forEach((step, i) => {
      const { match } = routeRow({ id: 'r', match: { path: step.path } });
      const compiled = compileFilters(step.filters, match);
      step.requests.forEach((request, j) => {
        const facts = factsOf(parseRequest(request.send, request.headers));
        assert.ok(facts, `${request.send} is a good request`);
        const answer = compiled.answer?.(facts, { httpsPort: step.httpsPort });
        const seen = answer
          ? `${answer.status} ${'flag' in answer ? answer.flag : answer.headers.join('; ')}`
          : `to ${compiled.host ?? 'its host'}, path ${compiled.path?.(facts) ?? 'as sent'}`;
        document.setIn(['steps', i, 'requests', j, 'expect'], seen);
        found.push(`${request.send} → ${seen}`);
        wanted.push(`${request.send} → ${request.expect}`);
      });
    });
    if (process.env['UPDATE'] === '1') {
      writeFileSync(path, document.toString({ lineWidth: 120, flowCollectionPadding: false }));
      return;
    }
    assert.deepEqual(found, wanted);
  });
}

const edits = { set: [], add: [], remove: [] };

test('no filter costs nothing', () => {
  const { match } = routeRow({ id: 'r' });
  const parts = Object.values(compileFilters([], match));
  assert.ok(parts.length > 0);
  for (const part of parts) assert.equal(part, null);
  const empty = Object.values(compileFilters([{ type: 'request-headers', edits }], match));
  for (const part of empty) assert.equal(part, null);
});

test('header edits: remove, then set, then add; the next filter sees what the one before left', () => {
  const { match } = routeRow({ id: 'r' });
  const compiled = compileFilters(
    [
      {
        type: 'request-headers',
        edits: {
          set: [
            { name: 'X-Set', value: '1' },
            { name: 'x-set', value: 'a second entry of the name does not count' },
            { name: 'X-Gone', value: 'later' },
          ],
          add: [{ name: 'X-Add', value: ' a ' }],
          remove: ['X-Old'],
        },
      },
      { type: 'request-headers', edits: { ...edits, remove: ['x-gone'], add: [{ name: 'x-add', value: 'b' }] } },
      { type: 'response-headers', edits: { ...edits, set: [{ name: 'Server', value: '' }] } },
    ],
    match,
  );
  assert.deepEqual([...(compiled.requestHeaders?.remove ?? [])].sort(), ['x-gone', 'x-old', 'x-set']);
  assert.equal(compiled.requestHeaders?.lines, 'X-Set: 1\r\nX-Add: a\r\nx-add: b\r\n');
  assert.equal(compiled.responseHeaders?.lines, 'Server: \r\n');
});

test('header edits that could break the message are left out', () => {
  const { match } = routeRow({ id: 'r' });
  const names = [
    'Content-Length',
    'transfer-encoding',
    'Connection',
    'Host',
    'TE',
    'Upgrade',
    'bad name',
    'bad:name',
    '',
    'é',
  ];
  const values = ['a\r\nX-Injected: 1', 'a\nb', 'a\0b', 'a\rb', 'é', '\x7f'];
  const compiled = compileFilters(
    [
      {
        type: 'response-headers',
        edits: {
          set: names.map((name) => ({ name, value: '0' })),
          add: values.map((value, i) => ({ name: `X-${i}`, value })),
          remove: names,
        },
      },
    ],
    match,
  );
  assert.equal(compiled.responseHeaders, null);
});

test('whatever a request or a row holds, a path and a location stay one visible word, and no path climbs', () => {
  const piece = fc.constantFrom(
    '/',
    '..',
    '.',
    '%2e',
    '%2F',
    '%0d%0a',
    '%00',
    '%',
    ' ',
    '\r\n',
    'é',
    'a',
    ';',
    '$1',
    '?',
    '%25',
    '"',
    '\u2028',
  );
  const text = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''));
  const rewrite = fc.record({
    type: fc.constantFrom('full' as const, 'prefix' as const, 'captures' as const),
    value: text,
  });
  const match = fc.constantFrom<PathMatch>(
    { type: 'element', value: '/' },
    { type: 'element', value: '/a' },
    { type: 'prefix', value: '/a' },
    { type: 'regex', value: '/a?(.*)', ignoreCase: true, place: null },
  );
  fc.assert(
    fc.property(rewrite, match, text, (path, rule, target) => {
      const facts = factsOf(parseRequest(`GET http://h.example/a${target.replaceAll(/[\r\n?]/g, '')}`));
      if (!facts) return;
      const { match: row } = routeRow({ id: 'r', match: { path: rule } });
      const rewritten = compileFilters([{ type: 'rewrite', hostname: null, path }], row).path?.(facts) ?? '';
      assert.match(rewritten, /^\/[\x21-\x7e]*$/);
      assert.ok(!rewritten.split('/').some((segment) => /^(\.|%2e){1,2}$/i.test(segment)), rewritten);
      const redirect = { type: 'redirect', scheme: null, hostname: null, port: null, path, status: 302 } as const;
      const answer = compileFilters([redirect], row).answer?.(facts, { httpsPort: 443 });
      assert.ok(answer && 'headers' in answer);
      assert.match(answer.headers[0] ?? '', /^location: http:\/\/h\.example\/[\x21-\x7e]*$/);
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 2000), seed: 20261121 },
  );
});
