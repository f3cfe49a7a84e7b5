import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('what was on a connection that ends before it answers is sent once more, whoever waits for its room', async () => {
  let held = 0;
  let isHolding = false;
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server', { streams: 2 });
    end.onHeaders = (stream) => {
      if (isHolding) held++;
      else end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    };
    return end;
  });
  const circuit = { connections: 1, pending: 0, requests: 0, retries: 0 };
  const rows = plainTable([{ address: '127.0.0.1', port: backend.port }]).map((each) =>
    each.kind === 'route' ? row('route', { ...each.row, retry: { ...each.row.retry, on: [] } }) : each,
  );
  const gateway = await testGateway([...rows, row('backend', { id: 'b', protocol: 'h2c', circuit })]);
  opened.push(backend, gateway);
  const ask = async () => {
    const client = await RawClient.open({ port: gateway.port });
    opened.push({ stop: async () => client.destroy() });
    client.send(get('/', 'a'));
    return client;
  };
  await (await ask()).response();
  isHolding = true;
  const clients = [await ask(), await ask()];
  await waitUntil(() => held === 2, 'two to be at the backend');
  clients.push(await ask(), await ask());
  const state = gateway.live.backend('b')?.state;
  await waitUntil(() => state?.circuit.waiting.size === 2, 'two to wait');
  isHolding = false;
  backend.cut();
  const answers = await Promise.all(clients.map((client) => client.response()));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200],
  );
});
