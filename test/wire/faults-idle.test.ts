import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { get } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';

/** `FAULT_REQUESTS=100000` for the whole experiment. */
const requests = Number(process.env['FAULT_REQUESTS'] ?? 5_000);
/** As many connections at once; each is used again just when the backend closes it. */
const clients = 50;
const idleMs = 30;

let backend: Server;
let sluice: Standalone;
const counts = { answered: 0, closed: 0, raced: 0 };

/** Closes a connection when it was idle for idleMs, give or take a tenth, as a server with a keep-alive timeout does. */
function serve(socket: Socket): void {
  socket.on('error', () => undefined);
  let timer: NodeJS.Timeout | undefined;
  let hasClosed = false;
  socket.on('data', () => {
    if (hasClosed) {
      counts.raced++;
      return;
    }
    clearTimeout(timer);
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    counts.answered++;
    timer = setTimeout(
      () => {
        hasClosed = true;
        counts.closed++;
        // As the kernel does it for a process that has closed: what comes from now on is answered with a reset.
        socket.end(() => setImmediate(() => socket.destroy()));
      },
      idleMs * (0.9 + 0.2 * Math.random()),
    );
  });
  socket.on('close', () => clearTimeout(timer));
}

/** Status of the answer to one GET, or why there is none. Keeps nothing, for there are many. */
function ask(client: Socket): Promise<string> {
  client.write(get('/', 'gw.test'));
  return new Promise((resolve) => {
    let text = '';
    const take = (bytes: Buffer) => {
      text += bytes.toString('latin1');
      if (/\r\n\r\n./s.test(text)) end(text.slice(9, 12));
    };
    const lost = () => end('closed');
    const end = (outcome: string) => {
      client.off('data', take).off('close', lost);
      resolve(outcome);
    };
    client.on('data', take).on('close', lost);
  });
}

before(async () => {
  backend = createServer({ allowHalfOpen: true, noDelay: true }, serve).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  // Retries by the route's policy have a budget, which would hide that the replacement of a kept connection is missing.
  const annotations = { 'proxy-next-upstream': 'off' };
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'idle' }, annotations }),
      ...service('idle', [(backend.address() as AddressInfo).port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  backend?.close();
});

test(`a backend that closes idle connections at the instant of reuse: none of ${requests} GETs fails`, async (t) => {
  const all = Array.from({ length: clients }, () => connect(sluice.httpPort, '127.0.0.1').on('error', () => undefined));
  const outcomes = new Map<string, number>();
  let sent = 0;
  // Until the race has happened, too: a machine that is slow or quick enough never to lose it has tested nothing.
  while (sent < requests || (counts.raced === 0 && sent < requests * 10)) {
    for (const outcome of await Promise.all(all.map(ask))) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    sent += clients;
    await new Promise((resolve) => setTimeout(resolve, idleMs));
  }
  for (const client of all) client.destroy();
  t.diagnostic(
    `${sent} GETs, ${counts.closed} connections closed by the backend, ${counts.raced} of them crossed a request`,
  );
  assert.deepEqual([...outcomes], [['200', sent]]);
  assert.ok(counts.raced > 0, 'no request ever crossed a close');
});
