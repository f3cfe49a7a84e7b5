import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

/** Half an answer, in each framing. Without a length, FIN is a clean end, and only a reset says that something is missing. */
const halves: Readonly<Record<string, string>> = {
  length: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
  chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf',
  'between chunks': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
  'until close': 'HTTP/1.1 200 OK\r\n\r\nhalf',
};

let backends: Recorder[];
let sluice: Standalone;

function misbehave(request: RecordedRequest): void {
  const [, framing = '', end] = decodeURIComponent(request.target).split('/');
  const half = halves[framing];
  if (half === undefined) {
    answer(request, 'whole');
    return;
  }
  answerBytes(request, half);
  const { socket } = request.connection;
  // Later, so that the half is on its way to the client.
  setTimeout(() => (end === 'RST' ? socket.resetAndDestroy() : socket.end()), 5);
}

before(async () => {
  backends = [await Recorder.start({ onRequest: misbehave }), await Recorder.start({ onRequest: misbehave })];
  const ports = backends.map(({ port }) => port);
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'cut', host: 'cut.test', paths: { '/': 'cut' } }),
      ...service('cut', ports),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  for (const backend of backends) await backend.stop();
});

test('half an answer and then FIN or a reset, under load: no client takes it for a whole, and no connection is used again', async () => {
  const target = { port: sluice.httpPort, host: 'cut.test' };
  const load = Load.start({ ...target, connections: 10, requestsPerSecond: 200 });
  for (const framing of Object.keys(halves)) {
    for (const end of ['FIN', 'RST']) {
      if (framing === 'until close' && end === 'FIN') continue;
      for (let round = 0; round < 10; round++) {
        const cut = await RawClient.open(target);
        cut.send(get(`/${encodeURIComponent(framing)}/${end}`, 'cut.test'));
        await cut.closed();
        const response = await cut.response().catch(() => null);
        // A reset may overtake the half; what came must not look whole.
        assert.notEqual(response?.isComplete, true, `${framing}, ${end}: ${cut.received}`);
        cut.destroy();
      }
    }
  }
  const report = await load.stop();
  assert.deepEqual(report.failures, []);
  assert.ok(report.answered > 0);
  for (const { requests } of backends.flatMap(({ connections }) => connections)) {
    const at = requests.findIndex(({ target: path }) => path !== '/');
    assert.ok(at === -1 || at === requests.length - 1, 'a request after one that was cut');
  }
});
