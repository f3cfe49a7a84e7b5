import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { frameTypes } from '../../proxy/frame/codes.ts';
import { certificateFor } from '../kit/certificate.ts';
import { type CorpusCase, corpusCases, decodeBytes } from '../kit/corpus.ts';
import { H2Client, outcomeOf } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get, type RawClientOptions } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { faultsOfStreamCase } from '../kit/verdict.ts';
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
        annotations: { 'ssl-redirect': 'false' },
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

/** Extended CONNECT is on here; a stalled window is held by h2limits.test.ts with limits short enough to wait for. */
const cases = corpusCases('client-h2').filter((each) => each.needs !== 'connect-protocol-off' && each.slow !== true);
const post = [':method: POST', ':scheme: http', ':authority: gw.test', ':path: /c'];

for (const way of ['cleartext', 'TLS'] as const) {
  const target = (): RawClientOptions =>
    way === 'TLS' ? { port: sluice.httpsPort, tls: { servername: 'gw.test' } } : { port: sluice.httpPort };

  describe(`HTTP/2 requests over ${way}`, () => {
    for (const each of cases) {
      test(`${each.id} ${each.note}`, async () => {
        recorder.take();
        const client = await H2Client.open(target());
        play(each, client);
        await client.settled();
        const isBound = () => outcomeOf(client, 1) !== 'open' || each.mayStayOpen === true;
        await waitUntil(isBound, 'stream 1 to be answered, reset or closed');
        const outcome = outcomeOf(client, 1);
        client.destroy();
        await assertControl();
        const recorded = recorder.take().filter((request) => request.target !== '/control');
        if (each.assert?.incomplete) {
          await waitUntil(
            () => recorded.every((request) => request.isComplete || request.connection.isEnded),
            'the unfinished request to be aborted upstream',
          );
        }
        assert.deepEqual(faultsOfStreamCase(way === 'TLS' ? overTls(each) : each, outcome, recorded), []);
      });
    }
  });
}

/** What the connection is, `:scheme` is not asked. */
function overTls(each: CorpusCase): CorpusCase {
  const header = each.assert?.header;
  if (header?.['x-forwarded-proto'] === undefined) return each;
  return { ...each, assert: { ...each.assert, header: { ...header, 'x-forwarded-proto': 'https' } } };
}

function play(each: CorpusCase, client: H2Client): void {
  const { gen } = each;
  if (gen === undefined) {
    client.client.send(decodeBytes(each.raw));
    return;
  }
  client.greet();
  if (gen.kind === 'rapid-reset') {
    const code = Buffer.of(0, 0, 0, 8);
    const pairs = Array.from({ length: gen.streams ?? 0 }, (_, i) =>
      Buffer.concat([
        client.headers(2 * i + 1, [':method: GET', ...post.slice(1)]),
        frame(frameTypes.rstStream, 0, 2 * i + 1, code),
      ]),
    );
    client.send(...pairs);
  } else {
    // The field enters the table by its second literal; from then on a reference of one byte is 400.
    const field = `x-bomb: ${'a'.repeat(400)}`;
    client.send(client.headers(3, [...post, field, field]));
    const reference = client.headers(1, [...post, ...Array.from({ length: gen.refs ?? 0 }, () => field)]);
    client.send(reference);
  }
}

/** After every case, whatever it did, a plain request on a new connection works. */
async function assertControl(): Promise<void> {
  const response = await exchange({ port: sluice.httpPort }, get('/control', 'gw.test', ['Connection: close']));
  assert.equal(response.status, 200);
  assert.equal(response.body.toString(), 'ok');
  assert.equal(sluice.process.exit, null);
}
