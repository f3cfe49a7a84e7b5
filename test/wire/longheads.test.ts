import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Held } from '../../proxy/listen/held.ts';
import { isWorthALook } from '../../proxy/listen/longheads.ts';
import { startAttacked } from '../kit/attacked.ts';
import { RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import type { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({
    // What it was asked, and how much of it came.
    onRequest(request) {
      const long = request.fields.flatMap(([name, value]) => (name.toLowerCase() === 'x-long' ? [value] : [])).join('');
      answer(request, `${fieldValue(request, 'x-nth')} ${long.length} ${new Set(long).size} ${request.body.length}`);
    },
  });
  sluice = await startAttacked({ 'gw.test': recorder.port }, ['--limit-head-bytes', '65536']);
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** A request whose head has so many fields of so many bytes, all of one letter, which is its own. */
function request(nth: number, fields: number, body = '', bytes = 300): string {
  const letter = String.fromCharCode(0x61 + (nth % 26));
  const long = `X-Long: ${letter.repeat(bytes)}\r\n`.repeat(fields);
  return `POST / HTTP/1.1\r\nHost: gw.test\r\nX-Nth: ${nth}\r\nContent-Length: ${body.length}\r\n${long}\r\n${body}`;
}

for (const tls of [undefined, { servername: 'gw.test' }]) {
  test(`long heads of many clients, one behind the other${tls ? ', over TLS' : ', half-closed'}: each is answered, in order`, async () => {
    const port = tls ? sluice.httpsPort : sluice.httpPort;
    const opened = Array.from({ length: 40 }, () => RawClient.open({ port, ...(tls ? { tls } : {}) }));
    const clients = await Promise.all(opened);
    const lengths = [95, 1, 60, 28, 30, 95, 0, 40];
    for (const client of clients) {
      client.send(lengths.map((fields, nth) => request(nth, fields, 'b'.repeat(nth * 1_000))).join(''));
      if (!tls) client.end();
    }
    for (const client of clients) {
      for (const [nth, fields] of lengths.entries()) {
        const { status, body } = await client.response(nth);
        assert.equal(status, 200);
        assert.equal(body.toString(), `${nth} ${fields * 300} ${Math.min(fields, 1)} ${nth * 1_000}`);
      }
      client.destroy();
    }
  });
}

test('a long head that comes in parts, with the next one behind it, up to the limit that was set', async () => {
  const text = request(3, 95, '', 640) + request(4, 95, 'b'.repeat(70_000), 640) + request(5, 30);
  for (const part of [1_000, 8_191, 8_193, 34_816, 50_000, 69_632]) {
    const client = await RawClient.open({ port: sluice.httpPort });
    for (let at = 0; at < text.length; at += part) {
      client.send(text.slice(at, at + part));
      await new Promise(setImmediate);
    }
    const answers = [await client.response(0), await client.response(1), await client.response(2)];
    assert.deepEqual(
      answers.map(({ body }) => body.toString()),
      ['3 60800 1 0', '4 60800 1 70000', '5 9000 1 0'],
    );
    client.destroy();
  }
});

test('what has come of a long head is looked at again when it may be whole, and when it is too long', () => {
  const looks = (parts: readonly string[]): boolean[] => {
    const held = new Held();
    return parts.map((part) => {
      const bytes = Buffer.from(part, 'latin1');
      return isWorthALook(held.add(bytes, 0, bytes.length), bytes.length, 30_000);
    });
  };
  const line = `X: ${'a'.repeat(4_995)}\r\n`;
  assert.deepEqual(looks(['GET / ', 'HTTP/1.1', '\r\nHost', ': a', '\r\n\r', '\n']), [
    false,
    false,
    true,
    false,
    true,
    true,
  ]);
  assert.deepEqual(looks([line, line, line, line, line, line]), [true, true, false, false, false, true]);
  for (const split of [1, 2, 3, 4]) {
    const end = '\r\n\r\n';
    assert.deepEqual(looks([line + line + end.slice(0, split), end.slice(split), 'a']), [true, split < 4, false]);
  }
});

test('who ends within a long head, or breaks a rule behind 8 KiB of it, is told so as with a short one', async () => {
  const head = request(1, 60);
  const cases: [text: string, status: number][] = [
    [head.slice(0, 12_000), 400],
    [`${head.slice(0, -2)}bad name: 1\r\n\r\n`, 400],
    [`${head.slice(0, -2)}X-Long: \x01\r\n\r\n`, 400],
    [request(1, 230), 431],
  ];
  for (const [text, status] of cases) {
    const client = await RawClient.open({ port: sluice.httpPort });
    client.send(text);
    client.end();
    assert.equal((await client.response()).status, status);
    await client.closed();
    client.destroy();
  }
});

test('a request whose body is broken in its first read reaches no backend, over a connection that was kept', async () => {
  const client = await RawClient.open({ port: sluice.httpPort });
  client.send(request(1, 1));
  assert.equal((await client.response()).status, 200);
  let received = '';
  for (const { socket } of recorder.connections) socket.on('data', (bytes: Buffer) => (received += bytes.toString()));
  client.send('POST /broken HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n');
  assert.equal((await client.response(1)).status, 400);
  await client.closed();
  client.destroy();
  const next = await RawClient.open({ port: sluice.httpPort });
  next.send(request(2, 1));
  assert.equal((await next.response()).status, 200);
  next.destroy();
  assert.doesNotMatch(received, /broken/);
});
