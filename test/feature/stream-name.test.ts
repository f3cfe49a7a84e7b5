import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { controllerServerName } from '#table/wire.ts';
import { signLeaf } from '../../controller/publish/certificates.ts';
import { waitUntil } from '../kit/wait.ts';
import { authority, TestProxy } from './streamrig.ts';

/** In a cluster controllers are found by the name of a Service, which no certificate holds. */
test('one name is verified, whatever the name by which a controller is found', { timeout: 120_000 }, async () => {
  const leaf = await signLeaf(authority, [controllerServerName], 1, Date.now());
  const asked: string[] = [];
  const server = createServer({ cert: leaf.certPem, key: leaf.keyPem }, ({ headers, url }, response) => {
    asked.push(`${headers.host} ${url}`);
    response.writeHead(503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const proxy = new TestProxy([`https://localhost:${(server.address() as AddressInfo).port}`]);
  const state = () => proxy.client.state();
  await waitUntil(() => state().lastError !== null, 'an answer or a refusal');
  await proxy.client.stop();
  server.closeAllConnections();
  server.close();
  assert.match(state().lastError ?? '', /answered 503/);
  assert.match(asked[0] ?? '', /^sluice-controller \/v1\/tables\?/);
});
