import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';

const opened: { stop(): Promise<unknown> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('those who are sent away are told so with an answer, as many as there are too many, and nobody who is silent', async () => {
  const backend = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: backend.port }]));
  opened.push(backend, gateway);
  const clients = await Promise.all(Array.from({ length: 6 }, () => RawClient.open({ port: gateway.port })));
  const asked = new Map<RawClient, number>();
  const ask = async (client: RawClient): Promise<boolean> => {
    const before = asked.get(client) ?? 0;
    asked.set(client, before + 1);
    client.send(get('/', 'a'));
    const { status, fields } = await client.response(before);
    assert.equal(status, 200);
    return fields.some(([name, value]) => name.toLowerCase() === 'connection' && value === 'close');
  };
  const { spreading } = gateway.gateway;
  assert.equal(spreading.look().connections, 0, 'who has asked nothing is no load');
  const [silent, ...talking] = clients as [RawClient, ...RawClient[]];
  for (const client of clients) assert.equal(await ask(client), false);
  assert.equal(spreading.look().connections, 6);
  for (const client of talking) assert.equal(await ask(client), false);

  spreading.sendAway(2);
  assert.equal(spreading.look().connections, 4, 'who goes with the next request is no load any more');
  // Whoever is about to ask is not hung up on, however long that takes: here more than the second of a connection that drains.
  const other = await testGateway(plainTable([{ address: '127.0.0.1', port: backend.port }]), { idleMs: 1_500 });
  opened.push(other);
  await (await RawClient.open({ port: other.port })).closed();
  const told: boolean[] = [];
  for (const client of talking) told.push(await ask(client));
  assert.equal(told.filter(Boolean).length, 2);
  assert.equal(await ask(silent), false);
  for (const client of clients) client.destroy();
});
