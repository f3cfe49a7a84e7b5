import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('who has been idle longest makes room, whatever protocol others have that came a moment ago', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), { connections: 10 });
  opened.push(recorder, gateway);
  const { port } = gateway;
  const idle: RawClient[] = [];
  for (let nth = 1; nth < 10; nth++) {
    const client = await RawClient.open({ port, from: `127.0.9.${nth}` });
    opened.push({ stop: () => client.destroy() });
    client.send(get('/', 'gw.test'));
    await client.response();
    idle.push(client);
  }
  const fresh = await H2Client.open({ port, from: '127.0.9.10' });
  opened.push({ stop: () => fresh.destroy() });
  fresh.greet();
  await fresh.settled();
  const further = await RawClient.open({ port, from: '127.0.9.11' });
  opened.push({ stop: () => further.destroy() });
  further.send(get('/', 'gw.test'));
  assert.equal((await further.response()).status, 200);
  await idle[0]?.closed();
  fresh.send(fresh.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test']));
  assert.equal((await fresh.answered(1)).statuses.at(-1), 200);
});
