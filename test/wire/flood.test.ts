import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { Attack, type AttackOptions } from '../kit/attack.ts';
import { h2Preface } from '../kit/attacks.ts';
import { certificateFor } from '../kit/certificate.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, type Manifest, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let manifests: Manifest[];
const running: (Standalone | Attack | Load)[] = [];

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  manifests = [
    ingressClass(),
    ingress({
      name: 'all',
      host: 'gw.test',
      paths: { '/': 'recorder' },
      tlsSecret: 'cert',
      annotations: { 'ssl-redirect': 'false' },
    }),
    ...service('recorder', [recorder.port]),
    tlsSecret('cert', await certificateFor(['gw.test'])),
  ];
});

afterEach(async () => {
  for (const each of running.splice(0).reverse()) await each.stop();
});

after(() => recorder?.stop());

/** Addresses of attackers; honest clients come from 127.0.0.1. */
const one = ['127.0.66.1'];
const many = Array.from({ length: 16 }, (_, nth) => `127.0.66.${nth + 1}`);

/** RFC 9113 §6.9: an increment of nothing is an error. */
const zeroWindowUpdate = '\0\0\x04\x08\0\0\0\0\0\0\0\0\0';

/** One worker with limits, `connections` of 64 among them. */
async function gateway(limits: Record<string, number>, args: readonly string[] = []): Promise<Standalone> {
  const flags = Object.entries({ connections: 64, ...limits }).flatMap(([name, value]) => [
    `--limit-${name}`,
    `${value}`,
  ]);
  const sluice = await Standalone.start({ manifests, args: [...flags, ...args] });
  running.push(sluice);
  return sluice;
}

function attack(options: AttackOptions): Attack {
  const started = Attack.start(options);
  running.push(started);
  return started;
}

/** Honest clients: some keep their connection, some come anew for each request. */
function honest(sluice: Standalone, isTls = false): Load[] {
  const port = isTls ? sluice.httpsPort : sluice.httpPort;
  const loads = [true, false].map((keepsAlive) =>
    Load.start({ port, host: 'gw.test', connections: 2, requestsPerSecond: 100, keepsAlive, isTls }),
  );
  running.push(...loads);
  return loads;
}

async function assertAllServed(loads: readonly Load[]): Promise<void> {
  for (const load of loads)
    await waitUntil(() => load.report.answered >= 50 || load.report.failures.length > 0, 'honest requests');
  for (const load of loads) assert.deepEqual((await load.stop()).failures, []);
}

async function turnedAway(sluice: Standalone, reason: string): Promise<number> {
  const found = new RegExp(`^sluice_connections_turned_away_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(
    await sluice.admin('/metrics'),
  );
  return Number(found?.[1]);
}

describe('connections that say nothing', () => {
  test('of one address take three quarters of the room and no more', async () => {
    const sluice = await gateway({ 'idle-ms': 60_000 });
    const flood = attack({ port: sluice.httpPort, from: one, connections: 200 });
    await waitUntil(() => flood.ended >= 200 - 48, 'the rest to be turned away');
    await assertAllServed(honest(sluice));
    assert.equal(flood.open, 48);
    assert.equal(await turnedAway(sluice, 'source'), 152);
    // Some are told why: who has sent nothing reads it, for the end of his connection is no reset.
    const refused = await eventually(async () => {
      const late = await RawClient.open({ port: sluice.httpPort, from: one[0] as string });
      const response = await late.response().catch(() => undefined);
      late.destroy();
      return response;
    }, 'one who is turned away to be told so');
    assert.deepEqual([refused.status, fieldValue(refused, 'retry-after')], [503, '1']);
  });

  test('of many addresses make room for those who ask something', async () => {
    const sluice = await gateway({ 'idle-ms': 60_000 });
    const flood = attack({ port: sluice.httpPort, from: many, connections: 400 });
    await waitUntil(() => flood.ended >= 400 - 64, 'the oldest to be sent away');
    await assertAllServed(honest(sluice));
    assert.ok(flood.open <= 64);
  });

  test('of a trusted proxy may be as many as there is room for: it stands for its clients', async () => {
    const sluice = await gateway({ 'idle-ms': 60_000 }, ['--trusted-proxies', '127.0.66.0/24']);
    const flood = attack({ port: sluice.httpPort, from: one, connections: 64 });
    await waitUntil(() => flood.connected === 64, 'all of them');
    await assertAllServed(honest(sluice));
    assert.equal(await turnedAway(sluice, 'source'), 0);
  });

  test('are as many per address as somebody has set', async () => {
    const sluice = await gateway({ 'connections-per-source': 7 });
    const flood = attack({ port: sluice.httpPort, from: many, connections: 10 * 16 });
    await waitUntil(() => flood.ended >= 3 * 16, 'the rest to be turned away');
    await assertAllServed(honest(sluice));
  });
});

test('connections per second of one address are as many as somebody has set, a second’s worth at once', async () => {
  const sluice = await gateway({ 'new-connections-per-source': 1, connections: 1_000 });
  const flood = attack({ port: sluice.httpPort, from: ['127.0.66.1', '127.0.66.2'], connections: 100 });
  await waitUntil(() => flood.ended >= 90, 'most of them to be turned away');
  assert.ok((await turnedAway(sluice, 'source')) >= 90);
  // Honest clients that come as rarely do not notice.
  await eventually(async () => {
    const load = Load.start({ port: sluice.httpPort, host: 'gw.test', connections: 1, requestsPerSecond: 100 });
    await waitUntil(() => load.report.answered >= 20 || load.report.failures.length > 0, 'an honest client');
    return (await load.stop()).failures.length === 0 ? true : undefined;
  }, 'an honest client to be served');
});

describe('who breaks the rules of HTTP/2 again and again', () => {
  const breaksRules = { behave: (socket: Socket) => void socket.write(h2Preface('') + zeroWindowUpdate, 'latin1') };

  test('is let in as a few, until he has stopped', async () => {
    const sluice = await gateway({ connections: 1_000 });
    const own = ['127.0.0.1'];
    // A worker that is kept from its work lets all of them in before it reads what the first has said.
    await eventually(async () => {
      await attack({ port: sluice.httpPort, from: own, connections: 400, ...breaksRules }).allEnded();
      return (await turnedAway(sluice, 'offender')) > 0 ? true : undefined;
    }, 'some to be turned away');
    await eventually(async () => {
      const load = Load.start({
        ...{ port: sluice.httpPort, host: 'gw.test', connections: 2 },
        ...{ requestsPerSecond: 500, keepsAlive: false },
      });
      await waitUntil(() => load.report.answered >= 200 || load.report.failures.length > 0, 'an honest client');
      return (await load.stop()).failures.length === 0 ? true : undefined;
    }, 'an honest client of that address to be served');
  });

  test('does not hurt others', async () => {
    const sluice = await gateway({ connections: 1_000 });
    const flood = attack({ port: sluice.httpPort, from: one, connections: 200, perSecond: 1_000, ...breaksRules });
    const isMany = async () => (await turnedAway(sluice, 'offender')) > 50 || undefined;
    await eventually(isMany, 'many to be turned away');
    await assertAllServed(honest(sluice));
    flood.stop();
  });

  test('is not known to be one who is behind a trusted proxy', async () => {
    const sluice = await gateway({ connections: 1_000 }, ['--trusted-proxies', '127.0.66.0/24']);
    const flood = attack({ port: sluice.httpPort, from: one, connections: 400, ...breaksRules });
    await flood.allEnded();
    assert.equal(await turnedAway(sluice, 'offender'), 0);
  });
});

describe('TLS handshakes', () => {
  for (const [what, first] of Object.entries({
    'never begun': '',
    'never finished': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  })) {
    test(`${what}: one address holds three quarters of those that there may be, for as long as a handshake may take`, async () => {
      const sluice = await gateway({ handshakes: 64, 'handshake-ms': 3_000, connections: 1_000 });
      const flood = attack({
        port: sluice.httpsPort,
        from: one,
        connections: 100,
        behave(socket) {
          socket.write(first, 'latin1');
          return undefined;
        },
      });
      await waitUntil(() => flood.ended >= 100 - 48, 'the rest to be turned away');
      await assertAllServed(honest(sluice, true));
      assert.ok(flood.open <= 48, `${flood.open} are open`);
      await flood.allEnded();
    });
  }

  for (const [whose, from, limits] of [
    ['of many addresses', many, { handshakes: 16 }],
    ['of one address', one, { 'handshakes-per-source': 16 }],
  ] as const) {
    test(`${whose} are as many as somebody has set`, async () => {
      const sluice = await gateway({ ...limits, 'handshake-ms': 60_000, connections: 1_000 });
      const flood = attack({ port: sluice.httpsPort, from, connections: 40, behave: () => undefined });
      await waitUntil(() => flood.ended >= 24, 'the rest to be turned away');
      assert.equal(flood.open, 16);
    });
  }

  test('that are not getting on give way to new ones when there are as many as may be', async () => {
    const sluice = await gateway({ handshakes: 16, 'handshake-ms': 3_600_000, connections: 1_000 });
    const flood = attack({ port: sluice.httpsPort, from: many, connections: 16, behave: () => undefined });
    await waitUntil(() => flood.connected === 16, 'them to be as many as may be');
    for (let nth = 0; nth < 3; nth++) {
      await eventually(async () => {
        const tls = { servername: 'gw.test' };
        const answered = await exchange({ port: sluice.httpsPort, tls }, get('/', 'gw.test')).catch(() => undefined);
        return answered?.status === 200 ? true : undefined;
      }, 'somebody else to be served');
    }
    assert.ok(flood.ended <= 3, `${flood.ended} gave way`);
  });

  // Behind a NAT, or where a cluster hands connections on from node to node, an address is many clients.
  test('that are not getting on give way to new ones of their own address alone when it has its share', async () => {
    const sluice = await gateway({ handshakes: 16, 'handshake-ms': 3_600_000, connections: 1_000 });
    const others = attack({ port: sluice.httpsPort, from: ['127.0.66.9'], connections: 2, behave: () => undefined });
    await waitUntil(() => others.connected === 2, 'the oldest');
    const flood = attack({ port: sluice.httpsPort, from: one, connections: 12, behave: () => undefined });
    await waitUntil(() => flood.connected === 12, 'them to be as many as one may have');
    const [from = ''] = one;
    for (let nth = 0; nth < 6; nth++) {
      await eventually(async () => {
        const client = { port: sluice.httpsPort, from, tls: { servername: 'gw.test' } };
        const answered = await exchange(client, get('/', 'gw.test')).catch(() => undefined);
        return answered?.status === 200 ? true : undefined;
      }, 'somebody of the same address to be served');
    }
    assert.equal(others.ended, 0);
    assert.ok(flood.ended <= 6, `${flood.ended} gave way`);
  });

  for (const [which, limits] of Object.entries({
    'what is fair': { handshakes: 16 },
    'what somebody has set': { 'handshakes-per-source': 12 },
  })) {
    test(`as many as ${which} keep nobody of their address from what needs none`, async () => {
      const sluice = await gateway({ ...limits, 'handshake-ms': 3_600_000, connections: 1_000 });
      const flood = attack({ port: sluice.httpsPort, from: one, connections: 16, behave: () => undefined });
      await waitUntil(() => flood.connected >= 12 && flood.open === 12, 'them to be as many as one may have');
      const [from = ''] = one;
      const answered = await exchange({ port: sluice.httpPort, from }, get('/', 'gw.test'));
      assert.equal(answered.status, 200);
    });
  }

  test('that are finished count no more', async () => {
    const sluice = await gateway({ handshakes: 12, connections: 1_000 });
    for (let round = 1; round <= 10; round++) {
      const clients = attack({ port: sluice.httpsPort, from: one, connections: 3, isTls: true });
      await waitUntil(() => clients.connected + clients.ended === 3, 'their handshakes');
      assert.equal(clients.open, 3);
    }
  });

  test('what is not TLS ends at once and is forgotten', async () => {
    const sluice = await gateway({ handshakes: 16 });
    for (let round = 1; round <= 20; round++) {
      const clients = attack({
        port: sluice.httpsPort,
        from: one,
        connections: 3,
        behave(socket) {
          socket.write(get('/', 'gw.test'));
          return undefined;
        },
      });
      await clients.allEnded();
    }
    await assertAllServed(honest(sluice, true));
  });
});

test('half a request head: of too many the one that waits longest is answered 408', async () => {
  const sluice = await gateway({ connections: 1_000, 'half-open-heads': 20, 'head-ms': 60_000 });
  const answers: string[] = [];
  const flood = attack({
    port: sluice.httpPort,
    from: many,
    connections: 60,
    behave(socket) {
      socket.write('GET / HTTP/1.1\r\nHost: gw.test\r\n');
      socket.once('data', (bytes: Buffer) => answers.push(bytes.toString('latin1').slice(9, 12)));
      return undefined;
    },
  });
  await waitUntil(() => flood.ended >= 40, 'forty to be given up');
  await assertAllServed(honest(sluice));
  assert.equal(flood.open, 20);
  assert.deepEqual(new Set(answers), new Set(['408']));
});
