import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { HeaderEdits } from '../../proxy/table/filter.ts';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';

const compression = [{ name: 'gzip' as const, level: 1, types: ['text/*'], minBytes: 256 }];

const text = 'text'.repeat(400);

async function rig(t: TestContext) {
  const recorder = await Recorder.start();
  t.after(() => recorder.stop());
  const rows = plainTable([{ address: '127.0.0.1', port: recorder.port }]);
  const gateway = await testGateway([...rows, row('listener', { id: 'http', compression })]);
  t.after(() => gateway.stop());
  const client = await RawClient.open({ port: gateway.port });
  t.after(() => client.destroy());
  let asked = 0;
  /** Asks for what the filter is put before. */
  const told = async (edits: Partial<HeaderEdits>, ...asks: string[]) => {
    const filter = { type: 'response-headers' as const, edits: { remove: [], set: [], add: [], ...edits } };
    gateway.apply([row('route', { id: 'r', filters: [filter] })]);
    client.send(get('/', 'gw.test', ['Accept-Encoding: gzip', ...asks]));
    const { fields, body } = await client.response(asked++);
    const valuesOf = (wanted: string) =>
      fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
    return { body, valuesOf };
  };
  return { recorder, told };
}

test('what filters take of the head is not put back, and the encoded body is told from the other whatever they set', async (t) => {
  const { recorder, told } = await rig(t);
  const fields = ['Content-Type: text/plain', 'ETag: "a"', 'Vary: Accept-Encoding'];
  recorder.onRequest = (request) => {
    if (!request.fields.some(([name]) => name.toLowerCase() === 'if-none-match')) answer(request, text, 200, fields);
    else answerBytes(request, `HTTP/1.1 304 Not Modified\r\n${fields.join('\r\n')}\r\n\r\n`);
  };
  const head = async (edits: Partial<HeaderEdits>, asks: string[]) => {
    const { valuesOf } = await told(edits, ...asks);
    return { tags: valuesOf('etag'), varies: valuesOf('vary') };
  };
  const taken = { remove: ['ETag', 'Vary'] };
  const other = {
    set: [
      { name: 'ETag', value: 'W/"b"' },
      { name: 'Vary', value: 'Origin' },
    ],
  };
  for (const asks of [[], ['If-None-Match: W/"a"']]) {
    assert.deepEqual(await head(taken, asks), { tags: [], varies: ['Accept-Encoding'] });
    assert.deepEqual(await head(other, asks), { tags: ['W/"b"'], varies: ['Accept-Encoding', 'Origin'] });
  }
});

test('a body whose encoding a filter tells, for files that are stored so, is not encoded again', async (t) => {
  const { recorder, told } = await rig(t);
  recorder.onRequest = (request) => answer(request, text, 200, ['Content-Type: text/javascript']);
  const line = { name: 'content-Encoding', value: 'br' };
  for (const edits of [{ set: [line] }, { add: [line] }]) {
    const { body, valuesOf } = await told(edits);
    assert.deepEqual(valuesOf('content-encoding'), ['br']);
    assert.equal(body.toString(), text);
  }
  const { valuesOf } = await told({ add: [{ name: 'X-Of', value: 'content-encoding:' }] });
  assert.deepEqual(valuesOf('content-encoding'), ['gzip']);
});
