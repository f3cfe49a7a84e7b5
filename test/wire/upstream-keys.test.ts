import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { Authority } from '../kit/authority.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { RecordBackend } from '../kit/recordbackend.ts';
import type { Records } from '../kit/records.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

let backend: RecordBackend;
let sluice: Standalone;
/** What it does with a request. */
let answer: (socket: Socket, records: Records) => void;

before(async () => {
  const pair = await (await Authority.root()).issue({ names: ['pod.test'] });
  backend = await RecordBackend.start(pair, (socket, records) => answer(socket, records));
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'b', host: 'b.test', paths: { '/': 'b' }, annotations: { 'backend-protocol': 'HTTPS' } }),
      ...service('b', [backend.port]),
    ],
    args: ['--access-log', 'stdout'],
  });
});

after(async () => {
  await sluice?.stop();
  backend?.stop();
});

const ask = (path = '/') => exchange({ port: sluice.httpPort }, get(path, 'b.test'));
const ok = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
const times = (count: number, make: () => Buffer) => Buffer.concat(Array.from({ length: count }, make));
/** Why the request of a path failed, from the access log. */
const reasonOf = (path: string) =>
  eventually(async () => {
    const line = sluice.process.stdout.split('\n').find((each) => each.includes(`"path":"${path}"`));
    return line && JSON.parse(line).upstream_transport_failure_reason;
  }, `the log line of ${path}`);

for (const [what, make] of [
  ['keys', (records: Records) => records.keyUpdate()],
  ['sessions', (records: Records) => records.ticket()],
] as const) {
  test(`a backend that has ${what} made without end is given up, for nobody else is served meanwhile`, async () => {
    answer = (socket, records) =>
      void socket.write(Buffer.concat([times(4_000, () => make(records)), records.data(ok)]));
    assert.equal((await ask(`/${what}`)).status, 502);
    assert.equal(await reasonOf(`/${what}`), 'ERR_SSL_TOO_MANY_KEY_UPDATES');
  });

  test(`one that makes a few ${what} is heard`, async () => {
    answer = (socket, records) => void socket.write(Buffer.concat([times(40, () => make(records)), records.data(ok)]));
    assert.equal((await ask()).body.toString(), 'ok');
  });
}

test('a record that cannot be read ends the request at once, though the backend closes nothing', async () => {
  answer = (socket) => void socket.write(Buffer.from([23, 3, 3, 0, 32, ...Array(32).fill(0)]));
  assert.equal((await ask('/broken')).status, 502);
  assert.equal(await reasonOf('/broken'), 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC');
});
