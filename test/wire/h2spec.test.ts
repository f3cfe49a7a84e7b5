import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { certificateFor } from '../kit/certificate.ts';
import { runH2spec, skipWithoutH2spec } from '../kit/h2spec.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

const skip = skipWithoutH2spec();
let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  // An answer at once would overtake frames that are to come while the stream is open, and a short one tells too little.
  recorder = await Recorder.start({
    onRequest: (request) => void setTimeout(() => answer(request, 'a'.repeat(4_000)), 20),
  });
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({
        name: 'all',
        host: 'localhost',
        paths: { '/': 'recorder' },
        tlsSecret: 'cert',
        annotations: { 'ssl-redirect': 'false' },
      }),
      tlsSecret('cert', await certificateFor(['localhost'])),
      ...service('recorder', [recorder.port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

test('h2spec passes whole over TLS', { skip }, async () => {
  const results = await runH2spec({ host: 'localhost', port: sluice.httpsPort, isTls: true });
  assert.ok(results.length >= 146);
  assert.deepEqual(
    results.filter(({ outcome }) => outcome !== 'passed'),
    [],
  );
});

test('and over cleartext, where a wrong preface is a malformed request of HTTP/1.1 and answered as one', {
  skip,
}, async () => {
  const results = await runH2spec({ host: 'localhost', port: sluice.httpPort, isTls: false });
  assert.ok(results.length >= 146);
  assert.deepEqual(
    results.filter(({ outcome }) => outcome !== 'passed'),
    [{ name: 'http2/3.5 Sends invalid connection preface', outcome: 'failed' }],
  );
});
