import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { errorCodes, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const turn = () => new Promise(setImmediate);

test('who takes requests back is waited for before others of his are started', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  const client = await H2Client.open(gateway);
  opened.push(recorder, gateway, { stop: async () => client.destroy() });
  client.greet();
  const get = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
  const takeBack = (id: number) => frame(frameTypes.rstStream, 0, id, Buffer.of(0, 0, 0, errorCodes.cancel));
  const rounds = 50;
  for (let id = 1; id < 4 * rounds; id += 4) {
    // Gateway and client share the loop: what is sent in a turn is read in the next one, and this is between the two.
    await turn();
    client.send(client.headers(id, get), takeBack(id), client.headers(id + 2, get));
    await turn();
    client.send(takeBack(id + 2));
  }
  const last = 4 * rounds + 1;
  client.send(client.headers(last, get));
  assert.equal((await client.answered(last)).statuses.at(-1), 200);
  const started = gateway.records.filter(({ tries }) => tries > 0).length;
  // Some, because the kernel of a busy machine may bring the second half late.
  assert.ok(started < rounds / 2, `${started} of ${2 * rounds} were started`);
});
