import assert from 'node:assert/strict';
import { constants, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { before, test } from 'node:test';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { type Caller, connect } from '../../proxy/carry/connect.ts';
import { checkHandles } from '../../proxy/carry/handle.ts';
import type { HandleLink } from '../../proxy/carry/handlelink.ts';
import { talkers } from '../../proxy/carry/talkers.ts';
import type { TlsLink } from '../../proxy/carry/tlslink.ts';
import { certificateFor } from '../kit/certificate.ts';
import { EchoServer } from '../kit/echo.ts';
import { collectGarbage } from '../kit/garbage.ts';
import { gathered, kinds, manners, open } from '../kit/manners.ts';
import { freePorts } from '../kit/ports.ts';
import { endOf } from '../kit/tcpbackend.ts';
import { waitUntil } from '../kit/wait.ts';

let context: SecureContext;

before(async () => {
  context = createSecureContext({
    ...(await certificateFor(['a.test'])),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  });
});

test('this Node has everything that is used of it', () => {
  checkHandles(context);
});

test('TLS: what is resumed in a turn in which nobody is to read any more is read after it', async () => {
  const server = await EchoServer.start(context);
  const socket = open('TLS', server.port);
  const got = gathered(socket);
  socket.write('one');
  await waitUntil(() => got.length === 3, 'the first echo');
  const [link] = server.links as [HandleLink];
  for (const wasReading of [true, false]) {
    if (!wasReading) link.pause();
    talkers.hold();
    link.pause();
    link.resume();
    socket.write('two');
    const length = got.length + 3;
    await waitUntil(() => got.length === length || link.isDestroyed, 'the next one');
    assert.equal(link.fault, '');
  }
  assert.equal(got.bytes.toString(), 'onetwotwo');
  socket.destroy();
  await waitUntil(() => server.open === 0, 'the connection to be gone');
  server.close();
});

for (const kind of kinds) {
  const contextOf = () => (kind === 'TLS' ? context : null);

  test(`${kind}: everything comes back in its order, however much it is`, async () => {
    const server = await EchoServer.start(contextOf());
    const sent = randomBytes(5_000_000);
    const socket = open(kind, server.port);
    const got = gathered(socket);
    socket.end(sent);
    await waitUntil(() => got.ended, 'the end of the echo');
    assert.equal(Buffer.compare(got.bytes, sent), 0);
    socket.destroy();
    await waitUntil(() => server.open === 0, 'the connection to be gone');
    server.close();
  });

  test(`${kind}: what is written behind an unfinished write follows it, and FIN follows all of it`, async () => {
    const large = randomBytes(6_000_000);
    let atOnce = -1;
    const server = await EchoServer.start(contextOf(), (link) => ({
      receive() {
        link.write(large);
        atOnce = link.unsentBytes;
        link.writeText('one');
        link.writeLent('<', Buffer.from('two'), '>');
        link.writeLent('', Buffer.from('three'), '');
        link.close();
        link.writeText('too late');
      },
    }));
    const socket = open(kind, server.port);
    const got = gathered(socket);
    socket.pause();
    socket.write('go');
    await waitUntil(() => atOnce !== -1, 'the writes');
    assert.ok(atOnce > 0, 'nobody reads yet, so something waits');
    socket.resume();
    await waitUntil(() => got.ended, 'the end');
    assert.equal(got.bytes.subarray(large.length).toString(), 'one<two>three');
    assert.equal(Buffer.compare(got.bytes.subarray(0, large.length), large), 0);
    socket.destroy();
    await waitUntil(() => server.open === 0, 'the connection to be gone');
    server.close();
  });

  test(`${kind}: a client may end its half and still be answered`, async () => {
    const order: string[] = [];
    const server = await EchoServer.start(contextOf(), (link) => ({
      ended() {
        order.push('ended');
        link.writeText('late');
        link.end();
      },
      closed() {
        order.push('closed');
      },
    }));
    const socket = open(kind, server.port);
    const got = gathered(socket);
    socket.end('x');
    await waitUntil(() => got.ended, 'the answer');
    assert.equal(got.bytes.toString(), 'late');
    await waitUntil(() => order.length === 2, 'both ends to have said FIN');
    assert.deepEqual(order, ['ended', 'closed']);
    server.close();
  });

  test(`${kind}: the receiver may destroy, reset or close its link inside any call, and hears of it once and later`, async () => {
    for (const way of ['destroy', 'reset', 'close'] as const) {
      for (const where of ['receive', 'ended', 'emptied'] as const) {
        let closed = 0;
        let isInside = false;
        const act = (link: HandleLink): void => {
          isInside = true;
          link[way]();
          link[way]();
          link.pause();
          link.resume();
          link.write(Buffer.from('x'));
          link.end();
          isInside = false;
        };
        const server = await EchoServer.start(contextOf(), (link) => ({
          receive() {
            if (where === 'receive') act(link);
            else link.write(randomBytes(where === 'emptied' ? 6_000_000 : 10));
          },
          ended: () => (where === 'ended' ? act(link) : undefined),
          emptied: () => (where === 'emptied' ? act(link) : undefined),
          closed() {
            assert.equal(isInside, false);
            closed++;
          },
        }));
        const socket = open(kind, server.port);
        socket.resume();
        socket.write('go');
        if (where === 'ended') socket.end();
        await waitUntil(() => server.accepted === 1 && server.open === 0, `${way} in ${where}`);
        assert.equal(closed, 1, `${way} in ${where}`);
        socket.destroy();
        server.close();
      }
    }
  });

  test(`${kind}: a buffer that is being written or read into outlives its owner`, async () => {
    const server = await EchoServer.start(contextOf(), (link) => ({
      receive(bytes, start, end) {
        // Nobody but the link holds these.
        link.write(Buffer.alloc(3_000_000, bytes.subarray(start, end)));
        link.write(Buffer.alloc(3_000_000, bytes.subarray(start, end)));
      },
    }));
    const socket = open(kind, server.port);
    const got = gathered(socket);
    socket.pause();
    socket.write('z');
    await waitUntil(() => server.links.some((link) => link.unsentBytes > 0), 'a write that waits');
    for (let i = 0; i < 3; i++) {
      collectGarbage();
      Buffer.alloc(3_000_000, 'y');
    }
    socket.resume();
    await waitUntil(() => got.length === 6_000_000, 'all of it');
    assert.ok(got.bytes.every((byte) => byte === 0x7a));
    socket.destroy();
    server.close();
  });

  test(`${kind}: clients with every kind of bad manners end nothing but their own connections`, async () => {
    const server = await EchoServer.start(contextOf());
    const sockets: Socket[] = [];
    for (let round = 0; round < 6; round++) {
      for (const manner of Object.values(manners)) sockets.push(manner(kind, server.port));
      collectGarbage();
      // Somebody who behaves is served all the while.
      const honest = open(kind, server.port);
      const got = gathered(honest);
      honest.write('hello');
      await waitUntil(() => got.length === 5, 'the echo');
      honest.destroy();
    }
    for (const socket of sockets) socket.destroy();
    await waitUntil(() => server.open === 0, 'all connections to be gone');
    collectGarbage();
    assert.equal(server.accepted, 6 * (Object.keys(manners).length + 1));
    server.close();
  });
}

test('TCP: a reset is one to the peer, and one of the peer is told by its name', async () => {
  const faults: string[] = [];
  const server = await EchoServer.start(null, (link) => ({
    receive: () => link.reset(),
    closed: () => faults.push(link.fault),
  }));
  assert.equal(await endOf(server.port, Buffer.from('x')), 'ECONNRESET');
  const socket = open('TCP', server.port);
  await once(socket, 'connect');
  socket.resetAndDestroy();
  await waitUntil(() => faults.length === 2, 'both connections to close');
  assert.deepEqual(faults, ['', 'ECONNRESET']);
  server.close();
});

test('TCP: a reset overtakes what waits and the FIN behind it', async () => {
  let isReset = false;
  const server = await EchoServer.start(null, (link) => ({
    receive() {
      link.write(randomBytes(6_000_000));
      link.end();
      link.reset();
      isReset = true;
    },
  }));
  const socket = open('TCP', server.port);
  const got = gathered(socket);
  let code = '';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? '';
  });
  socket.pause();
  socket.write('go');
  await waitUntil(() => isReset, 'the reset');
  socket.resume();
  await waitUntil(() => got.ended || socket.destroyed, 'the end');
  assert.deepEqual([got.ended, code], [false, 'ECONNRESET']);
  server.close();
});

test('TCP: a receiver may have its reads in a chunk of its own, from the next on', async () => {
  const chunk = Buffer.alloc(65_536);
  const went: boolean[] = [];
  const server = await EchoServer.start(null, (link) => ({
    chunk,
    receive(bytes) {
      went.push(bytes === chunk);
      link.writeText('.');
    },
  }));
  const socket = open('TCP', server.port);
  const got = gathered(socket);
  for (let i = 1; i <= 3; i++) {
    socket.write('x');
    await waitUntil(() => got.length === i, 'an answer');
  }
  assert.deepEqual(went, [false, true, true]);
  socket.destroy();
  server.close();
});

test('TLS: a session is resumed; the name and protocol of the client are known', async () => {
  const seen: object[] = [];
  const server = await EchoServer.start(context, (link) => {
    const { serverName, isH2 } = link as TlsLink;
    seen.push({ serverName, isH2 });
    return { receive: () => link.close() };
  });
  let session: Buffer | undefined;
  for (const isReused of [false, true]) {
    const socket = connectTls({
      port: server.port,
      host: '127.0.0.1',
      servername: 'a.test',
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: false,
      ...(session === undefined ? {} : { session }),
    });
    socket.on('session', (fresh) => {
      session = fresh;
    });
    await once(socket, 'secureConnect');
    assert.equal(socket.isSessionReused(), isReused);
    socket.resume().write('x');
    await once(socket, 'close');
  }
  assert.deepEqual(seen, [
    { serverName: 'a.test', isH2: false },
    { serverName: 'a.test', isH2: false },
  ]);
  server.close();
});

test('TLS: a client that is asked for a certificate shows it or none', async () => {
  const pair = await certificateFor(['client.test']);
  const shown: { fault: string | null; subject: string | undefined }[] = [];
  const server = await EchoServer.start(context, (link) => {
    const { peerFault } = link as TlsLink;
    shown.push({ fault: peerFault, subject: (link as TlsLink).peerCertificate()?.subject });
    return { receive: () => link.close() };
  });
  // Each third connection is asked, the first among them.
  for (const options of [pair, {}, {}, {}]) {
    const socket = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    socket.resume().write('x');
    await once(socket, 'close');
  }
  assert.deepEqual(shown[0], { fault: 'DEPTH_ZERO_SELF_SIGNED_CERT', subject: 'CN=client.test' });
  assert.deepEqual(shown[1], { fault: null, subject: undefined });
  assert.equal(shown[3]?.subject, undefined);
  assert.notEqual(shown[3]?.fault, '');
  server.close();
});

test('a connection that cannot be made says why, and later', async () => {
  const told: string[] = [];
  const caller = (name: string): Caller => ({
    chunk: null,
    connected: () => told.push(`${name} connected`),
    receive: () => {},
    ended: () => {},
    emptied: () => {},
    closed: () => told.push(`${name} closed`),
  });
  const [port = 0] = await freePorts(1);
  const shared = Buffer.alloc(1_024);
  const refused = connect(caller('refused'), '127.0.0.1', port, shared);
  const noAddress = connect(caller('no address'), 'not.an.address', port, shared);
  const given = connect(caller('given up'), '127.0.0.1', port, shared);
  given.destroy();
  assert.deepEqual(told, []);
  await waitUntil(() => told.length === 3, 'all to be told');
  assert.deepEqual([...told].sort(), ['given up closed', 'no address closed', 'refused closed']);
  assert.deepEqual([refused.fault, noAddress.fault, given.fault], ['ECONNREFUSED', 'EINVAL', '']);
});

test('what a server said before it reset a connection is read, though writing finds the reset first', async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const told: string[] = [];
  const link = connect(
    {
      chunk: null,
      connected: () => link.writeText('an upload'),
      receive: (bytes, start, end) => told.push(bytes.toString('latin1', start, end)),
      ended: () => told.push('an end in order'),
      emptied: () => {},
      closed: () => told.push(link.fault),
    },
    '127.0.0.1',
    (server.address() as { port: number }).port,
    Buffer.alloc(1_024),
  );
  const [socket] = await accepted;
  await waitUntil(() => !link.isConnecting, 'the connection');
  // What lies unread makes a reset of the end.
  socket.write('the answer');
  socket.destroy();
  link.writeText('more of it');
  assert.equal(told.length, 0);
  link.writeText('and more');
  await waitUntil(() => told.includes('ECONNRESET'), 'the end of the connection');
  server.close();
  assert.deepEqual(told, ['the answer', 'ECONNRESET']);
});
