import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Selector } from '../../proxy/select/selector.ts';
import { type AffinityEntry, LocalAffinity } from '../../proxy/share/affinity.ts';
import type { Affinity } from '../../proxy/table/backend.ts';
import { plainOutlier } from '../kit/rows.ts';
import {
  backendRow,
  cookieAffinity,
  countPicks,
  endpointRow,
  endpointRows,
  endpointsRow,
  factsOf,
  fleetKey,
  type Opened,
  openBackend,
  openClient,
  picked,
  uidOf,
} from './selecting.ts';

const persistent = { affinity: cookieAffinity };
const balanced = { affinity: { ...cookieAffinity, mode: 'balanced' } as Affinity };
const leaving = { ready: false, serving: true, terminating: true };

/** Four workers that have nothing in common but the tables: other random numbers, other order of rows. */
function fleet(fields: Parameters<typeof openBackend>[0], count: number): Opened[] {
  const rows = endpointRows(count);
  return [1, 2, 3, 4].map((seed) => openBackend(fields, seed % 2 === 0 ? rows.toReversed() : rows, { seed }));
}

for (const [name, fields] of Object.entries({ persistent, balanced })) {
  describe(`cookie, ${name}`, () => {
    test('100 clients × 100 requests over four workers: all on the first endpoint', () => {
      const workers = fleet(fields, 7);
      const firsts = new Set<string | undefined>();
      for (let nth = 0; nth < 100; nth++) {
        let turn = nth;
        const client = openClient(() => (workers[turn++ % 4] as Opened).backend);
        const first = client.request();
        firsts.add(first);
        assert.notEqual(client.lastCookie, null);
        for (let request = 1; request < 100; request++) {
          assert.equal(client.request(), first);
          assert.equal(client.lastCookie, null, 'a cookie is issued once');
        }
      }
      assert.equal(firsts.size, 7, 'clients are spread over all endpoints');
    });

    test('losing the endpoint picks another and stays there', () => {
      const opened = openBackend(fields, endpointRows(5));
      const client = openClient(() => opened.backend);
      const first = client.request();
      for (const lost of [undefined, { ready: false, serving: false }]) {
        const rest = endpointRows(5).flatMap((row) => (row.uid !== first ? [row] : lost ? [{ ...row, ...lost }] : []));
        opened.setEndpoints(rest);
        const second = client.request();
        assert.ok(second !== undefined && second !== first);
        for (let request = 0; request < 20; request++) assert.equal(client.request(), second);
      }
    });

    test('forged, truncated, foreign and empty values are as good as none', () => {
      const opened = openBackend(fields, endpointRows(5));
      const client = openClient(() => opened.backend);
      client.request();
      const value = /INGRESSCOOKIE=([^;]+)/.exec(client.headers['cookie'] ?? '')?.[1] ?? '';
      const stranger = openBackend(fields, endpointRows(5));
      stranger.selector.apply(
        { backends: new Map(), endpoints: new Map(), affinityKey: new Uint8Array(32).fill(8) },
        0,
      );
      const flipped = value.slice(0, -2) + (value.at(-2) === 'A' ? 'B' : 'A') + value.slice(-1);
      for (const backend of [opened.backend, stranger.backend]) {
        const forged = [
          '',
          'x',
          '.',
          'a.b',
          flipped,
          value.slice(1),
          `${value}x`,
          value.repeat(50),
          'pod-1',
          '10.0.0.1:80',
        ];
        if (backend === stranger.backend) forged.push(value);
        for (const text of forged) {
          const pick = backend.pick(factsOf({ headers: { cookie: `INGRESSCOOKIE=${text}` } }), [], 0);
          assert.notEqual(pick?.setCookie, null, `"${text}" was taken`);
        }
      }
    });

    test('the value shows nothing of the endpoint', () => {
      const opened = openBackend(fields, [endpointRow(1)]);
      const cookie = picked(opened.backend).setCookie ?? '';
      assert.doesNotMatch(cookie, /pod-1|10\.0\.0|:80|MTAuMC|cG9kL/);
    });

    test('of several cookies of the name, any that is known counts', () => {
      const opened = openBackend(fields, endpointRows(5));
      const client = openClient(() => opened.backend);
      const first = client.request();
      const cookie = `INGRESSCOOKIE=of-another-path; ${client.headers['cookie']}; XINGRESSCOOKIE=1`;
      const pick = picked(opened.backend, [], factsOf({ headers: { cookie } }));
      assert.equal(uidOf(pick), first);
      assert.equal(pick.setCookie, null);
    });

    test('a failed try: the session stays by default, moves with changeOnFailure', () => {
      for (const changeOnFailure of [false, true]) {
        const affinity = { ...fields.affinity, changeOnFailure } as Affinity;
        const opened = openBackend({ affinity }, endpointRows(5));
        const client = openClient(() => opened.backend);
        const first = client.request();
        const facts = factsOf({ headers: client.headers });
        const failed = picked(opened.backend, [], facts).endpoint;
        const second = client.request([failed]);
        if (changeOnFailure) {
          assert.notEqual(second, first);
          assert.notEqual(client.lastCookie, null);
        } else {
          assert.equal(second, first);
          assert.equal(client.lastCookie, null);
        }
        assert.equal(client.request(), second);
      }
    });

    test('an ejected endpoint loses its sessions', () => {
      const outlier = {
        ...plainOutlier,
        consecutiveGatewayErrors: 1,
        baseEjectionMs: 1000,
        maxEjectionMs: 1000,
        maxEjectedPercent: 50,
      };
      const opened = openBackend({ ...fields, outlier }, endpointRows(5));
      const client = openClient(() => opened.backend);
      const first = client.request();
      const { endpoint } = picked(opened.backend, [], factsOf({ headers: client.headers }));
      endpoint.finished({ startedMs: 0, result: 'gateway-error', latencyMs: 1, nowMs: 0 });
      assert.notEqual(client.request(), first);
    });

    test('without the fleet key no cookie is issued, with it one is', () => {
      const { backend, selector } = openBackend(fields, endpointRows(2), { affinityKey: null });
      assert.equal(picked(backend).setCookie, null);
      selector.apply({ backends: new Map(), endpoints: new Map(), affinityKey: fleetKey }, 0);
      assert.match(picked(backend).setCookie ?? '', /^INGRESSCOOKIE=/);
    });

    test('a new fleet key ends the sessions of the old one; the same key again does not', () => {
      const { backend, selector } = openBackend(fields, endpointRows(2));
      const client = openClient(() => backend);
      client.request();
      selector.apply({ backends: new Map(), endpoints: new Map(), affinityKey: Uint8Array.from(fleetKey) }, 0);
      client.request();
      assert.equal(client.lastCookie, null);
      selector.apply({ backends: new Map(), endpoints: new Map(), affinityKey: new Uint8Array(32) }, 0);
      client.request();
      assert.notEqual(client.lastCookie, null);
    });
  });
}

test('persistent: sessions stay when endpoints are added, and on an endpoint that terminates while it serves', () => {
  const opened = openBackend(persistent, endpointRows(3));
  const clients = Array.from({ length: 50 }, () => openClient(() => opened.backend));
  const firsts = clients.map((client) => client.request());
  opened.setEndpoints([...endpointRows(3, (nth) => (nth === 1 ? leaving : {})), endpointRow(8), endpointRow(9)]);
  assert.deepEqual(
    clients.map((client) => client.request()),
    firsts,
  );
  const newcomers = countPicks(opened.backend, 200);
  assert.equal(newcomers.has('pod-1'), false);
  const gone = clients[firsts.indexOf('pod-1')];
  const endpoint = picked(opened.backend, [], factsOf({ headers: gone?.headers ?? {} })).endpoint;
  assert.notEqual(gone?.request([endpoint]), 'pod-1', 'it closed its door: the session moves on');
  assert.notEqual(gone?.lastCookie, null);
});

test('persistent: the addresses of a dual-stack pod are one home', () => {
  const rows = endpointRows(6, (nth) => ({ uid: `dual-${nth >> 1}` }));
  const opened = openBackend(persistent, rows);
  const client = openClient(() => opened.backend);
  const first = client.request();
  const { endpoint } = picked(opened.backend, [], factsOf({ headers: client.headers }));
  const again = picked(opened.backend, [endpoint], factsOf({ headers: client.headers }));
  assert.notEqual(again.endpoint, endpoint, 'the other address is tried');
  assert.equal(uidOf(again), first);
  opened.setEndpoints(rows.filter((row) => row.address !== endpoint.address));
  assert.equal(client.request(), first);
  assert.equal(client.lastCookie, null);
});

test('persistent: an endpoint that terminates and fails loses its sessions while it is left out', () => {
  const outlier = {
    ...plainOutlier,
    consecutiveGatewayErrors: 1,
    baseEjectionMs: 1000,
    maxEjectionMs: 1000,
    maxEjectedPercent: 50,
  };
  const opened = openBackend({ ...persistent, outlier }, endpointRows(3));
  const client = openClient(() => opened.backend);
  const first = client.request();
  opened.setEndpoints(endpointRows(3).map((row) => (row.uid === first ? { ...row, ...leaving } : row)));
  assert.equal(client.request(), first);
  picked(opened.backend, [], factsOf({ headers: client.headers })).endpoint.finished({
    startedMs: 0,
    result: 'gateway-error',
    latencyMs: 1,
    nowMs: 0,
  });
  const { headers } = client;
  const at = (nowMs: number) => uidOf(opened.backend.pick(factsOf({ headers: { ...headers } }), [], nowMs));
  const cookie = headers['cookie'];
  assert.notEqual(client.request(), first);
  headers['cookie'] = cookie as string;
  assert.notEqual(at(999), first);
  assert.equal(at(1000), first);
});

test('persistent: the token names the pod, not its address or backend row', () => {
  const opened = openBackend(persistent, endpointRows(3));
  const client = openClient(() => opened.backend);
  const first = client.request();
  opened.setEndpoints(endpointRows(3).map((row) => ({ ...row, address: row.address.replace('10.0', '10.9') })));
  assert.equal(client.request(), first);
  assert.equal(client.lastCookie, null);
});

test('balanced: another endpoint takes over about its share of the sessions, the others stay', () => {
  const opened = openBackend(balanced, endpointRows(4));
  const clients = Array.from({ length: 1000 }, () => openClient(() => opened.backend));
  const firsts = clients.map((client) => client.request());
  opened.setEndpoints(endpointRows(5));
  let moved = 0;
  clients.forEach((client, nth) => {
    const now = client.request();
    assert.equal(client.lastCookie, null);
    if (now === firsts[nth]) return;
    assert.equal(now, 'pod-4');
    moved++;
  });
  assert.ok(moved > 100 && moved < 300, `${moved} of 1000 moved, 200 is even`);
});

test('Expires is in wall-clock time, though requests count from the start of the process', () => {
  let originMs = Date.UTC(2030, 0, 1);
  const affinity = { ...cookieAffinity, expiresSeconds: 60 };
  const { backend } = openBackend({ affinity }, endpointRows(1), { wallOriginMs: () => originMs });
  assert.match(backend.pick(factsOf(), [], 5000)?.setCookie ?? '', /Expires=Tue, 01 Jan 2030 00:01:05 GMT/);
  // The clock is set.
  originMs = Date.UTC(2031, 0, 1);
  assert.match(backend.pick(factsOf(), [], 5000)?.setCookie ?? '', /Expires=Wed, 01 Jan 2031 00:01:05 GMT/);
});

describe('client address', () => {
  const timeoutSeconds = 100;
  const clientIp = { affinity: { type: 'client-ip', timeoutSeconds } as Affinity };
  const from = (nth: number) => factsOf({ clientAddress: `198.51.100.${nth}` });

  test('workers and replicas agree without talking; clients are spread', () => {
    const workers = fleet(clientIp, 5);
    const seen = new Set<string | undefined>();
    for (let nth = 0; nth < 200; nth++) {
      const homes = new Set(workers.map((worker) => uidOf(worker.backend.pick(from(nth), [], 0))));
      assert.equal(homes.size, 1);
      seen.add([...homes][0]);
    }
    assert.equal(seen.size, 5);
  });

  test('clients are placed by weight', () => {
    const { backend } = openBackend(clientIp, [endpointRow(0), endpointRow(1, { weight: 3 })]);
    const counts = countPicks(backend, 4000, (nth) => factsOf({ clientAddress: `10.${nth >> 8}.${nth & 255}.1` }));
    const heavy = counts.get('pod-1') ?? 0;
    assert.ok(heavy > 2850 && heavy < 3150, `${heavy} of 4000, 3000 is its share`);
  });

  test('known clients stay when endpoints are added, until the timeout after their last request', () => {
    const opened = openBackend(clientIp, endpointRows(3));
    const home = Array.from({ length: 200 }, (_, nth) => uidOf(opened.backend.pick(from(nth), [], 0)));
    opened.setEndpoints(endpointRows(6));
    for (const nowMs of [50_000, 140_000]) {
      for (let nth = 0; nth < 200; nth++) assert.equal(uidOf(opened.backend.pick(from(nth), [], nowMs)), home[nth]);
    }
    const later = Array.from({ length: 200 }, (_, nth) => uidOf(opened.backend.pick(from(nth), [], 240_000)));
    assert.ok(later.some((uid, nth) => uid !== home[nth]));
    const fresh = openBackend(clientIp, endpointRows(6)).backend;
    assert.deepEqual(
      later,
      Array.from({ length: 200 }, (_, nth) => uidOf(fresh.pick(from(nth), [], 0))),
    );
  });

  for (const [how, lost] of Object.entries({ gone: [], unready: [endpointRow(0, { ready: false, serving: false })] })) {
    test(`an endpoint that is ${how} loses its clients, the others keep theirs`, () => {
      const opened = openBackend(clientIp, endpointRows(5));
      const home = Array.from({ length: 200 }, (_, nth) => uidOf(opened.backend.pick(from(nth), [], 0)));
      opened.setEndpoints([...lost, ...endpointRows(5).slice(1)]);
      for (let nth = 0; nth < 200; nth++) {
        const now = uidOf(opened.backend.pick(from(nth), [], 1));
        if (home[nth] === 'pod-0') assert.notEqual(now, 'pod-0');
        else assert.equal(now, home[nth]);
      }
    });
  }

  test('what one worker remembers, its siblings learn', () => {
    const told: AffinityEntry[] = [];
    const memory = new LocalAffinity();
    memory.onRemember((entry) => told.push(entry));
    const worker = openBackend(clientIp, endpointRows(3), { memory });
    const home = Array.from({ length: 100 }, (_, nth) => uidOf(worker.backend.pick(from(nth), [], 0)));
    assert.equal(told.length, 100);
    const siblingMemory = new LocalAffinity();
    for (const entry of told) siblingMemory.learn(structuredClone(entry));
    const sibling = openBackend(clientIp, endpointRows(9), { memory: siblingMemory });
    assert.deepEqual(
      Array.from({ length: 100 }, (_, nth) => uidOf(sibling.backend.pick(from(nth), [], 1))),
      home,
    );
  });

  for (const [when, nowMs] of [
    ['long after it was told of', 30_000],
    ['in the moment in which it was told of', 0],
  ] as const) {
    test(`where a client has moved ${when}, siblings learn`, () => {
      const [memory, siblingMemory] = [new LocalAffinity(), new LocalAffinity()];
      memory.onRemember((entry) => siblingMemory.learn(structuredClone(entry)));
      const worker = openBackend(clientIp, endpointRows(3), { memory });
      const sibling = openBackend(clientIp, endpointRows(3), { memory: siblingMemory });
      const all = Array.from({ length: 100 }, (_, nth) => nth);
      for (const nth of all) worker.backend.pick(from(nth), [], 0);
      const moved = all.map((nth) => {
        const first = worker.backend.pick(from(nth), [], nowMs);
        return uidOf(worker.backend.pick(from(nth), first === null ? [] : [first.endpoint], nowMs));
      });
      assert.deepEqual(
        all.map((nth) => uidOf(sibling.backend.pick(from(nth), [], nowMs + 1))),
        moved,
      );
    });
  }

  test('memories do not mix backends or clients, and say neither', () => {
    const told: AffinityEntry[] = [];
    const memory = new LocalAffinity();
    memory.onRemember((entry) => told.push(entry));
    const selector = new Selector({
      zone: null,
      node: null,
      random: () => 0,
      memory,
      wallOriginMs: () => 0,
      onEject: () => undefined,
    });
    const ids = ['web', 'api'];
    selector.apply(
      {
        backends: new Map(ids.map((id) => [id, { ...backendRow(clientIp), id }])),
        endpoints: new Map([['all', endpointsRow(endpointRows(3), ids)]]),
        affinityKey: fleetKey,
      },
      0,
    );
    for (const id of ids) for (const nth of [1, 2]) selector.backend(id)?.pick(from(nth), [], 0);
    assert.equal(new Set(told.map(({ id }) => id)).size, 4);
    for (const { id } of told) assert.match(id, /^[\w-]{22}$/);
    selector.apply({ backends: new Map(), endpoints: new Map(), affinityKey: new Uint8Array(32) }, 0);
    selector.backend('web')?.pick(from(1), [], 0);
    assert.notEqual(told[4]?.id, told[0]?.id, 'another fleet, another name');
  });

  test('a failed try moves the client', () => {
    const { backend } = openBackend(clientIp, endpointRows(3));
    const first = picked(backend);
    const second = picked(backend, [first.endpoint]);
    assert.notEqual(second.endpoint, first.endpoint);
    assert.equal(picked(backend).endpoint, second.endpoint);
  });
});
