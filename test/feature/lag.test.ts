import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LagWatch } from '../../proxy/receive/lag.ts';

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
