import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { certificateFor } from '../kit/certificate.ts';
import { corpusCases, decodeBytes } from '../kit/corpus.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { readResponses } from '../kit/response.ts';
import { Standalone } from '../kit/sluice.ts';
import { faultsOfClientCase, faultsOfUpstreamCase, play } from '../kit/verdict.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' }, annotations: { 'proxy-read-timeout': '2' } }),
      // What the cases call redirect-rule: an answer of the gateway itself to a request with a body.
      ingress({
        name: 'redirect',
        host: 'gw.test',
        paths: { '/redirect': 'recorder' },
        annotations: { 'force-ssl-redirect': 'true' },
      }),
      tlsSecret('cert', await certificateFor(['gw.test'])),
      ...service('recorder', [recorder.port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** The cases that need real time (class slow) are held by limits.test.ts with limits short enough to wait for. */
const clientCases = corpusCases('client-h1').filter((each) => each.slow !== true);

for (const name of new Set(clientCases.map((each) => each.class))) {
  describe(`requests: ${name}`, () => {
    for (const each of clientCases.filter((candidate) => candidate.class === name)) {
      test(`${each.id} ${each.note}`, async () => {
        recorder.take();
        const client = await RawClient.open({ port: sluice.httpPort });
        const responses = await play(each, client);
        client.destroy();
        await assertControl();
        const recorded = recorder.take().filter((request) => request.target !== '/control');
        if (each.assert?.incomplete) {
          await waitUntil(
            () => recorded.every((request) => request.isComplete || request.connection.isEnded),
            'the unfinished request to be aborted upstream',
          );
        }
        assert.deepEqual(faultsOfClientCase(each, { responses, recorded }), []);
      });
    }
  });
}

describe('responses', () => {
  for (const each of corpusCases('upstream-h1')) {
    test(`${each.id} ${each.note}`, async (context) => {
      context.after(() => {
        recorder.onRequest = plainAnswer;
      });
      recorder.take();
      if (each.unsolicited) return await assertUnsolicitedIsDropped(decodeBytes(each.raw));
      recorder.onRequest = (request) => {
        if (request.target === '/control') return plainAnswer(request);
        answerBytes(request, decodeBytes(each.raw));
        if (each.fin) request.connection.socket.end();
      };
      const method = each.method ?? 'GET';
      const client = await RawClient.open({ port: sluice.httpPort });
      client.send(`${method} /c HTTP/1.1\r\nHost: gw.test\r\n\r\n`);
      await client.response(0, [method]).catch(() => undefined);
      client.end();
      await client.closed();
      await assertControl();
      const recorded = recorder.take().filter((request) => request.target !== '/control');
      if (each.upstreamClose) {
        await waitUntil(
          () => recorded.every((request) => request.connection.isEnded),
          'the gateway to discard the backend connection',
        );
      }
      const responses = readResponses(client.received, true, [method]);
      const outcome = { responses, recorded };
      assert.deepEqual(faultsOfUpstreamCase(each, outcome, client.received), []);
    });
  }
});

function plainAnswer(request: RecordedRequest): void {
  answer(request, 'ok');
}

/** After every case, whatever it did, a plain request on a new connection works. */
async function assertControl(): Promise<void> {
  const response = await exchange({ port: sluice.httpPort }, get('/control', 'gw.test', ['Connection: close']));
  assert.equal(response.status, 200);
  assert.equal(response.body.toString(), 'ok');
}

/** Bytes on an idle pooled connection belong to no request: the connection goes, and the next request has its own answer. */
async function assertUnsolicitedIsDropped(bytes: Buffer): Promise<void> {
  await assertControl();
  const { connection } = await recorder.request();
  connection.socket.write(bytes);
  await waitUntil(() => connection.isEnded, 'the poisoned connection to be discarded');
  await assertControl();
}
