import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { certificateFor } from '../kit/certificate.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

const run = promisify(execFile);
const without = (program: string) =>
  spawnSync('sh', ['-c', `command -v ${program}`]).status === 0 ? false : `${program} is not installed`;

let recorder: Recorder;
let sluice: Standalone;
let folder: string;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, request.body.toString('latin1') || 'ok') });
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
  folder = mkdtempSync(join(tmpdir(), 'h2interop-'));
  writeFileSync(join(folder, 'body'), 'x'.repeat(300_000));
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const urls = () => [`http://localhost:${sluice.httpPort}/`, `https://localhost:${sluice.httpsPort}/`];

test('h2load: many streams on several connections', { skip: without('h2load') }, async () => {
  for (const url of urls()) {
    const { stdout } = await run('h2load', ['-n', '2000', '-c', '4', '-m', '50', url]);
    assert.match(stdout, /2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout/);
    assert.match(stdout, /Application protocol: h2c?/);
  }
});

test('h2load: uploads', { skip: without('h2load') }, async () => {
  for (const url of urls()) {
    const { stdout } = await run('h2load', ['-n', '100', '-c', '2', '-m', '10', '-d', join(folder, 'body'), url]);
    assert.match(stdout, /100 succeeded, 0 failed/);
  }
});

test('nghttp: an upload and its echo, padded', { skip: without('nghttp') }, async () => {
  for (const url of urls()) {
    const args = ['--no-verify-peer', '-b', '100', '-d', join(folder, 'body'), url];
    const { stdout } = await run('nghttp', args, { maxBuffer: 1_000_000 });
    assert.equal(stdout.length, 300_000);
  }
});

test('curl: HTTP/2 by ALPN and by prior knowledge', { skip: without('curl') }, async () => {
  for (const url of urls()) {
    const way = url.startsWith('https') ? '--http2' : '--http2-prior-knowledge';
    const { stdout } = await run('curl', ['-sk', way, '-w', ' %{http_version} %{http_code}', url]);
    assert.equal(stdout, 'ok 2 200');
  }
});
