import assert from 'node:assert/strict';
import { test } from 'node:test';
import { L4Matcher } from '../../proxy/match/l4matcher.ts';
import { draw, weigh } from '../../proxy/match/weighted.ts';
import type { L4Route } from '../../proxy/table/l4route.ts';
import { row } from '../kit/rows.ts';

function routeRow(fields: { id: string } & Partial<L4Route>): L4Route {
  return row('l4route', { listenerIds: ['a'], ...fields }).row as L4Route;
}

function matcherOf(...routes: ({ id: string } & Partial<L4Route>)[]): L4Matcher {
  const matcher = new L4Matcher();
  matcher.apply(new Map(routes.map((each) => [each.id, routeRow(each)])));
  return matcher;
}

const found = (matcher: L4Matcher, name: string, listenerId = 'a') =>
  matcher.match(listenerId, name, null)?.row.id ?? null;

test('the narrowest name decides: exact, one label, many labels, everything', () => {
  const matcher = matcherOf(
    { id: 'exact', hostnames: ['a.b.test'] },
    { id: 'one', hostnames: ['*.b.test'] },
    { id: 'many', hostnames: ['*.test'], wildcard: 'many' },
    { id: 'all' },
  );
  const names = ['a.b.test', 'c.b.test', 'x.c.b.test', 'b.test', 'test', 'other', ''];
  assert.deepEqual(
    names.map((name) => found(matcher, name)),
    ['exact', 'one', 'many', 'many', 'all', 'all', 'all'],
  );
});

test('of several routes for one name the first in order takes all, and the next when it goes', () => {
  const matcher = matcherOf({ id: 'young', order: '2' }, { id: 'old', order: '1' }, { id: 'named', hostnames: ['n'] });
  assert.equal(found(matcher, ''), 'old');
  assert.equal(found(matcher, 'n'), 'named');
  matcher.apply(new Map([['old', null]]));
  assert.equal(found(matcher, ''), 'young');
  matcher.apply(new Map([['young', null]]));
  assert.equal(found(matcher, ''), null);
});

test('each listener has routes of its own, and is looked into only while one of them has a name', () => {
  const matcher = matcherOf(
    { id: 'r', listenerIds: ['a', 'b'] },
    { id: 'n', listenerIds: ['b'], hostnames: ['n.test', 'n.test'] },
  );
  assert.deepEqual(
    [found(matcher, 'n.test', 'a'), found(matcher, 'n.test', 'b'), found(matcher, '', 'c')],
    ['r', 'n', null],
  );
  assert.deepEqual([matcher.hasNames('a'), matcher.hasNames('b'), matcher.hasNames('c')], [false, true, false]);
  matcher.apply(new Map([['n', routeRow({ id: 'n', listenerIds: ['b'] })]]));
  assert.equal(matcher.hasNames('b'), false);
  assert.deepEqual([matcher.hasRoute('n'), matcher.hasRoute('x')], [true, false]);
});

test('a host of the listener that is narrower has the connection, one that is as narrow has not', () => {
  const matcher = matcherOf(
    { id: 'exact', hostnames: ['a.b.test'] },
    { id: 'wild', hostnames: ['*.b.test'] },
    { id: 'all' },
  );
  const beside = (name: string, hostname: string, wildcard: 'one' | 'many' = 'one') =>
    matcher.match('a', name, { hostname, wildcard })?.row.id ?? null;
  assert.equal(beside('a.b.test', 'a.b.test'), 'exact');
  assert.equal(beside('c.b.test', 'c.b.test'), null);
  assert.equal(beside('c.b.test', '*.b.test'), 'wild');
  assert.equal(beside('c.b.test', '*.test', 'many'), 'wild');
  assert.equal(beside('x.test', '*.test'), null);
  assert.equal(beside('x.test', '*'), 'all');
});

test('a draw follows the weights, and 0 is never drawn', () => {
  const among = weigh([{ weight: 0 }, { weight: 1 }, { weight: 3 }, { weight: 0 }], ({ weight }) => ({ weight }));
  const drawn = [0, 0.24, 0.26, 0.999].map((n) => draw(among, () => n)?.weight);
  assert.deepEqual(drawn, [1, 1, 3, 3]);
  assert.equal(
    draw(
      weigh([{ weight: 0 }], () => ({})),
      () => 0,
    ),
    null,
  );
  assert.equal(
    draw([], () => 0),
    null,
  );
});
