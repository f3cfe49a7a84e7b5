import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Gate } from '../../proxy/listen/gate.ts';
import { Limits } from '../../proxy/listen/limits.ts';
import { connectionsByOpenFiles, udpFlowsByOpenFiles } from '../../proxy/listen/openfiles.ts';
import { acceptsFor, heldBytes } from '../../proxy/listen/pressure.ts';
import { type Source, Sources, sourceKeyOf } from '../../proxy/listen/sources.ts';
import { Throttle } from '../../proxy/listen/throttle.ts';

describe('sources', () => {
  const keys: [address: string, key: string][] = [
    ['192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::', '2001:db8:1:2'],
    ['2001:db8:1:2::6', '2001:db8:1:2'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['2001:db8:0:0:1::', '2001:db8:0:0'],
    ['2001::3:4:5:6:7', '2001:0:0:3'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['fe80::1', 'fe80:0:0:0'],
    ['', ''],
  ];
  for (const [address, key] of keys)
    test(`${address || 'none'} is ${key || 'one of those without'}`, () => assert.equal(sourceKeyOf(address), key));

  test('are known while they are connected, in the period of their last try, and while something is held against them', () => {
    const sources = new Sources();
    const stays = sources.knock('192.0.2.1');
    stays.connections++;
    const goes = sources.knock('192.0.2.2');
    goes.connections++;
    sources.left(goes);
    const owes = sources.knock('192.0.2.3');
    owes.dueMs = 150;
    const offends = sources.knock('192.0.2.5');
    offends.forgivenMs = 250;
    for (let count = 0; count < 4; count++) sources.knock('192.0.2.4');
    assert.equal(sources.mostFresh, 4);
    assert.equal(sources.size, 5);
    sources.endPeriod(100);
    assert.equal(sources.mostFresh, 0);
    assert.equal(sources.size, 3);
    assert.equal(sources.knock('192.0.2.1'), stays);
    assert.equal(stays.fresh, 1);
    sources.left(stays);
    sources.endPeriod(200);
    assert.equal(sources.size, 1);
    assert.equal(sources.knock('192.0.2.5'), offends);
    sources.endPeriod(300);
    assert.equal(sources.size, 0);
  });
});

function nothing(): void {}

function gateFor(makeRoom: () => number): Gate {
  return new Gate({
    limits: Limits.parse({}),
    observer: {
      finished: nothing,
      flowEnded: nothing,
      datagramDropped: nothing,
      connectionOpened: nothing,
      connectionClosed: nothing,
      requestStarted: nothing,
      connectionTurnedAway: nothing,
      handshakeFailed: nothing,
    },
    capacity: 64,
    listening: () => [],
    makeRoom,
    giveUpHandshake: () => false,
    saveMemory: nothing,
    held: () => 0,
    shed: () => ({ bytes: 0, lateBytes: 0 }),
  });
}

test('a place that was made is taken once, whether its connection has gone by then or not', () => {
  const inside: Source[] = [];
  const leaving: Source[] = [];
  const gate = gateFor(() => {
    leaving.push(...inside.splice(0, 10));
    return 10;
  });
  for (let nth = 0; nth < 300; nth++) {
    const source = gate.enter(`192.0.2.${nth % 250}`, false, false);
    assert.ok(typeof source !== 'string', `${source}`);
    inside.push(source);
    assert.ok(inside.length <= 64, `${inside.length} are in`);
    if (nth % 3 > 0) for (const each of leaving.splice(0)) gate.left(each);
  }
  gate.stop();
});

test('while a worker has too much to do, one source opens as many as its allowance, and others theirs', () => {
  const gate = gateFor(() => 0);
  gate.pressure.throttle.allowance = 3;
  const came = Array.from({ length: 10 }, (_, nth) =>
    gate.enter(nth % 2 === 0 ? '192.0.2.1' : '192.0.2.2', false, true),
  );
  gate.stop();
  assert.deepEqual(
    came.map((each) => (typeof each === 'string' ? each : 'in')),
    [...Array(6).fill('in'), ...Array(4).fill('overload')],
  );
});

test('of those who are turned away at once few are told so', () => {
  const gate = gateFor(() => 0);
  const told = Array.from({ length: 1_000 }, () => gate.mayAnswer()).filter((mayAnswer) => mayAnswer).length;
  gate.stop();
  assert.equal(told, 10);
});

describe('throttle', () => {
  /** What holds where nobody sets it. */
  const { overloadMs: usual } = Limits.parse({});
  const calm = { waitMs: 1, mostFresh: 100, turnedAway: 0 };
  const busy = { waitMs: 80, mostFresh: 100, turnedAway: 0 };

  /** A second of them is an overload. */
  function overloaded(period = busy): Throttle {
    const throttle = new Throttle(usual);
    for (let count = 0; count < 10; count++) throttle.endPeriod(period);
    return throttle;
  }

  test('what is over within a second is no overload, what lasts is', () => {
    const throttle = new Throttle(usual);
    for (let count = 0; count < 27; count++) {
      throttle.endPeriod(count % 9 === 8 ? calm : busy);
      assert.equal(throttle.allowance, Number.POSITIVE_INFINITY);
    }
    assert.equal(overloaded().allowance, 10);
  });

  test('a worker that is busy from its start cuts nobody to less than a few at once', () => {
    assert.equal(overloaded({ ...busy, mostFresh: 2 }).allowance, 8);
  });

  test('0 is never', () => {
    const throttle = new Throttle(0);
    for (let count = 0; count < 10; count++) throttle.endPeriod(busy);
    assert.equal(throttle.allowance, Number.POSITIVE_INFINITY);
  });

  test('it finds what a worker can do, keeps near it, and ends when there is no more need', () => {
    const throttle = overloaded();
    // 300 come per period, of which the worker can do 100: what is too much lengthens its turns.
    const served: number[] = [];
    for (let period = 0; period < 100; period++) {
      const count = Math.min(300, throttle.allowance);
      served.push(count);
      throttle.endPeriod({ waitMs: count > 100 ? 6 : 1, mostFresh: 300, turnedAway: 300 - count });
    }
    const late = served.slice(20);
    const mean = late.reduce((sum, count) => sum + Math.min(100, count), 0) / late.length;
    assert.ok(mean > 90, `${mean} of 100`);
    assert.ok(Math.max(...late) <= 130);
    for (let period = 0; period < 10; period++) throttle.endPeriod(calm);
    assert.equal(throttle.allowance, Number.POSITIVE_INFINITY);
  });

  test('those who open a few are cut last', () => {
    const throttle = overloaded({ ...busy, waitMs: 1_000, mostFresh: 40 });
    assert.equal(throttle.allowance, 8);
    throttle.endPeriod({ ...busy, waitMs: 1_000, turnedAway: 32 });
    assert.equal(throttle.allowance, 7);
  });

  test('somebody always gets in', () => {
    const throttle = new Throttle(usual);
    for (let count = 0; count < 100; count++) throttle.endPeriod({ ...busy, turnedAway: 100 });
    assert.equal(throttle.allowance, 1);
  });
});

test('connections, one to a backend for each, and UDP flows are no more in all than this process may have open', () => {
  const [, most = ''] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  assert.notEqual(most, '', 'a process whose open files are unlimited shows nothing');
  const taken = 2 * connectionsByOpenFiles() + udpFlowsByOpenFiles();
  const left = Number(most) - readdirSync('/proc/self/fd').length;
  assert.ok(taken > left / 2 && taken <= left, `${taken} of ${left}`);
});

test('memory that is free but stays with the allocator counts less than what is in use', () => {
  const mib = 1 << 20;
  const usage = { rss: 400 * mib, heapTotal: 0, heapUsed: 50 * mib, external: 50 * mib, arrayBuffers: 0 };
  assert.equal(heldBytes(usage, 0) / mib, 64 + 150);
  assert.equal(heldBytes({ ...usage, heapUsed: 500 * mib }, 0) / mib, 400);
  assert.ok(heldBytes(usage, 40 * mib) > heldBytes(usage, 0), 'TLS connections take memory that V8 does not see');
});

test('the longer turns last, the more of those who wait are accepted in each', () => {
  assert.equal(acceptsFor(0, 5), 1);
  assert.equal(acceptsFor(20, 0.2), 1);
  assert.equal(acceptsFor(250, 0.2), 5);
  assert.equal(acceptsFor(250, 1), 25);
  assert.equal(acceptsFor(10_000, 20), 32, 'those who are there wait for them');
});
