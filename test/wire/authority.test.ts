import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { H2Client } from '../kit/h2client.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'app', host: 'app.test', paths: { '/': 'recorder' }, annotations: { 'app-root': '/start' } }),
      ...service('recorder', [recorder.port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

test('a redirect keeps the port that the client came to, however its request names the host', async () => {
  const to = 'http://app.test:8081/start';
  for (const request of [
    get('/', 'app.test:8081'),
    'GET http://app.test:8081/ HTTP/1.1\r\nHost: app.test\r\n\r\n',
    'GET http://app.test:8081/ HTTP/1.1\r\nHost: app.test:9\r\n\r\n',
  ]) {
    const response = await exchange({ port: sluice.httpPort }, request);
    assert.deepEqual([response.status, response.fields.find(([name]) => name === 'location')?.[1]], [302, to], request);
  }
  const client = await H2Client.open({ port: sluice.httpPort });
  try {
    client.greet();
    client.send(client.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: app.test:8081']));
    const { statuses, lines } = await client.answered(1);
    assert.deepEqual(statuses, [302]);
    assert.ok(lines.includes(`location: ${to}`), lines.join());
  } finally {
    client.destroy();
  }
});
