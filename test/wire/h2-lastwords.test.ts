import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { chunkBytes } from '../../proxy/forward/relay.ts';
import { errorCodes, plainWindowBytes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { frame, SessionEnd } from '../kit/h2pair.ts';
import { exchange } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a connection that ends in the turn in which its last upload can go on is counted once', async () => {
  const end = new SessionEnd('server', { connectionWindowBytes: plainWindowBytes });
  end.isReading = false;
  let backend: Socket | undefined;
  const server = createServer((socket) => {
    backend = socket;
    const write = () => socket.writable && socket.write(end.takeOutput());
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      end.receive(bytes);
      write();
    });
    write();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const circuit = { connections: 3, pending: 0, requests: 0, retries: 0 };
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port }]),
    row('backend', { id: 'b', protocol: 'h2c', circuit }),
  ]);
  opened.push({ stop: async () => void server.close() }, gateway);

  const length = plainWindowBytes + 1;
  const post = `POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: ${length}\r\n\r\n${'a'.repeat(length)}`;
  const answered = exchange({ port: gateway.port }, post, 'POST');
  await waitUntil(() => end.bodies.get(1)?.length === plainWindowBytes, 'the window to be closed');
  const stream = end.streams.get(1);
  assert.ok(stream);
  end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
  backend?.write(end.takeOutput());
  assert.equal((await answered).status, 200);
  const circuitNow = gateway.live.backend('b')?.state.circuit;
  assert.equal(circuitNow?.connections, 1);

  end.session.consumed(stream, plainWindowBytes);
  end.session.sender.goAway(1, errorCodes.noError, '');
  const last = end.takeOutput();
  // As long as a read may be: its end is read in the same turn. Frames of a type that nobody knows are passed over.
  const left = chunkBytes - last.length;
  const padding = [16_000, 16_000, left - 32_000 - 3 * 9].map((bytes) => frame(0xfe, 0, 0, Buffer.alloc(bytes)));
  backend?.end(Buffer.concat([last, ...padding]));
  await waitUntil(() => gateway.gateway.counts().upstream === 0, 'the connection to be gone');
  assert.equal(circuitNow?.connections, 0);
});
