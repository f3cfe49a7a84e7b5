import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import type { Backend } from '#table/backend.ts';
import { Authority } from '../kit/authority.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { plainTable, plainTls, row } from '../kit/rows.ts';

/** More than is on its way anywhere: some of it comes while nobody reads. */
const body = 'x'.repeat(4 << 20);
const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const backends = new Map<string, Recorder>();
let root: Authority;

before(async () => {
  root = await Authority.root();
  const pair = await root.issue({ names: ['pod.test'] });
  for (const version of versions)
    backends.set(version, await Recorder.start({ onRequest: reply, tls: { ...pair, maxVersion: version } }));
});

after(async () => {
  for (const backend of backends.values()) await backend.stop();
});

/** What the path says: how the length is told, and how the connection ends. */
function reply(request: RecordedRequest): void {
  const { socket } = request.connection;
  const [, framing, end] = request.target.split('/');
  answerBytes(request, `HTTP/1.1 200 OK\r\n${framing === 'length' ? `Content-Length: ${body.length}\r\n` : ''}\r\n`);
  if (end === 'goodbye') socket.end(body);
  // Below TLS, as anybody could do it who is on the way.
  else socket.write(body, () => socket.destroy());
}

async function rig(
  context: TestContext,
  version: string,
  verify: NonNullable<Backend['tls']>['verify'],
): Promise<TestGateway> {
  const rows = plainTable([{ address: '127.0.0.1', port: backends.get(version)?.port ?? 0 }]).map((each) =>
    each.kind === 'backend' ? row('backend', { ...each.row, protocol: 'https', tls: { ...plainTls, verify } }) : each,
  );
  const gateway = await testGateway([...rows, row('secret', { id: 'ca', value: root.cert })]);
  context.after(() => gateway.stop());
  return gateway;
}

/** Of an answer that the client begins to read late. */
async function ask(gateway: TestGateway, path: string): Promise<'whole' | 'cut'> {
  const client = await RawClient.open(gateway);
  client.socket.pause();
  client.send(get(path, 'gw.test', ['Connection: close']));
  for (let turn = 0; turn < 500; turn++) await new Promise(setImmediate);
  client.socket.resume();
  try {
    const response = await client.response();
    return response.isComplete && response.body.length === body.length ? 'whole' : 'cut';
  } finally {
    client.destroy();
  }
}

for (const version of versions) {
  test(`${version}: of a backend that proves who it is, what ends with the connection is whole only if TLS says so`, async (t) => {
    const gateway = await rig(t, version, { caSecretId: 'ca', names: ['pod.test'], depth: 1 });
    assert.equal(await ask(gateway, '/close/goodbye'), 'whole');
    assert.equal(await ask(gateway, '/close/fin'), 'cut');
    assert.equal(await ask(gateway, '/length/fin'), 'whole');
    assert.deepEqual(
      gateway.records.map(({ status, flag }) => `${status} ${flag}`),
      ['200 -', '200 UC', '200 -'],
    );
  });

  test(`${version}: one that proves nothing may leave it at FIN, as many do`, async (t) => {
    const gateway = await rig(t, version, null);
    for (const path of ['/close/goodbye', '/close/fin', '/length/fin']) assert.equal(await ask(gateway, path), 'whole');
  });
}
