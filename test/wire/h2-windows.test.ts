import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { frameFlags, frameTypes, plainWindowBytes, settingIds } from '../../proxy/frame/codes.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  const annotations = { 'proxy-body-size': '0' };
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' }, annotations }),
      ...service('recorder', [recorder.port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** Windows that a client was given so far. @param streamId 0: of the connection */
function given(client: H2Client, streamId: number): number {
  const updates = client.frames.filter((each) => each.type === frameTypes.windowUpdate && each.streamId === streamId);
  return updates.reduce((sum, { payload }) => sum + payload.readUInt32BE(0), plainWindowBytes);
}

test('whoever sets nothing allows a hundred streams, heads of 32 KiB and 9 MiB on the way, 64 KiB of it on each stream', async (context) => {
  const client = await H2Client.open({ port: sluice.httpPort });
  context.after(() => client.destroy());
  client.greet();
  await client.settled();
  const [{ type, payload } = { type: -1, payload: Buffer.alloc(0) }] = client.frames;
  assert.equal(type, frameTypes.settings);
  const settings = new Map(
    Array.from({ length: payload.length / 6 }, (_, i) => [
      payload.readUInt16BE(6 * i),
      payload.readUInt32BE(6 * i + 2),
    ]),
  );
  assert.deepEqual(
    settings,
    new Map([
      [settingIds.maxConcurrentStreams, 100],
      [settingIds.initialWindowSize, 65_535],
      [settingIds.maxHeaderListSize, 32_768],
      [settingIds.enableConnectProtocol, 1],
    ]),
  );
  assert.equal(given(client, 0), 9 << 20);
});

test('an upload whose backend keeps up may have a mebibyte on the way: 80 Mbit/s at a round trip of 100 ms', async (context) => {
  const client = await H2Client.open({ port: sluice.httpPort });
  context.after(() => client.destroy());
  client.greet();
  const head = [':method: POST', ':scheme: http', ':path: /', ':authority: gw.test'];
  client.send(client.headers(1, head, false));
  const part = Buffer.alloc(8_192);
  let sent = 0;
  let most = 0;
  // It gives a window that is twice as long with each half that is read.
  while (sent < 2 << 20) {
    client.send(frame(frameTypes.data, 0, 1, part));
    sent += part.length;
    const upload = await recorder.request();
    await waitUntil(() => upload.bodyBytes === sent, 'the backend to have it');
    await client.settled();
    most = Math.max(most, Math.min(given(client, 1), given(client, 0)) - sent);
  }
  assert.ok(most >= 1_000_000, `at most ${most} bytes on the way`);
  client.send(frame(frameTypes.data, frameFlags.endStream, 1));
  assert.deepEqual((await client.answered(1)).statuses, [200]);
});
