import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Neighbour } from '../../proxy/speak/peers.ts';
import { type Reply, ReplyReader } from '../../proxy/speak/reply.ts';
import { Sessions } from '../../proxy/speak/sessions.ts';
import { pathsOf, pathTo, sessionsOf } from '../../proxy/speak/states.ts';
import { planRow } from '../kit/plans.ts';
import { speechCases } from './speaking.ts';

/** One file per case: rows of a plan in, the files of BIRD and problems out. `UPDATE=1` rewrites what is expected. */
for (const each of speechCases()) {
  test(`${each.file.replace('.yaml', '')}: ${each.about}`, () => {
    if (process.env['UPDATE'] === '1') each.update();
    else assert.deepEqual(each.actual, each.expected);
  });
}

const answers = [
  '0001 BIRD 2.0.12 ready.\n',
  '0002-Reading configuration from bird.next.conf\n8002 bird.next.conf:8:14 syntax error, unexpected LINK\n',
  '+1002 what nobody asked for\n',
  '2002-Name       Proto      Table      State  Since         Info\n',
  '1002-s_device   Device     ---        up     2026-11-27 02:37:43.167  \n1006-\n',
  '1002-p_rack1    BGP        ---        up     2026-11-27 02:37:44.003  Established   \n',
  '1006-  BGP state:          Established\n     Neighbor address: 172.30.0.254\n   Channel ipv4\n',
  '     Routes:         0 imported, 2 exported, 0 preferred\n   Channel ipv6\n',
  '     Routes:         0 imported, 1 exported, 0 preferred\n \n',
  '1002-p_x        BGP        ---        start  2026-11-27 02:39:04.612  Active        Socket: No route to host\n',
  '1006-  BGP state:          Active\n     Last error:       Socket: No route to host\n0000 \n',
  '1020-s_bfd:\n IP address                Interface  State      Since         Interval  Timeout\n',
  ' 172.30.0.254              eth0       Up         2026-11-27 02:40:09.753    0.100    0.500\n',
  ' fe80::1                   eth0       Down       2026-11-27 02:40:09.753    0.100    0.500\n',
  ' fe80::1                   eth1       Up         2026-11-27 02:40:09.753    0.100    0.500\n0000 \n',
].join('');

function read(pieces: readonly Uint8Array[]): Reply[] {
  const reader = new ReplyReader();
  return pieces.flatMap((piece) => reader.read(piece));
}

test('replies are the same wherever the bytes were cut', () => {
  const bytes = Buffer.from(answers);
  const whole = read([bytes]);
  assert.deepEqual(
    whole.map(({ code }) => code),
    [1, 8002, 0, 0],
  );
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
      assert.deepEqual(read(pieces), whole);
    }),
  );
});

test('whoever speaks otherwise, or without end, is not BIRD', () => {
  for (const text of ['HTTP/1.1 400 Bad Request\n', '\n', ' a line that goes on from none\n', '12 short\n']) {
    assert.throws(() => read([Buffer.from(text)]), /it answers/);
  }
  assert.throws(() => read([Buffer.alloc(100_000, 'a')]), /does not end/);
});

test('sessions and paths are read out of what BIRD shows', () => {
  const [, , protocols, bfd] = read([Buffer.from(answers)]);
  if (protocols === undefined || bfd === undefined) throw new Error('there are four replies');
  assert.deepEqual(Object.fromEntries(sessionsOf(protocols)), {
    p_rack1: { state: 'Established', since: '2026-11-27 02:37:44.003', lastError: '', announced: 3 },
    p_x: { state: 'Active', since: '2026-11-27 02:39:04.612', lastError: 'Socket: No route to host', announced: 0 },
  });
  const paths = pathsOf(bfd);
  assert.equal(paths.get(pathTo('172.30.0.254', null)), 'up');
  assert.deepEqual(
    ['eth0', 'eth1'].map((on) => paths.get(pathTo('fe80::1', on))),
    ['down', 'up'],
  );
});

test('a peer on one link is not said to be reached because another link has a router of the same address', () => {
  const bfd = { receiveMs: 300, transmitMs: 300, multiplier: 3, isPassive: false };
  const neighbours = ['eth0', 'eth1'].map((on): Neighbour => {
    const row = planRow('peer', { id: on, address: 'fe80::1', interface: on, localAsn: 1, peerAsn: 2, bfd })
      .row as Neighbour['row'];
    return { row, password: null, localAddress: null, families: [6] };
  });
  const sessions = new Sessions();
  const bfdReply = read([Buffer.from(answers)])[3];
  if (bfdReply === undefined) throw new Error('there are four replies');
  sessions.note(new Map(), pathsOf(bfdReply));
  assert.deepEqual(
    neighbours.map((each) => sessions.isPathUp(each)),
    [false, true],
  );
});
