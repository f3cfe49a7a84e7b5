/** Connections whose peers do not read: proxy/carry alone. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { before, test } from 'node:test';
import { createSecureContext, type SecureContext } from 'node:tls';
import { type Link, nobody } from '../../proxy/carry/link.ts';
import { SocketLink } from '../../proxy/carry/socketlink.ts';
import { certificateFor } from '../kit/certificate.ts';
import { EchoServer } from '../kit/echo.ts';
import { gathered, kinds, open } from '../kit/manners.ts';
import { waitUntil, within } from '../kit/wait.ts';

let context: SecureContext;

before(async () => {
  context = createSecureContext(await certificateFor(['gw.test']));
});

test('the kernel takes no more for a client than it can send it soon', async () => {
  const piece = Buffer.alloc(16_384);
  let taken = 0;
  const server = await EchoServer.start(null, (link) => ({
    receive() {
      for (; link.unsentBytes === 0; taken += piece.length) link.write(piece);
    },
  }));
  const socket = open('TCP', server.port);
  socket.pause();
  socket.write('go');
  await waitUntil(() => taken > 0, 'the writes');
  // What a client has room for that has read nothing is below 0.2 MB; left to itself the kernel takes ten times as much on top.
  assert.ok(taken < 1_000_000, `${taken} bytes`);
  socket.destroy();
  server.close();
});

for (const kind of kinds) {
  const contextOf = () => (kind === 'TLS' ? context : null);

  test(`${kind}: a link that is full says so, and says when it is empty`, async () => {
    const told: string[] = [];
    const server = await EchoServer.start(contextOf(), (link) => ({
      receive() {
        link.write(randomBytes(8_000_000));
        told.push(link.isFull ? 'full' : 'not full');
      },
      emptied() {
        told.push(link.isFull || link.unsentBytes > 0 ? 'not empty' : 'empty');
      },
    }));
    const socket = open(kind, server.port);
    socket.pause();
    socket.write('go');
    await waitUntil(() => told.length > 0, 'the write');
    assert.deepEqual(told, ['full']);
    socket.resume();
    await waitUntil(() => told.length > 1, 'it to be empty');
    assert.deepEqual(told, ['full', 'empty']);
    socket.destroy();
    server.close();
  });

  test(`${kind}: many small writes that wait make a link full, few as their bytes are`, async () => {
    let isEmpty = false;
    let written = 0;
    let drips = 0;
    const server = await EchoServer.start(contextOf(), (link) => ({
      receive() {
        while (link.unsentBytes === 0) {
          link.write(Buffer.alloc(10_000));
          written += 10_000;
        }
        assert.equal(link.isFull, false);
        for (; !link.isFull; drips++) link.write(Buffer.alloc(1));
      },
      emptied() {
        isEmpty = !link.isFull;
        link.close();
      },
    }));
    const socket = open(kind, server.port);
    socket.pause();
    socket.write('go');
    await waitUntil(() => drips > 0, 'the link to be full');
    assert.ok(drips <= 128, `after ${drips} bytes`);
    const got = gathered(socket);
    socket.resume();
    await waitUntil(() => got.ended, 'the end');
    assert.deepEqual([got.length, isEmpty], [written + drips, true]);
    socket.destroy();
    server.close();
  });

  test(`${kind}: a link is full while lent bytes wait, few as they are`, async () => {
    const lent = Buffer.alloc(20_000, 'a');
    let isWaiting = false;
    /** As a reader does that reads on. */
    const goOn = (link: Link) => {
      if (lent[0] !== 97) return;
      assert.deepEqual([link.isFull, link.holdsLent], [false, false]);
      lent.fill('b');
      link.writeLent('', lent, '');
      link.close();
    };
    const server = await EchoServer.start(contextOf(), (link) => ({
      receive() {
        link.writeText('first');
        link.writeLent('<', lent, '>');
        isWaiting = link.unsentBytes > 0;
        assert.deepEqual([link.isFull, link.holdsLent], [isWaiting, isWaiting]);
        if (!isWaiting) goOn(link);
      },
      emptied: () => goOn(link),
    }));
    const socket = open(kind, server.port);
    const got = gathered(socket);
    socket.write('go');
    await waitUntil(() => got.ended, 'the end');
    assert.equal(got.bytes.toString(), `first<${'a'.repeat(20_000)}>${'b'.repeat(20_000)}`);
    assert.equal(isWaiting, kind === 'TLS', 'TLS sends at the end of a turn, the kernel takes it at once');
    socket.destroy();
    server.close();
  });

  test(`${kind}: what a client does not take is gone with its link`, async () => {
    const server = await EchoServer.start(contextOf(), (link) => ({
      receive() {
        link.write(randomBytes(8_000_000));
        setImmediate(() => link.destroy());
      },
    }));
    const socket = open(kind, server.port);
    const ended = new Promise<string>((resolve) => {
      socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? ''));
      socket.on('close', () => resolve('an end'));
    });
    socket.pause();
    socket.write('go');
    await waitUntil(() => server.accepted > 0 && server.open === 0, 'the link to be gone');
    socket.resume();
    // The kernel would send what it holds of a link that was closed, and then FIN.
    assert.equal(await within(ended, 'the end'), 'ECONNRESET');
    server.close();
  });
}

test('a dialled TLS connection is full by many small writes, too', async () => {
  const server = await EchoServer.start(context);
  const socket = open('TLS', server.port);
  const link = new SocketLink(socket);
  let isEmpty = false;
  let received = 0;
  link.receiver = {
    ...nobody,
    receive(_, start, end) {
      received += end - start;
    },
    emptied() {
      isEmpty = !link.isFull;
    },
  };
  await once(socket, 'secureConnect');
  let drips = 0;
  for (; !link.isFull; drips++) link.write(Buffer.alloc(1));
  assert.ok(drips <= 128, `after ${drips} bytes`);
  await waitUntil(() => isEmpty && received === drips, 'what was written to come back');
  link.destroy();
  server.close();
});
