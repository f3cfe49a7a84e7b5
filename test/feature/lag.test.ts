import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LagWatch } from '../../proxy/receive/lag.ts';
import { kindsBehind } from '../../proxy/receive/order.ts';

test('a controller that has not seen what another held an interval ago is behind', () => {
  const lag = new LagWatch();
  lag.heard('other', { Ingress: 7 });
  assert.equal(lag.look({ Ingress: 6 }), null, 'a moment is no lag');
  lag.heard('other', { Ingress: 9 });
  assert.equal(lag.look({ Ingress: 6 }), 'other');
});

test('one that moves on is not, however much is changed meanwhile', () => {
  const lag = new LagWatch();
  for (let version = 10; version < 100; version += 10) {
    lag.heard('other', { Ingress: version, Service: 3 });
    assert.equal(lag.look({ Ingress: version - 10, Service: 3 }), null);
  }
});

test('what was heard before another controller took over counts no more', () => {
  const lag = new LagWatch();
  lag.heard('other', { Ingress: 7 });
  lag.look({ Ingress: 6 });
  lag.forget();
  assert.equal(lag.look({ Ingress: 6 }), null);
});

test('a controller that reads files is never behind', () => {
  const lag = new LagWatch();
  lag.heard('other', { Ingress: 7 });
  lag.look({});
  assert.equal(lag.look({}), null);
});

test('who does not count a part of a kind by itself is measured by the whole', () => {
  const holds = { Ingress: 9, 'Ingress left-out': 7, 'Ingress team': 9 };
  assert.deepEqual(kindsBehind({ Ingress: 9, 'Ingress team': 9 }, holds), []);
  assert.deepEqual(kindsBehind({ Ingress: 9 }, holds), []);
  assert.deepEqual(kindsBehind({ Ingress: 9, 'Ingress team': 8 }, holds), ['Ingress team']);
  assert.deepEqual(kindsBehind({ Ingress: 6 }, holds), ['Ingress', 'Ingress left-out', 'Ingress team']);
  assert.deepEqual(kindsBehind({ Service: 9 }, holds), ['Ingress', 'Ingress left-out', 'Ingress team']);
});
