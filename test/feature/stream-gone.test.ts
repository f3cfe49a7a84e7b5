import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { controllerServerName } from '#table/wire.ts';
import type { Verdict } from '../../controller/publish/auth.ts';
import { waitUntil } from '../kit/wait.ts';
import { authority, secret, startController, stopAll, TestProxy } from './streamrig.ts';

async function ask(port: number, name: string): Promise<TLSSocket> {
  const socket = tlsConnect({ port, host: '127.0.0.1', ca: authority.certPem, servername: controllerServerName });
  socket.on('error', () => {}).resume();
  await once(socket, 'secureConnect');
  socket.write(`GET /v1/tables?name=${name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${name}\r\n\r\n`);
  return socket;
}

test('a reader that has gone while its token was reviewed is none that statuses wait for', async () => {
  const asked = Promise.withResolvers<void>();
  const reviewed = Promise.withResolvers<Verdict>();
  const good: Verdict = { ok: true, who: 'a proxy', node: null };
  const controller = await startController((token) => {
    if (token !== 'hasty') return Promise.resolve(good);
    asked.resolve();
    return reviewed.promise;
  });
  const names = () => controller.publisher.readers().map(({ name }) => name);
  try {
    const hasty = await ask(controller.server.port, 'hasty');
    await asked.promise;
    hasty.destroy();
    await once(hasty, 'close');
    // What comes later is served later: the server has seen by then that the first has gone.
    const first = await ask(controller.server.port, 'first');
    await waitUntil(() => names().includes('first'), 'the reader that stays');
    reviewed.resolve(good);
    const second = await ask(controller.server.port, 'second');
    await waitUntil(() => names().includes('second'), 'the reader that comes then');
    assert.deepEqual(names(), ['first', 'second']);
    first.destroy();
    second.destroy();
    await waitUntil(() => names().length === 0, 'all to be gone');
  } finally {
    await stopAll(controller);
  }
});

test('of proxies that come or go while nothing changes it is told, too: statuses name the nodes that they run on', async () => {
  const controller = await startController();
  const { publisher } = controller;
  const told: string[][] = [];
  publisher.onApplied(() => told.push(publisher.readers().map(({ name }) => name)));
  const hasTold = (...names: string[]) =>
    waitUntil(() => names.sort().join() === told.at(-1)?.sort().join(), `${names.join(' and ')} to be told of`);
  publisher.stage([secret('a', '1')], []);
  const { hash, generation } = publisher.commit({}, {});
  const first = new TestProxy([controller.url], { name: 'first' });
  await hasTold('first');
  const second = new TestProxy([controller.url], { name: 'second' });
  await hasTold('first', 'second');
  await second.client.stop();
  await hasTold('first');
  const ack = { type: 'applied', hash, generation } as const;
  const post = { stream: '', name: 'third', zone: null, node: 'n3', admin: null, ack };
  publisher.heardElsewhere(post);
  await hasTold('first', 'third');
  const count = told.length;
  publisher.heardElsewhere(post);
  publisher.expire();
  assert.equal(told.length, count, 'once');
  await stopAll(first, controller);
});
