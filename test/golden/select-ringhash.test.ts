import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BackendPicker } from '../../proxy/select/backend.ts';
import type { EndpointState } from '../../proxy/select/types.ts';
import type { Backend } from '../../proxy/table/backend.ts';
import { plainOutlier } from '../kit/rows.ts';
import { countPicks, endpointRows, factsOf, openBackend, picked, uidOf } from './selecting.ts';

type Balance = Backend['balance'];

const manyTargets = (nth: number) => factsOf({ target: `/item/${nth}` });

describe('ring hash', () => {
  const balance: Balance = { algorithm: 'ring-hash', parts: [{ type: 'target' }], subsetSize: 0 };
  const keys = 20_000;
  const placesOf = (count: number, skip = -1) => {
    const rows = endpointRows(count).filter((_, nth) => nth !== skip);
    const { backend } = openBackend({ balance }, rows);
    return Array.from({ length: keys }, (_, nth) => uidOf(backend.pick(manyTargets(nth), [], 0)));
  };

  for (const count of [3, 10, 50, 200]) {
    test(`${count} endpoints: one less moves only its own keys, at most 1.3/n of all`, () => {
      const before = placesOf(count);
      const after = placesOf(count, 1);
      let moved = 0;
      for (let nth = 0; nth < keys; nth++) {
        if (before[nth] === after[nth]) continue;
        assert.equal(before[nth], 'pod-1');
        moved++;
      }
      assert.ok(moved > 0 && moved / keys <= 1.3 / count, `${moved} of ${keys} moved`);
    });
  }

  for (const count of [513, 700, 2_049, 5_121]) {
    test(`${count} endpoints: one less moves about 2/n of all keys, for places are fewer the more endpoints there are`, () => {
      const before = placesOf(count);
      const after = placesOf(count, 1);
      const moved = before.filter((uid, nth) => uid !== after[nth]).length;
      assert.ok(moved / keys <= 4 / count, `${moved} of ${keys} moved`);
    });
  }

  test('every worker draws the same ring, whatever the order of the rows', () => {
    const rows = endpointRows(40);
    const one = openBackend({ balance }, rows, { seed: 1 }).backend;
    const two = openBackend({ balance }, rows.toReversed(), { seed: 2 }).backend;
    for (let nth = 0; nth < 1000; nth++) {
      assert.equal(uidOf(one.pick(manyTargets(nth), [], 0)), uidOf(two.pick(manyTargets(nth), [], 0)));
    }
  });

  test('keys of an ejected endpoint move, and come home; all others stay', () => {
    const outlier = {
      ...plainOutlier,
      consecutiveGatewayErrors: 1,
      baseEjectionMs: 1000,
      maxEjectionMs: 1000,
      maxEjectedPercent: 50,
    };
    const { backend } = openBackend({ balance, outlier }, endpointRows(5));
    const at = (nowMs: number) =>
      Array.from({ length: 500 }, (_, nth) => uidOf(backend.pick(manyTargets(nth), [], nowMs)));
    const home = at(0);
    const victim = backend.pick(manyTargets(0), [], 0);
    victim?.endpoint.finished({ startedMs: 0, result: 'gateway-error', latencyMs: 1, nowMs: 0 });
    at(500).forEach((uid, nth) => {
      if (home[nth] === home[0]) assert.notEqual(uid, home[0]);
      else assert.equal(uid, home[nth]);
    });
    assert.deepEqual(at(1000), home);
  });

  test('a subset is the same few endpoints for a key, used at random', () => {
    const subset: Balance = { ...balance, subsetSize: 3 };
    const { backend } = openBackend({ balance: subset }, endpointRows(20));
    const seen = new Set<string>();
    for (let key = 0; key < 50; key++) {
      const counts = countPicks(backend, 300, () => manyTargets(key));
      assert.equal(counts.size, 3);
      for (const count of counts.values()) assert.ok(count > 60);
      for (const uid of counts.keys()) seen.add(uid);
    }
    assert.ok(seen.size > 15);
  });

  test('a retry that has tried all of a subset goes on along the ring, and only then to one of them again', () => {
    const subset: Balance = { ...balance, subsetSize: 2 };
    const { backend } = openBackend({ balance: subset }, endpointRows(5));
    for (let key = 0; key < 50; key++) {
      const tried: EndpointState[] = [];
      for (let times = 0; times < 5; times++) tried.push(picked(backend, tried, manyTargets(key)).endpoint);
      assert.equal(new Set(tried).size, 5);
      const [first, second] = tried;
      for (let times = 0; times < 10; times++) {
        const again = picked(backend, tried, manyTargets(key)).endpoint;
        assert.ok(again === first || again === second);
      }
    }
  });

  test('requests that have nothing of the key are spread, fixed text or not', () => {
    const parts = [
      { type: 'header' as const, name: 'x-user' },
      { type: 'text' as const, value: '-v1' },
    ];
    const { backend } = openBackend({ balance: { ...balance, parts } }, endpointRows(4));
    assert.equal(countPicks(backend, 200).size, 4);
    assert.equal(countPicks(backend, 200, () => factsOf({ headers: { 'x-user': 'u' } })).size, 1);
  });

  test('the key is taken of what the row says', () => {
    const request = factsOf({
      clientAddress: '192.0.2.7',
      hostname: 'shop.example.com',
      target: '/a/b?user=9&x=1',
      path: '/a/b',
      query: 'user=9&x=1',
      headers: { 'x-user': 'u1', cookie: 'sid=s1; other=2' },
    });
    const parts: [Extract<Balance, { algorithm: 'ring-hash' }>['parts'][number], Parameters<typeof factsOf>[0]][] = [
      [{ type: 'header', name: 'X-User' }, { headers: { 'x-user': 'u1' } }],
      [{ type: 'cookie', name: 'sid' }, { headers: { cookie: 'a=b; sid=s1' } }],
      [{ type: 'query', name: 'user' }, { query: 'z=0&user=9' }],
      [{ type: 'source' }, { clientAddress: '192.0.2.7' }],
      [{ type: 'target' }, { target: '/a/b?user=9&x=1' }],
      [{ type: 'path' }, { path: '/a/b' }],
      [{ type: 'host' }, { hostname: 'shop.example.com' }],
    ];
    for (const [part, same] of parts) {
      const { backend } = openBackend(
        { balance: { ...balance, parts: [part, { type: 'text', value: '-x' }] } },
        endpointRows(50),
      );
      const home = uidOf(backend.pick(request, [], 0));
      const blank = { clientAddress: '::', hostname: 'h', target: '/t', path: '/p' };
      assert.equal(uidOf(backend.pick(factsOf({ ...blank, ...same }), [], 0)), home, part.type);
    }
  });

  test('a subset of all is not looked for along the ring, whose end the last of thousands may be near', () => {
    const { backend } = openBackend({ balance: { ...balance, subsetSize: 500 } }, endpointRows(500));
    picked(backend);
    let looks = 0;
    for (const member of (backend as BackendPicker).members) {
      const { isUsable } = member;
      const looked = () => {
        looks++;
        return isUsable;
      };
      Object.defineProperty(member, 'isUsable', { get: looked });
    }
    assert.equal(countPicks(backend, 20, () => manyTargets(1)).size > 10, true);
    assert.equal(looks, 0);
  });
});
