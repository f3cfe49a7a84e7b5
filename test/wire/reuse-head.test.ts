import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { RowOf } from '../../proxy/table/rows.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const head = 'HEAD / HTTP/1.1\r\nHost: gw.test\r\n\r\n';
/** What somebody may have stored at a backend that sends it to HEAD as well. */
const stored = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstored';

interface Rig {
  readonly backend: Recorder;
  readonly gateway: TestGateway;
  readonly client: RawClient;
  readonly another: RawClient;
}

async function rig(
  context: TestContext,
  onRequest: (request: RecordedRequest) => void,
  circuit?: RowOf<'backend'>['circuit'],
): Promise<Rig> {
  const backend = await Recorder.start({ onRequest });
  const rows = plainTable([{ address: '127.0.0.1', port: backend.port }]).map((each) =>
    each.kind === 'backend' && circuit !== undefined ? row('backend', { ...each.row, circuit }) : each,
  );
  const gateway = await testGateway(rows);
  const [client, another] = [await RawClient.open(gateway), await RawClient.open(gateway)];
  context.after(async () => {
    client.destroy();
    another.destroy();
    await gateway.stop();
    await backend.stop();
  });
  return { backend, gateway, client, another };
}

test('a body that a backend sends behind its answer to HEAD is nobody’s answer', async (t) => {
  // Its rest lasts, however slow the machine.
  t.mock.timers.enable({ apis: ['setInterval'] });
  const asked: RecordedRequest[] = [];
  const { backend, client, another } = await rig(t, (request) => {
    asked.push(request);
    if (request.method === 'HEAD') answerBytes(request, `HTTP/1.1 200 OK\r\nContent-Length: ${stored.length}\r\n\r\n`);
  });
  client.send(head);
  assert.equal((await client.response(0, ['HEAD'])).status, 200);
  another.send(get('/', 'gw.test'));
  await waitUntil(() => asked.length === 2, 'the other request');
  const [first, second] = asked as [RecordedRequest, RecordedRequest];
  answerBytes(first, stored);
  await waitUntil(() => first.connection.isClosed, 'that connection to go');
  answer(second, 'right');
  assert.equal((await another.response()).body.toString(), 'right');
  assert.equal(backend.connections.length, 2);
});

test('the connection of HEAD is used again when nothing has come behind its answer', async (t) => {
  const { backend, gateway, client } = await rig(t, (request) => answer(request, 'ok'));
  for (let i = 0; i < 3; i++) {
    client.send(head);
    await client.response(i, ['HEAD', 'HEAD', 'HEAD']);
    await waitUntil(() => gateway.gateway.counts().idleUpstream === 1, 'it to be idle');
  }
  assert.equal(backend.connections.length, 1);
});

test('where no body can follow, it is used again at once', async (t) => {
  const { backend, client } = await rig(t, (request) => answer(request, ''));
  client.send(head.repeat(3));
  await client.response(2, ['HEAD', 'HEAD', 'HEAD']);
  assert.equal(backend.connections.length, 1);
});

test('one that rests keeps nobody from the only connection that there may be', async (t) => {
  const limits = { connections: 1, pending: 5, requests: 0, retries: 0 };
  const { backend, client, another } = await rig(t, (request) => answer(request, 'ok'), limits);
  client.send(head);
  another.send(get('/', 'gw.test'));
  assert.equal((await client.response(0, ['HEAD'])).status, 200);
  assert.equal((await another.response()).body.toString(), 'ok');
  assert.equal(backend.connections.length, 2);
});
