import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { request } from 'undici';
import { type AdminPort, listenAdmin } from '#kit/listenadmin.ts';

const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
const make = () => createServer((_request, response) => response.end('here'));

async function answersAt(address: string, { port }: AdminPort): Promise<boolean> {
  const answer = await request(`http://${address}:${port}/`).catch((error: NodeJS.ErrnoException) => error.code);
  return typeof answer === 'object' && (await answer.body.text()) === 'here';
}

describe('where admin pages are', () => {
  test('at the address that is named and on loopback, and nowhere else', {
    skip: outside === undefined && 'this machine has no address but those of loopback',
  }, async () => {
    const open = await listenAdmin(make, outside ?? '', 0);
    try {
      const places = [outside ?? '', '127.0.0.1', '127.0.0.2'];
      assert.deepEqual(await Promise.all(places.map((place) => answersAt(place, open))), [true, true, false]);
    } finally {
      await open.close();
    }
    assert.equal(await answersAt('127.0.0.1', open), false);
  });

  test('at another port than the one that the kernel chose, when somebody has that one on loopback', {
    skip: outside === undefined && 'this machine has no address but those of loopback',
  }, async () => {
    const other = createTcpServer().unref();
    let takenPort = 0;
    let first: Server | undefined;
    const makeTwo = () => {
      const server = make();
      if (first === undefined) {
        first = server;
        return server;
      }
      if (takenPort > 0) return server;
      // The second of the first pair: somebody takes its port before it listens.
      const { port } = first.address() as { port: number };
      takenPort = port;
      const listen = server.listen.bind(server);
      return Object.assign(server, {
        listen: (_port: number, address: string, done: () => void) =>
          other.listen(port, '127.0.0.1', () => listen(port, address, done)),
      });
    };
    const open = await listenAdmin(makeTwo, outside ?? '', 0);
    try {
      assert.notEqual(takenPort, 0);
      assert.notEqual(open.port, takenPort);
      assert.deepEqual(await Promise.all([outside ?? '', '127.0.0.1'].map((place) => answersAt(place, open))), [
        true,
        true,
      ]);
      assert.equal(first?.listening, false, 'the first choice is given back');
    } finally {
      await Promise.all([open.close(), new Promise((resolve) => other.close(resolve))]);
    }
  });

  test('everywhere when no address is named', async () => {
    const open = await listenAdmin(make, '', 0);
    try {
      const places = ['127.0.0.1', '127.0.0.2', '[::1]'];
      assert.deepEqual(await Promise.all(places.map((place) => answersAt(place, open))), [true, true, true]);
    } finally {
      await open.close();
    }
  });

  test('a port that another has is told, and nothing stays open', async () => {
    const other = await listenAdmin(make, '127.0.0.1', 0);
    try {
      const { port } = other;
      await assert.rejects(
        listenAdmin(make, '127.0.0.1', port),
        /127\.0\.0\.1 port \d+: the port is in use by another/,
      );
      if (outside === undefined) return;
      await assert.rejects(listenAdmin(make, outside, port), /the port is in use by another process/);
      assert.equal(await answersAt(outside, other), false);
    } finally {
      await other.close();
    }
  });
});
