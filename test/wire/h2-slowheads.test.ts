import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a client whose reads end within heads, one after the other, is not taken for one that drips', async () => {
  const recorder = await Recorder.start();
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), { headMs: 2_000 });
  const client = await H2Client.open(gateway);
  opened.push(recorder, gateway, { stop: async () => client.destroy() });
  client.greet();
  const lines = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
  /** The two halves of a head. */
  const halves = (id: number) => {
    const block = client.headers(id, lines).subarray(9);
    const first = frame(frameTypes.headers, frameFlags.endStream, id, block.subarray(0, 1));
    return [first, frame(frameTypes.continuation, frameFlags.endHeaders, id, block.subarray(1))] as const;
  };
  const [first, rest] = halves(1);
  client.send(first);
  let second = rest;
  // Each head is whole a moment after it has begun, but no read leaves the connection without one that has.
  const untilMs = performance.now() + 4_500;
  for (let id = 1; performance.now() < untilMs; id += 2) {
    const [next, last] = halves(id + 2);
    client.send(second, next);
    second = last;
    assert.equal((await client.answered(id)).statuses.at(-1), 200, `${id}`);
  }
});
