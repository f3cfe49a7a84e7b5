import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { frameTypes, preface } from '../../proxy/frame/codes.ts';
import { corpusCases, decodeBytes } from '../kit/corpus.ts';
import { anyPlace, fuzzed } from '../kit/fuzztime.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame, type ReadFrame, readFrames } from '../kit/h2pair.ts';
import { assertNothingLeft, residentOf } from '../kit/leftbehind.ts';
import { everythingTo } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

let recorder: Recorder;
let sluice: Standalone;
let residentAtStart = 0;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  sluice = await Standalone.start({
    manifests: everythingTo(recorder.port),
    args: ['--limit-half-close-ms', '50', '--limit-linger-ms', '50'],
  });
  residentAtStart = residentOf(sluice);
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** The frames of each case that begins as it should. */
const bases = corpusCases('client-h2')
  .map((each) => decodeBytes(each.raw))
  .filter((bytes) => bytes.length < 20_000 && bytes.subarray(0, preface.length).equals(preface))
  .map((bytes) => readFrames(bytes.subarray(preface.length)).slice(0, 50));

/** Places are shares of a length, so that they shrink with it. */
const edit = fc.record({
  at: anyPlace,
  kind: fc.constantFrom('drop', 'repeat', 'swap', 'flags', 'stream', 'type', 'byte', 'cut'),
  place: anyPlace,
  value: fc.nat({ max: 255 }),
});

const connection = fc
  .tuple(
    fc.nat({ max: bases.length - 1 }),
    fc.nat({ max: bases.length - 1 }),
    fc.array(edit, { minLength: 1, maxLength: 5 }),
  )
  .map(([first, second, edits]) => {
    const frames = [...(bases[first] ?? []), ...(bases[second] ?? []).map(onNextStream)];
    return edits.reduce(apply, frames);
  });

/** The second case of a connection has streams of its own. */
function onNextStream(each: ReadFrame): ReadFrame {
  return each.streamId === 0 ? each : { ...each, streamId: each.streamId + 2 };
}

function apply(
  frames: ReadFrame[],
  { at, kind, place, value }: { at: number; kind: string; place: number; value: number },
): ReadFrame[] {
  const index = Math.floor(at * frames.length);
  const picked = frames[index];
  if (picked === undefined) return frames;
  const { payload } = picked;
  const byte = Math.floor(place * payload.length);
  switch (kind) {
    case 'drop':
      return frames.toSpliced(index, 1);
    case 'repeat':
      return frames.toSpliced(index, 0, picked);
    case 'swap':
      return [...frames.slice(0, index), ...frames.slice(index).reverse()];
    case 'flags':
      return frames.toSpliced(index, 1, { ...picked, flags: picked.flags ^ (1 << (value & 7)) });
    case 'stream':
      return frames.toSpliced(index, 1, { ...picked, streamId: value & 15 });
    case 'type':
      return frames.toSpliced(index, 1, { ...picked, type: value % 12 });
    case 'cut':
      return frames.toSpliced(index, 1, { ...picked, payload: payload.subarray(0, byte) });
    default: {
      const changed = Buffer.from(payload);
      if (changed.length > 0) changed[byte] = value;
      return frames.toSpliced(index, 1, { ...picked, payload: changed });
    }
  }
}

let clients = 0;

/** What is forwarded is judged by what the frames can mean at most: a request for each HEADERS, with one Host and one framing. */
test('no mutation of a connection crashes the gateway, or makes it forward anything ambiguous', async (context) => {
  await fuzzed(
    context,
    0.3,
    fc.asyncProperty(connection, fc.integer({ min: 1, max: 4_000 }), async (frames, step) => {
      recorder.take();
      // From one address they would soon be let in as a few (listen/gate.ts).
      clients++;
      const from = `127.1.${(clients >> 8) & 0xff}.${clients & 0xff}`;
      const client = await H2Client.open({ port: sluice.httpPort, from });
      const bytes = Buffer.concat([
        preface,
        ...frames.map((each) => frame(each.type, each.flags, each.streamId, each.payload)),
      ]);
      for (let at = 0; at < bytes.length; at += step) client.client.send(bytes.subarray(at, at + step));
      // Cut frames may hold what follows for their own: then nothing answers, and the end does.
      client.client.end();
      await client.client.closed();
      client.destroy();
      const control = await exchange({ port: sluice.httpPort }, get('/control', 'gw.test', ['Connection: close']));
      assert.equal(control.body.toString(), 'ok');
      assert.equal(sluice.process.exit, null);
      const forwarded = recorder.take().filter((request) => request.target !== '/control');
      assert.ok(
        forwarded.length <= frames.filter(({ type }) => type === frameTypes.headers).length,
        'more requests than HEADERS',
      );
      for (const request of forwarded) {
        const names = request.fields.map(([name]) => name.toLowerCase());
        const framings = names.filter((name) => name === 'content-length' || name === 'transfer-encoding');
        assert.equal(names.filter((name) => name === 'host').length, 1, request.head);
        assert.ok(framings.length <= 1, request.head);
        assert.match(request.head, /^[A-Z]+ [!-~]+ HTTP\/1\.1\r\n([!#$%&'*+.^_`|~\w-]+: ?[\t -~\x80-\xff]*(\r\n|$))+$/);
      }
    }),
  );
});

test('nothing of it is left: no request, no connection, no memory', () => assertNothingLeft(sluice, residentAtStart));
