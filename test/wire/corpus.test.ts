import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { certificateFor } from '../kit/certificate.ts';
import { type CorpusCase, corpusCases, decodeBytes } from '../kit/corpus.ts';
import { H2Client } from '../kit/h2client.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get, RawClient, type RawClientOptions } from '../kit/rawclient.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { readResponses } from '../kit/response.ts';
import { Standalone } from '../kit/sluice.ts';
import { faultsOfClientCase, faultsOfUpstreamCase, faultsOfUpstreamStream, play } from '../kit/verdict.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({
        name: 'all',
        host: 'gw.test',
        paths: { '/': 'recorder' },
        tlsSecret: 'cert',
        annotations: { 'proxy-read-timeout': '2', 'ssl-redirect': 'false' },
      }),
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

for (const way of ['cleartext', 'TLS'] as const) {
  const target = (): RawClientOptions =>
    way === 'TLS' ? { port: sluice.httpsPort, tls: { servername: 'gw.test' } } : { port: sluice.httpPort };

  for (const name of new Set(clientCases.map((each) => each.class))) {
    describe(`requests over ${way}: ${name}`, () => {
      for (const each of clientCases.filter((candidate) => candidate.class === name)) {
        test(`${each.id} ${each.note}`, async () => {
          recorder.take();
          const client = await RawClient.open(target());
          const responses = await play(each, client);
          client.destroy();
          await assertControl();
          const recorded = await recordedOf(each);
          assert.deepEqual(faultsOfClientCase(each, { responses, recorded }), []);
        });
      }
    });
  }
}

describe('responses', () => {
  for (const each of corpusCases('upstream-h1')) {
    test(`${each.id} ${each.note}`, async (context) => {
      if (each.unsolicited) return await assertUnsolicitedIsDropped(decodeBytes(each.raw));
      answerWith(each, context);
      const method = each.method ?? 'GET';
      const client = await RawClient.open({ port: sluice.httpPort });
      client.send(`${method} /c HTTP/1.1\r\nHost: gw.test\r\n\r\n`);
      await client.response(0, [method]).catch(() => undefined);
      client.end();
      await client.closed();
      await assertControl();
      const recorded = await recordedOf(each);
      const responses = readResponses(client.received, true, [method]);
      const outcome = { responses, recorded };
      assert.deepEqual(faultsOfUpstreamCase(each, outcome, client.received), []);
    });
  }
});

describe('responses to HTTP/2', () => {
  for (const each of corpusCases('upstream-h1').filter(({ unsolicited }) => !unsolicited)) {
    test(`${each.id} ${each.note}`, async (context) => {
      answerWith(each, context);
      const client = await H2Client.open({ port: sluice.httpPort });
      client.greet();
      client.send(client.headers(1, [`:method: ${each.method ?? 'GET'}`, ...plainStream]));
      const seen = await client.answered(1);
      assert.equal(client.isOver, false, 'what a backend says ends no connection of a client');
      client.destroy();
      await assertControl();
      assert.deepEqual(faultsOfUpstreamStream(each, seen, await recordedOf(each)), []);
    });
  }
});

const plainStream = [':scheme: http', ':authority: gw.test', ':path: /c'];

function answerWith(each: CorpusCase, context: TestContext): void {
  context.after(() => {
    recorder.onRequest = plainAnswer;
  });
  recorder.take();
  recorder.onRequest = (request) => {
    if (request.target === '/control') return plainAnswer(request);
    answerBytes(request, decodeBytes(each.raw));
    if (each.fin) request.connection.socket.end();
  };
}

/** What the backend has seen of a case, when its connections have come to the ends that the case demands. */
async function recordedOf(each: CorpusCase): Promise<RecordedRequest[]> {
  const recorded = recorder.take().filter((request) => request.target !== '/control');
  if (each.upstreamClose) {
    await waitUntil(
      () => recorded.every((request) => request.connection.isEnded),
      'the gateway to discard the backend connection',
    );
  } else if (each.side === 'client-h1' && each.assert?.incomplete) {
    await waitUntil(
      () => recorded.every((request) => request.isComplete || request.connection.isEnded),
      'the unfinished request to be aborted upstream',
    );
  }
  return recorded;
}

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
