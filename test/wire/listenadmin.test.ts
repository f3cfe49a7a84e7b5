import assert from 'node:assert/strict';
import { createServer } from 'node:http';
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
