import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { HandleLink } from '../../proxy/carry/handlelink.ts';
import { testGateway } from '../kit/gateway.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const clients = 600;
const field = `X-Field: ${'a'.repeat(2_989)}\r\n`;

test('of long heads that come without end a turn of the loop reads some more, not of all clients who have sent it', async (t) => {
  // Nobody is turned away because all of them come at once, which a slow machine may find too many.
  const gateway = await testGateway(plainTable([]), { headMs: 0, overloadMs: 0 });
  const sockets = new Map<number | undefined, Socket>();
  t.after(async () => {
    clearImmediate(turn);
    for (const socket of sockets.values()) socket.destroy();
    await gateway.stop();
  });
  const reads = new Map<number | undefined, number>();
  /** Up to which read each goes on sending: the next piece when one is read, so that it is there in the turn that follows. */
  let mostReads = 5;
  let inTurn = 0;
  let mostInTurn = 0;
  const { read } = HandleLink.prototype;
  t.mock.method(HandleLink.prototype, 'read', function (this: HandleLink, count: number) {
    const { port } = this.peerName;
    const had = (reads.get(port) ?? 0) + 1;
    reads.set(port, had);
    inTurn++;
    if (had < mostReads) sockets.get(port)?.write(field);
    return read.call(this, count);
  });
  const endTurn = () => {
    mostInTurn = Math.max(mostInTurn, inTurn);
    inTurn = 0;
    turn = setImmediate(endTurn);
  };
  let turn = setImmediate(endTurn);
  const haveAll = () => reads.size === clients && [...reads.values()].every((had) => had === mostReads);
  for (let i = 0; i < clients; i++) {
    const socket = connect(gateway.port, '127.0.0.1', () => {
      sockets.set(socket.localPort, socket);
      socket.write(`GET / HTTP/1.1\r\nHost: gw.test\r\n`);
    });
  }
  await waitUntil(haveAll, 'a long beginning of each');
  mostReads = 9;
  mostInTurn = 0;
  for (const socket of sockets.values()) socket.write(field);
  // That much was awaited of each already; the more that follows is not.
  await waitUntil(() => [...reads.values()].some((had) => had > 6), 'more of somebody');
  mostInTurn = 0;
  await waitUntil(haveAll, 'more of each');
  assert.ok(mostInTurn < clients / 2, `${mostInTurn} in one turn`);
});
