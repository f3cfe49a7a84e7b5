import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { BeatSocket } from '../../proxy/announce/beatsocket.ts';
import { quiet } from '../kit/quiet.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

test('a port of beats that another program has in one family is told, and taken when it comes free', async () => {
  const other = createSocket('udp4').bind(0).unref();
  await once(other, 'listening');
  const { port } = other.address();
  const heard: string[] = [];
  const beats = await BeatSocket.open({ port, onDatagram: (datagram) => heard.push(`${datagram}`), log: quiet });
  try {
    assert.match(beats.failure ?? '', /EADDRINUSE/);
    other.close();
    await waitUntil(() => beats.failure === null, 'the port to be taken');
    await eventually(async () => {
      beats.send(Buffer.from('beat'), '127.0.0.1', port);
      return heard[0];
    }, 'a beat');
    assert.equal(heard[0], 'beat');
  } finally {
    beats.close();
  }
});
