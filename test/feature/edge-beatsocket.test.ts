import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
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

test('sockets for which there was no descriptor are told, and opened when there is one', async () => {
  const other = createSocket('udp4').bind(0);
  await once(other, 'listening');
  const { port } = other.address();
  other.close();
  await once(other, 'close');
  const heard: string[] = [];
  execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=100:']);
  const files = allFiles();
  const beats = await BeatSocket.open({ port, onDatagram: (datagram) => heard.push(`${datagram}`), log: quiet });
  try {
    assert.match(beats.failure ?? '', /EMFILE/);
    for (const file of files) closeSync(file);
    await waitUntil(() => beats.failure === null, 'the sockets to be opened');
    await eventually(async () => {
      beats.send(Buffer.from('beat'), '127.0.0.1', port);
      return heard[0];
    }, 'a beat');
  } finally {
    beats.close();
  }
});

/** Takes descriptors until there are none. */
function allFiles(): number[] {
  const files: number[] = [];
  try {
    for (;;) files.push(openSync('/dev/null', 'r'));
  } catch {
    return files;
  }
}
