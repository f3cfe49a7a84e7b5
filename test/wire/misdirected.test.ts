import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { frameTypes } from '../../proxy/frame/codes.ts';
import { H2Client } from '../kit/h2client.ts';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
const started: Standalone[] = [];

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
});

after(async () => {
  for (const sluice of started) await sluice.stop();
  await recorder?.stop();
});

async function start(manifests: Manifest[]): Promise<Standalone> {
  const sluice = await Standalone.start({ manifests });
  started.push(sluice);
  return sluice;
}

const isToldToGo = (client: H2Client) => client.frames.some(({ type }) => type === frameTypes.goaway);

test('a host that is passed through from now on is not lost to who has a connection', async () => {
  const manifests = (annotations: Record<string, string>) => [
    ingressClass(),
    ...service('recorder', [recorder.port]),
    ...service('vault', [recorder.port]),
    ingress({ name: 'term', host: 'term.test', paths: { '/': 'recorder' }, tlsSecret: 'none' }),
    ingress({ name: 'raw', host: 'raw.test', paths: { '/': 'recorder' }, tlsSecret: 'none', annotations }),
  ];
  const sluice = await start(manifests({}));
  const { httpsPort: port } = sluice;
  const opened = (servername: string) => RawClient.open({ port, tls: { servername } });
  const [own, other] = [await opened('raw.test'), await opened('term.test')];
  const h2 = await Promise.all(
    ['raw.test', 'term.test'].map((servername) => H2Client.open({ port, tls: { servername } })),
  );
  const ask = (client: H2Client, id: number) => {
    client.send(client.headers(id, [':method: GET', ':scheme: https', ':authority: raw.test', ':path: /']));
    return waitUntil(() => client.answer(id).isEnded, 'the answer');
  };
  for (const client of h2) {
    client.greet();
    await ask(client, 1);
  }
  await sluice.apply(manifests({ 'ssl-passthrough': 'true' }));
  for (const client of [own, other]) {
    client.send(get('/', 'raw.test'));
    assert.equal((await client.response(0)).status, 421);
    await client.closed();
  }
  for (const client of h2) {
    await ask(client, 3);
    assert.deepEqual(client.answer(3).statuses, [421]);
  }
  const [ownH2, otherH2] = h2 as [H2Client, H2Client];
  await waitUntil(() => isToldToGo(ownH2), 'the word to go');
  otherH2.send(otherH2.headers(5, [':method: GET', ':scheme: https', ':authority: term.test', ':path: /']));
  await waitUntil(() => otherH2.answer(5).isEnded, 'the answer');
  assert.deepEqual([otherH2.answer(5).statuses, isToldToGo(otherH2)], [[200], false]);
  for (const { client } of h2) client.destroy();
});

test('a wider host answers nothing in the name of one that is passed through', async () => {
  const to = (name: string, host: string, annotations = {}) =>
    ingress({ name, host, paths: { '/': 'recorder' }, tlsSecret: 'none', annotations });
  const { httpsPort: port } = await start([
    ingressClass(),
    ...service('recorder', [recorder.port]),
    to('wide', '*.test'),
    to('raw', 'raw.test', { 'ssl-passthrough': 'true' }),
    to('below', '*.wide.test', { 'ssl-passthrough': 'true' }),
    to('term', 'term.wide.test'),
  ]);
  for (const servername of ['term.test', '']) {
    for (const [host, status] of [
      ['term.test', 200],
      ['RAW.test.', 421],
      ['any.wide.test', 421],
      ['term.wide.test', 200],
    ] as const) {
      assert.equal((await exchange({ port, tls: { servername } }, get('/', host))).status, status, host);
    }
  }
  const h2 = await H2Client.open({ port, tls: { servername: 'term.test' } });
  h2.greet();
  const ask = async (id: number, host: string) => {
    h2.send(h2.headers(id, [':method: GET', ':scheme: https', `:authority: ${host}`, ':path: /']));
    await waitUntil(() => h2.answer(id).isEnded, 'the answer');
    return h2.answer(id).statuses;
  };
  assert.deepEqual([await ask(1, 'raw.test'), await ask(3, 'term.test')], [[421], [200]]);
  h2.client.destroy();
});
