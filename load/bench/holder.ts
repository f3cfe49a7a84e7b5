/** Holds idle connections, each after one answer (of a WebSocket: its 101), until its standard input ends. Started with a LoadPlan. */
import { connect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { tlsPlan } from './connection.ts';
import type { LoadPlan } from './generator.ts';

const { port, isTls, isUpgraded, connections } = JSON.parse(process.argv[2] ?? '{}') as LoadPlan;
const upgrade = isUpgraded
  ? 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  : '';
const request = `GET / HTTP/1.1\r\nHost: h0.bench\r\n${upgrade}\r\n`;
/** A gateway sends away a source that opens connections as fast as it can; then it is asked again after this, ms. */
const againMs = 200;
let opened = 0;
let answered = 0;

function open(): void {
  if (opened === connections) return;
  opened++;
  const socket = isTls ? tlsConnect({ ...tlsPlan, port }) : connect({ port, host: '127.0.0.1' });
  let isHeld = false;
  socket.on(isTls ? 'secureConnect' : 'connect', () => socket.write(request));
  socket.once('data', (bytes: Buffer) => {
    isHeld = /^HTTP\/1\.1 (?:101|200)/.test(bytes.toString('latin1', 0, 12));
    if (!isHeld) return;
    if (++answered === connections) process.stdout.write('held\n');
    open();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    if (isHeld) {
      console.error('holder: a held connection was closed');
      process.exit(1);
    }
    opened--;
    setTimeout(open, againMs);
  });
}

for (let i = 0; i < 32; i++) open();
process.stdin.on('end', () => process.exit(0)).resume();
