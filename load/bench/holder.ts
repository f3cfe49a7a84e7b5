/** Holds idle keep-alive connections, each after one request, until its standard input ends. */
import { connect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';

const [port, isTls, count] = [Number(process.argv[2]), process.argv[3] === 'true', Number(process.argv[4])];
let opened = 0;
let answered = 0;

function open(): void {
  if (opened++ >= count) return;
  const socket = isTls
    ? tlsConnect({ port, host: '127.0.0.1', servername: 'h0.bench', rejectUnauthorized: false })
    : connect({ port, host: '127.0.0.1' });
  socket.on(isTls ? 'secureConnect' : 'connect', () => socket.write('GET / HTTP/1.1\r\nHost: h0.bench\r\n\r\n'));
  socket.once('data', () => {
    answered++;
    if (answered === count) process.stdout.write('held\n');
    open();
  });
  socket.on('error', (error) => {
    console.error(`holder: ${error.message}`);
    process.exit(1);
  });
}

for (let i = 0; i < 32; i++) open();
process.stdin.on('end', () => process.exit(0)).resume();
