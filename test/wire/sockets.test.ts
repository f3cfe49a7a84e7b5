import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { type BoundAddress, bindAddresses } from '../../proxy/listen/sockets.ts';

async function listenOnAll({ handles }: BoundAddress): Promise<{ servers: Server[]; counts: number[] }> {
  const counts = handles.map(() => 0);
  const servers = handles.map((_, index) =>
    createServer((socket) => {
      counts[index] = (counts[index] ?? 0) + 1;
      socket.destroy();
    }),
  );
  for (const [index, server] of servers.entries()) {
    server.listen(handles[index]);
    await once(server, 'listening');
  }
  return { servers, counts };
}

async function visit(port: number, host: string): Promise<void> {
  await once(connect(port, host).resume(), 'close');
}

test('the sockets of a listener share one port and its connections', async () => {
  const [bound, ...more] = bindAddresses('tcp', ['127.0.0.1', '127.0.0.2'], 0, 3);
  assert.ok(bound);
  assert.deepEqual(
    more.map(({ address, port }) => ({ address, port })),
    [{ address: '127.0.0.2', port: bound.port }],
  );
  const { servers, counts } = await listenOnAll(bound);
  try {
    for (let count = 0; count < 200; count++) await visit(bound.port, '127.0.0.1');
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      200,
    );
    assert.ok(
      counts.every((count) => count > 0),
      `each has a share: ${counts}`,
    );
    // With SO_REUSEPORT alone a second gateway of the same user would silently take half of the connections.
    assert.throws(
      () => bindAddresses('tcp', ['127.0.0.1'], bound.port, 1),
      /127\.0\.0\.1 port \d+: the port is in use/,
    );
  } finally {
    for (const server of servers) server.close();
    for (const { handles } of more) for (const handle of handles) handle.close();
  }
});

test('without addresses both families are served, or IPv4 where there is no other', async () => {
  const [bound] = bindAddresses('tcp', [], 0, 1);
  assert.ok(bound);
  const { servers, counts } = await listenOnAll(bound);
  try {
    await visit(bound.port, '127.0.0.1');
    const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));
    if (hasIpv6) await visit(bound.port, '::1');
    assert.deepEqual(counts, [hasIpv6 ? 2 : 1]);
  } finally {
    for (const server of servers) server.close();
  }
});

test('a port of UDP that the kernel chooses is nobody else’s', () => {
  const bound = Array.from({ length: 800 }, () => bindAddresses('udp', ['127.0.0.1'], 0, 1)).flat();
  try {
    assert.equal(new Set(bound.map(({ port }) => port)).size, bound.length);
  } finally {
    for (const { handles } of bound) for (const handle of handles) handle.close();
  }
});

test('an address that is not here is said', () => {
  assert.throws(() => bindAddresses('tcp', ['192.0.2.1'], 0, 1), /192\.0\.2\.1 port 0: no interface of this machine/);
});
