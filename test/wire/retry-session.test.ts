import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cookieAffinity } from '../golden/selecting.ts';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { type Answer, answer, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainEndpoint, plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

async function backend(onRequest: Answer): Promise<Recorder> {
  const recorder = await Recorder.start({ onRequest });
  opened.push(recorder);
  return recorder;
}

const affinity = { ...cookieAffinity, name: 'home' } as const;

test('a session whose endpoint is back when another has failed stays there, and is given no cookie of the other', async () => {
  const home = await backend((request) => answer(request, 'home'));
  const held: RecordedRequest[] = [];
  const other = await backend((request) => held.push(request));
  const endpoints = (isHomeReady: boolean) =>
    endpointsRow(
      [home, other].map(({ port }) => ({
        ...plainEndpoint,
        address: '127.0.0.1',
        port,
        ready: port !== home.port || isHomeReady,
        serving: port !== home.port || isHomeReady,
      })),
    );
  const rows = plainTable([{ address: '127.0.0.1', port: home.port }]).map((each) =>
    each.kind === 'backend' ? row('backend', { id: 'b', affinity }) : each,
  );
  const gateway = await testGateway(rows);
  const client = await RawClient.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.destroy() });
  client.send(get('/', 'a'));
  await client.response();
  const [, cookie = ''] = /\r\nSet-Cookie: ([^;\r]+)/.exec(client.received.toString('latin1')) ?? [];
  assert.match(cookie, /^home=/);

  gateway.apply([endpoints(false)]);
  client.send(get('/', 'a', [`Cookie: ${cookie}`]));
  await waitUntil(() => held.length === 1, 'the other endpoint to have the request');
  gateway.apply([endpoints(true)]);
  const before = client.receivedBytes;
  held[0]?.connection.socket.resetAndDestroy();
  assert.equal((await client.response(1)).body.toString(), 'home');
  assert.doesNotMatch(client.received.subarray(before).toString('latin1'), /Set-Cookie/);
});
