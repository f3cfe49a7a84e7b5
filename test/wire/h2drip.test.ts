/** Bodies that come a byte per DATA frame. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { everythingTo } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({ manifests: everythingTo(recorder.port) });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** @param lengths of the pieces, one after the other and again */
function dripped(streamId: number, body: Buffer, lengths: readonly number[]): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0, nth = 0; at < body.length; nth++) {
    const piece = body.subarray(at, at + (lengths[nth % lengths.length] as number));
    at += piece.length;
    frames.push(frame(frameTypes.data, at === body.length ? frameFlags.endStream : 0, streamId, piece));
  }
  return Buffer.concat(frames);
}

test('a body that waits for its backend in pieces of all sizes arrives as it was sent', async () => {
  recorder.onRequest = (request) => answer(request, 'ok');
  const client = await H2Client.open({ port: sluice.httpPort });
  client.greet();
  const body = Buffer.from(Uint8Array.from({ length: 60_000 }, (_, at) => at % 251));
  const post = [':method: POST', ':scheme: http', ':path: /', ':authority: gw.test'];
  for (const [nth, lengths] of [[1], [1, 4_095, 1], [5_000, 3], [4_096], [4_000, 200]].entries()) {
    const id = 2 * nth + 1;
    client.send(client.headers(id, post, false), dripped(id, body, lengths));
    assert.deepEqual((await client.answered(id)).statuses, [200]);
    assert.ok(recorder.take()[0]?.body.equals(body), `in pieces of ${lengths.join(', ')}`);
  }
  client.destroy();
});

test('what waits in pieces of a byte takes little more memory than its bytes', async () => {
  // No answer: what follows waits for the backend to agree to speak websocket.
  recorder.onRequest = () => {};
  const [worker = 0] = childrenOf(sluice.process.pid);
  const before = residentBytes(worker);
  const client = await H2Client.open({ port: sluice.httpPort });
  client.greet();
  const connect = [':method: CONNECT', ':protocol: websocket', ':scheme: http', ':path: /', ':authority: gw.test'];
  const streams = 25;
  for (let nth = 0; nth < streams; nth++) {
    const id = 2 * nth + 1;
    client.send(client.headers(id, [...connect, 'sec-websocket-version: 13'], false));
    const drips = Buffer.concat(Array.from({ length: 60_000 }, () => frame(frameTypes.data, 0, id, Buffer.of(1))));
    client.send(drips);
  }
  await client.settled();
  const grown = residentBytes(worker) - before;
  assert.ok(grown < 80 << 20, `${grown >> 20} MiB for 1.5 MB`);
  client.destroy();
});
