import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { type SocketName, type TcpHandle, takeAccepted } from '../../proxy/carry/handle.ts';
import { waitingAt } from '../kit/procfs.ts';
import { standUntil, waitUntil } from '../kit/wait.ts';

/** Turns of the loop in which each of eight connections was accepted that came at once, and whose it is. */
async function accepted(perTurn: number): Promise<{ turns: number[]; ports: number[]; clients: number[] }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const [turns, handles]: [number[], TcpHandle[]] = [[], []];
  let turn = 0;
  let next = setImmediate(function count() {
    turn++;
    next = setImmediate(count);
  });
  takeAccepted(
    server,
    (handle) => {
      turns.push(turn);
      handles.push(handle);
    },
    () => perTurn,
  );
  const { port } = server.address() as AddressInfo;
  const clients = Array.from({ length: 8 }, () => connect({ port, host: '127.0.0.1' }));
  try {
    // All wait before this turn ends; the kernel of a busy machine may take a moment for the last packets of their handshakes.
    await new Promise((resolve) => process.nextTick(resolve));
    standUntil(() => waitingAt(port) === 8, 'the kernel to connect them');
    await waitUntil(() => handles.length === 8, 'all to be accepted');
    return { turns, ports: handles.map(portOf), clients: clients.map(({ localPort }) => localPort ?? 0) };
  } finally {
    clearImmediate(next);
    for (const client of clients) client.destroy();
    for (const handle of handles) handle.close(() => undefined);
    server.close();
  }
}

function portOf(handle: TcpHandle): number {
  const name: SocketName = {};
  handle.getpeername(name);
  return name.port ?? 0;
}

test('a turn accepts one of those who wait', async () => {
  const { turns } = await accepted(1);
  assert.equal(new Set(turns).size, 8);
});

test('or as many as it is told to, each of them once', async () => {
  const { turns, ports, clients } = await accepted(5);
  const [first, second] = [...new Set(turns)];
  assert.deepEqual(turns, [first, first, first, first, first, second, second, second]);
  assert.deepEqual(ports.toSorted(), clients.toSorted());
});
