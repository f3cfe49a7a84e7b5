import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import type { RequestFacts } from '../../proxy/match/facts.ts';
import type { Match } from '../../proxy/match/match.ts';
import { Matcher, type MatcherChange } from '../../proxy/match/matcher.ts';
import { normalisePath } from '../../proxy/match/normalise.ts';
import { checkRegex, compileRegex, regexEngineIsLinear } from '../../proxy/match/regex.ts';
import type { Host } from '../../proxy/table/listener.ts';
import type { Route, ValueMatch } from '../../proxy/table/route.ts';
import { factsOf, parseRequest } from '../golden/facts.ts';
import { hostRow, routeRow } from '../golden/rows.ts';

const runs = { numRuns: Number(process.env['FUZZ_RUNS'] ?? 300), seed: 20261121 };

const host = fc
  .record({
    id: fc.constantFrom('h1', 'h2', 'h3', 'h4', 'h5', 'h6'),
    hostname: fc.constantFrom('a.b.c', 'b.c', '*.b.c', '*.c', '*'),
    wildcard: fc.constantFrom('one' as const, 'many' as const),
    canFallThrough: fc.boolean(),
    listenerIds: fc.constantFrom<string[][]>(['http'], ['https'], ['http', 'https']),
  })
  .map((fields) => hostRow(fields));

const pathValue = fc.constantFrom('/', '/a', '/a/', '/a/b', '/a/b/c', '/ab', '/a/bc');
const path = fc.oneof(
  fc.record({ type: fc.constantFrom('exact' as const, 'element' as const, 'prefix' as const), value: pathValue }),
  fc.record({
    type: fc.constant('regex' as const),
    value: fc.constantFrom('/a', '/a/[bc]+$', '/(ab|a)/', '/A', '('),
    ignoreCase: fc.boolean(),
    place: fc.constantFrom(null, 0, 1, 2, 3, 4),
  }),
);
const route = fc
  .record({
    id: fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8'),
    hostIds: fc.uniqueArray(fc.constantFrom('h1', 'h2', 'h3', 'h4', 'h5', 'h6'), { maxLength: 3 }),
    path,
    methods: fc.constantFrom<(string[] | null)[]>(null, null, ['GET'], ['POST', 'PUT']),
    headers: fc.constantFrom<ValueMatch[][]>([], [], [{ name: 'X-A', type: 'exact', value: '1' }]),
    query: fc.constantFrom<ValueMatch[][]>([], [], [{ name: 'q', type: 'regex', value: '[0-9]' }]),
    priority: fc.constantFrom(0, 0, 1),
    order: fc.constantFrom('a', 'b', 'c'),
  })
  .map(({ id, hostIds, path: pathMatch, methods, headers, query, priority, order }) =>
    routeRow({ id, hostIds, match: { path: pathMatch, methods, headers, query }, precedence: { priority, order } }),
  );

const change = fc
  .record({
    hosts: fc.array(fc.oneof(host, host, fc.constantFrom('h1', 'h2', 'h3')), { maxLength: 4 }),
    routes: fc.array(fc.oneof(route, route, route, fc.constantFrom('r1', 'r2', 'r3', 'r4')), { maxLength: 6 }),
  })
  .map(
    ({ hosts, routes }): MatcherChange => ({
      hosts: new Map(hosts.map((item) => (typeof item === 'string' ? [item, null] : [item.id, item]))),
      routes: new Map(routes.map((item) => (typeof item === 'string' ? [item, null] : [item.id, item]))),
    }),
  );

const requests: RequestFacts[] = [];
for (const name of ['a.b.c', 'b.c', 'x.b.c', 'x.y.b.c', 'c', 'd', '']) {
  for (const target of [
    '/',
    '/a',
    '/a/',
    '/a/b',
    '/a/bb',
    '/a/b/c/d',
    '/ab',
    '/abc',
    '/A/c',
    '/x?q=1',
    '/a?q=1',
    '/a?q=12',
  ]) {
    for (const method of ['GET', 'PUT']) {
      const facts = factsOf(
        parseRequest(`${method} http://${name}${target}`, target.startsWith('/a/') ? { 'x-a': '1' } : {}),
      );
      if (facts) requests.push(facts);
    }
  }
}

const shown = (match: Match) => ({ route: match.route?.row ?? null, host: match.host });

test('any order of changes ends in the matcher built from nothing, and both agree with a linear search', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 6 }), (changes) => {
      const grown = new Matcher();
      const hosts = new Map<string, Host>();
      const routes = new Map<string, Route>();
      for (const batch of changes) {
        grown.apply(batch);
        take(hosts, batch.hosts);
        take(routes, batch.routes);
      }
      const fresh = new Matcher();
      fresh.apply({ hosts, routes });
      for (const listenerId of ['http', 'https']) {
        for (const facts of requests) {
          const expected = search([...hosts.values()], [...routes.values()], listenerId, facts);
          const what = `${listenerId} ${facts.method} ${facts.hostname} ${facts.rawPath}?${facts.query}`;
          assert.deepEqual(shown(grown.match(listenerId, facts)), expected, `grown: ${what}`);
          assert.deepEqual(shown(fresh.match(listenerId, facts)), expected, `fresh: ${what}`);
        }
      }
    }),
    runs,
  );
});

test('numbers of routes are dense, and belong to one id while it lives', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      const matcher = new Matcher();
      const routes = new Map<string, Route>();
      let indexById = new Map<string, number>();
      for (const batch of changes) {
        matcher.apply({ ...batch, hosts: new Map([['h', hostRow({ id: 'h', hostname: '*' })]]) });
        take(routes, batch.routes);
        const before = indexById;
        indexById = new Map();
        for (const [id, row] of routes) {
          // Asked one by one under a path of its own, so that every route can be seen.
          const own = {
            ...row,
            hostIds: ['h'],
            match: { ...row.match, path: { type: 'exact' as const, value: `/${id}` } },
          };
          matcher.apply({ hosts: new Map(), routes: new Map([[id, own]]) });
          const facts = {
            ...requests[0],
            path: `/${id}`,
            method: row.match.methods?.[0] ?? 'GET',
            query: 'q=1',
            header: () => '1',
          };
          const found = matcher.match('http', facts as RequestFacts).route;
          assert.equal(found?.row.id, id);
          indexById.set(id, found?.index ?? -1);
          if (before.has(id)) assert.equal(found?.index, before.get(id));
          assert.equal(matcher.hasRoute(id), true);
        }
        assert.equal(new Set(indexById.values()).size, routes.size);
        assert.ok(Math.max(-1, ...indexById.values()) < 8);
      }
    }),
    runs,
  );
});

test('normalising is idempotent but for escapes, and leaves no dot segment, double slash or NUL', () => {
  const piece = fc.constantFrom(
    '/',
    '.',
    '..',
    '%2e',
    '%2F',
    '%5c',
    '\\',
    ';',
    'a',
    '%61',
    '%',
    '%00',
    '%25',
    'é',
    '//',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const normalised = normalisePath(`/${pieces.join('')}`);
      if (normalised === null) return;
      assert.match(normalised, /^\/(?!\/)/);
      assert.ok(!/\/\/|\/\.\.?(\/|$)|\0/.test(normalised), normalised);
      if (!/[%\\;]/.test(normalised)) assert.equal(normalisePath(normalised), normalised);
    }),
    { ...runs, numRuns: runs.numRuns * 10 },
  );
});

test('V8 and RE2 agree on every pattern, captures included, and neither backtracks without end', () => {
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
  assert.equal(
    regexEngineIsLinear(() => process.threadCpuUsage()),
    true,
    'this V8 has the linear engine',
  );
  const atom = fc.constantFrom(
    'a',
    'B',
    'é',
    '.',
    '\\d',
    '\\s',
    '\\.',
    '[a-c]',
    '[^b]',
    '[A-z]',
    '[\\d-]',
    '[é]',
    '(?:ab)',
    '/',
    '{',
    '\\bx',
  );
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { maxDepth: 4 },
      atom,
      fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => a + b),
      fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => `${a}|${b}`),
      tie('pattern').map((a) => `(${a})`),
      fc
        .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '+?', '{2}', '{0,3}', '{0,}', '{17}'))
        .map(([a, q]) => `(?:${a})${q}`),
    ),
  }));
  const text = fc.stringMatching(/^[aAbBc1 .\-/é{x\n]{0,12}$/u).map((value) => Buffer.from(value).toString('latin1'));
  fc.assert(
    fc.property(pattern, fc.boolean(), fc.array(text, { maxLength: 6 }), (source, isFolding, texts) => {
      const compiled = compileRegex(source, { case: isFolding ? 'ignore' : 'exact', anchor: 'start' });
      if (!compiled) return;
      const bytes = source.replace(/\[[^\]]*\]|[^\x00-\x7f]/gu, (part) => {
        const latin = Buffer.from(part).toString('latin1');
        return part.startsWith('[') ? latin : `(?:${latin})`;
      });
      const reference = RE2JS.compile(`^(?:${bytes})`, RE2JS.DOTALL | (isFolding ? RE2JS.CASE_INSENSITIVE : 0));
      for (const value of [...texts, `${'a'.repeat(60)}!`]) {
        const matcher = reference.matcher(value);
        const isFound = matcher.find();
        assert.equal(compiled.test(value), isFound, `/${source}/ on ${JSON.stringify(value)}`);
        const groups = (): string[] =>
          Array.from({ length: matcher.groupCount() + 1 }, (_, group) => matcher.group(group) ?? '');
        assert.deepEqual(
          compiled.captures(value),
          isFound ? groups() : null,
          `/${source}/ on ${JSON.stringify(value)}`,
        );
      }
    }),
    runs,
  );
});

/** As nginx does; what a group has of the last round alone is forgotten in JavaScript. */
test('a group that takes no part in the last round of a loop keeps what it has', () => {
  for (const pattern of ['/(?:(a)|(b))+', '/(?:(a)?(b)?x)+', '/(?:(?:(a)|(b)){1,2}x){0,}', '/((a)*(b)*x)+?$']) {
    const captures = compileRegex(pattern, { case: 'exact', anchor: 'start' })?.captures(
      `/a${pattern.includes('x') ? 'xbx' : 'b'}`,
    );
    assert.deepEqual(captures?.slice(-2), ['a', 'b'], pattern);
  }
});

/** V8 14.6 takes one more than there is. */
test('any character is one that is there', () => {
  for (const pattern of ['/(?:[^b].)*$', '/(?:[^b].)+$', '/(?:[^b][\\w\\W])*$', '/(?:[^b][\\D1])*$', '/(?:[^b]..)*$']) {
    const regex = compileRegex(pattern, { case: 'exact', anchor: 'start' });
    for (const length of [5, 7, 35]) assert.equal(regex?.test(`/${'a'.repeat(length)}`), false, `${pattern} ${length}`);
  }
});

test('what the writer of tables accepts is never refused here, and compiles', () => {
  const piece = fc.constantFrom(
    ...['a', 'é', '\\', '[', ']', '^', '-', '(', ')', '?', '*', '{2}', '|', '\\Q', '[\\]a-é]', '[:alpha:]', '(?i)'],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, isFolding) => {
      const pattern = pieces.join('');
      let isAccepted = true;
      try {
        RE2JS.compile(pattern, RE2JS.CASE_INSENSITIVE);
      } catch {
        isAccepted = false;
      }
      assert.equal(checkRegex(pattern, isFolding) === null, isAccepted, pattern);
      const compiled = compileRegex(pattern, { case: isFolding ? 'ignore' : 'exact', anchor: 'start' });
      assert.equal(compiled !== null, isAccepted, pattern);
      compiled?.test('/aé');
    }),
    { ...runs, numRuns: runs.numRuns * 10 },
  );
});

for (const pattern of [
  '(a+)+$',
  '(?i)(A+)+$',
  '(a{1,20}){1,20}$',
  '(a+)+(b{17})?$',
  '((a|a)*)*$',
  '(a?){16}(a?){16}(a?){16}b',
  '(([a-z])+.)+[A-Z]$',
]) {
  // Backtracking would take days on this text; there is nothing to time.
  test(`${pattern} ends`, () => {
    const regex = compileRegex(pattern, { case: 'ignore', anchor: 'start' });
    assert.equal(regex?.test(`${'a'.repeat(60)}!`), false);
  });
}

function take<T>(rows: Map<string, T>, changed: ReadonlyMap<string, T | null>): void {
  for (const [id, row] of changed) {
    if (row === null) rows.delete(id);
    else rows.set(id, row);
  }
}

/** The rules of hostnames.ts and hosttable.ts in the plainest form: every host and route is looked at and the best one taken. */
function search(hosts: Host[], routes: Route[], listenerId: string, facts: RequestFacts): ReturnType<typeof shown> {
  const covering = hosts
    .filter((row) => row.listenerIds.includes(listenerId) && covers(row, facts.hostname))
    .sort((a, b) => rank(b).localeCompare(rank(a)) || (a.id < b.id ? -1 : 1))
    .filter((row, i, all) => i === 0 || rank(row) !== rank(all[i - 1] as Host));
  for (const row of covering) {
    const [best] = routes.filter((item) => item.hostIds.includes(row.id) && accepts(item, facts)).sort(byPrecedence);
    if (best) return { route: best, host: row };
    if (!row.canFallThrough) break;
  }
  return { route: null, host: covering[0] ?? null };
}

const isWildcard = (row: Host) => row.hostname.startsWith('*.');

function covers(row: Host, name: string): boolean {
  if (row.hostname === '*') return true;
  if (!isWildcard(row)) return row.hostname === name;
  const label = name.slice(0, -(row.hostname.length - 1));
  return name === label + row.hostname.slice(1) && label !== '' && (row.wildcard === 'many' || !label.includes('.'));
}

/** Sorts like the width of a host: exact names, then wildcards by length, one label before many, then the catch-all. */
function rank(row: Host): string {
  if (row.hostname === '*') return '0';
  if (!isWildcard(row)) return '9';
  return `1${row.hostname.length}${row.wildcard === 'one' ? 'b' : 'a'}`;
}

function accepts({ match }: Route, facts: RequestFacts): boolean {
  const { path: rule } = match;
  const value = rule.value.length > 1 && rule.type === 'element' ? rule.value.replace(/\/$/, '') : rule.value;
  const isPathOk =
    rule.type === 'exact'
      ? facts.path === value
      : rule.type === 'element'
        ? value === '/' || facts.path === value || facts.path.startsWith(`${value}/`)
        : rule.type === 'prefix'
          ? facts.path.startsWith(value)
          : rule.value !== '(' && new RegExp(`^(?:${rule.value})`, rule.ignoreCase ? 'i' : '').test(facts.path);
  return (
    isPathOk &&
    (match.methods === null || match.methods.includes(facts.method)) &&
    match.headers.every((header) => facts.header(header.name.toLowerCase()) === header.value) &&
    match.query.every(() => /^q=[0-9]$/.test(facts.query))
  );
}

function byPrecedence(a: Route, b: Route): number {
  return sortKey(a).localeCompare(sortKey(b));
}

function sortKey({ id, match, precedence }: Route): string {
  const { path: rule } = match;
  const isElement = rule.type === 'element';
  const length = isElement ? rule.value.replace(/\/$/, '').length : rule.value.length;
  const urgency = String(9 - precedence.priority);
  const conditions = [match.methods ? 0 : 1, match.headers.length ? 0 : 1, match.query.length ? 0 : 1].join('');
  const byPath =
    rule.type === 'exact'
      ? '0'
      : rule.type !== 'regex'
        ? `2${String(99 - length)}${isElement ? '0' : '2'}`
        : rule.place === null
          ? `1${urgency}`
          : `2${String(99 - rule.place)}1${urgency}`;
  return `${byPath}|${conditions}|${urgency}|${precedence.order}|${id}`;
}
