import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { everythingTo, type Manifest } from '../kit/manifests.ts';
import { exchange } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import type { RawResponse } from '../kit/response.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const text = 'The quick brown fox. '.repeat(400);
const request = 'GET / HTTP/1.1\r\nHost: gw.test\r\nAccept-Encoding: gzip, br, zstd\r\n\r\n';

const codingOf = ({ fields }: RawResponse) => fields.find(([name]) => name.toLowerCase() === 'content-encoding')?.[1];

test('nothing is compressed until the ConfigMap says so', async (t) => {
  const recorder = await Recorder.start({
    onRequest: (asked) => answer(asked, text, 200, ['Content-Type: text/plain']),
  });
  const manifests = (data: Readonly<Record<string, string>>): Manifest[] => [
    ...everythingTo(recorder.port),
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: 'default' }, data },
  ];
  const sluice = await Standalone.start({ manifests: manifests({}), args: ['--configmap', 'default/settings'] });
  t.after(async () => {
    await sluice.stop();
    await recorder.stop();
  });
  const plain = await exchange({ port: sluice.httpPort }, request);
  assert.equal(codingOf(plain), undefined);
  assert.equal(plain.body.toString(), text);
  await sluice.apply(manifests({ 'use-gzip': 'true' }));
  const zipped = await eventually(async () => {
    const response = await exchange({ port: sluice.httpPort }, request);
    return codingOf(response) === 'gzip' ? response : undefined;
  }, 'an answer that is compressed');
  assert.equal(gunzipSync(zipped.body).toString(), text);
});
