// TLS brings what it has decrypted after it was paused (proxy/carry/link.ts).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Link, nobody } from '../../proxy/carry/link.ts';
import type { ClientConnection } from '../../proxy/listen/client.ts';
import { doorOf } from '../../proxy/listen/door.ts';
import { peerOf } from '../../proxy/listen/peer.ts';
import { seatHttp } from '../../proxy/listen/seat.ts';
import { awaitTurn } from '../../proxy/listen/turns.ts';
import { testGateway } from '../kit/gateway.ts';
import { Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const address = '127.0.0.1';

/** A connection that is told what comes, and whether it is read. */
class ToldLink implements Link {
  receiver = nobody;
  counter = null;
  unsentBytes = 0;
  isFull = false;
  holdsLent = false;
  copies = true;
  roomBytes = 0;
  isConnecting = false;
  isEnding = false;
  isDestroyed = false;
  fault = '';
  isCutOff = false;
  isRead = true;

  write(): void {}
  writeText(): void {}
  writeLent(): void {}
  end(): void {}
  close(): void {}
  reset(): void {}
  destroy(): void {}

  pause(): void {
    this.isRead = false;
  }

  resume(): void {
    this.isRead = true;
  }
}

/** One of which so much of a head has come that more of it is read in its turn only. */
async function withLongHead(t: TestContext) {
  const recorder = await Recorder.start({ onRequest: () => undefined });
  const gateway = await testGateway(plainTable([{ address, port: recorder.port }]));
  // By it the gateway knows where the client comes from.
  const socket = connect(gateway.port, address);
  t.after(async () => {
    socket.destroy();
    await gateway.stop();
    await recorder.stop();
  });
  await once(socket, 'connect');
  const listener = gateway.live.listeners.get('http');
  assert.ok(listener);
  const link = new ToldLink();
  const peer = peerOf(doorOf(listener, 0, gateway.gateway.limits), address, '', null, null);
  const client = seatHttp({ engine: gateway.gateway, replaced() {} }, link, peer, false) as ClientConnection;
  const receive = (text: string) => client.receive(Buffer.from(text, 'latin1'), 0, text.length);
  receive(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 4\r\nX-Long: ${'a'.repeat(10_000)}`);
  await waitUntil(() => link.isRead, 'the beginning to be read');
  receive('a');
  assert.equal(link.isRead, false);
  return { gateway, recorder, link, receive };
}

test('of all that TLS brings of a long head behind the pause, the client waits for one turn', async (t) => {
  const { receive, link } = await withLongHead(t);
  for (let record = 0; record < 5_000; record++) receive('a');
  let turn = 0;
  let hadTurn = false;
  awaitTurn(address, () => {
    hadTurn = true;
  });
  for (; !hadTurn; turn++) await new Promise(setImmediate);
  assert.ok(turn <= 2, `another of the same address waited for ${turn} turns`);
  assert.equal(link.isRead, true);
});

test('where that is the end of the head, and memory is full, the body is read', async (t) => {
  const { gateway, recorder, receive, link } = await withLongHead(t);
  gateway.gateway.pressure.isFull = true;
  receive('\r\n\r\n');
  gateway.gateway.pressure.isFull = false;
  await new Promise<void>((resolve) => awaitTurn(address, resolve));
  assert.equal(link.isRead, true);
  receive('body');
  await waitUntil(() => recorder.requests.length === 1, 'the request');
  assert.equal(recorder.requests[0]?.body.toString(), 'body');
});
