import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HeaderEdits } from '../../proxy/table/filter.ts';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';

const compression = [{ name: 'gzip' as const, level: 1, types: ['text/*'], minBytes: 256 }];

test('what filters take of the head is not put back, and the encoded body is told from the other whatever they set', async (t) => {
  const recorder = await Recorder.start();
  t.after(() => recorder.stop());
  const rows = plainTable([{ address: '127.0.0.1', port: recorder.port }]);
  const gateway = await testGateway([...rows, row('listener', { id: 'http', compression })]);
  t.after(() => gateway.stop());
  const client = await RawClient.open({ port: gateway.port });
  t.after(() => client.destroy());
  const fields = ['Content-Type: text/plain', 'ETag: "a"', 'Vary: Accept-Encoding'];
  recorder.onRequest = (request) => {
    if (!request.fields.some(([name]) => name.toLowerCase() === 'if-none-match'))
      answer(request, 'text'.repeat(400), 200, fields);
    else answerBytes(request, `HTTP/1.1 304 Not Modified\r\n${fields.join('\r\n')}\r\n\r\n`);
  };
  let asked = 0;
  const told = async (edits: HeaderEdits, ...asks: string[]) => {
    gateway.apply([row('route', { id: 'r', filters: [{ type: 'response-headers', edits }] })]);
    client.send(get('/', 'gw.test', ['Accept-Encoding: gzip', ...asks]));
    const response = await client.response(asked++);
    const valuesOf = (wanted: string) =>
      response.fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
    return { tags: valuesOf('etag'), varies: valuesOf('vary') };
  };
  const taken: HeaderEdits = { remove: ['ETag', 'Vary'], set: [], add: [] };
  const other: HeaderEdits = {
    ...{ remove: [], add: [] },
    set: [
      { name: 'ETag', value: 'W/"b"' },
      { name: 'Vary', value: 'Origin' },
    ],
  };
  for (const asks of [[], ['If-None-Match: W/"a"']]) {
    assert.deepEqual(await told(taken, ...asks), { tags: [], varies: ['Accept-Encoding'] });
    assert.deepEqual(await told(other, ...asks), { tags: ['W/"b"'], varies: ['Accept-Encoding', 'Origin'] });
  }
});
