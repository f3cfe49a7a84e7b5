import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeBytes } from '../kit/corpus.ts';
import { MalformedResponse, readResponses } from '../kit/response.ts';
import { RequestSplitter, type SplitRequest } from '../kit/splitter.ts';

// The judges of the wire tests are themselves judged: a blind recorder would let every gateway pass.

function split(bytes: string): SplitRequest[] {
  const requests: SplitRequest[] = [];
  const splitter = new RequestSplitter(
    (request) => requests.push(request),
    () => undefined,
  );
  splitter.push(Buffer.from(bytes, 'latin1'));
  return requests;
}

test('the recorder sees requests that a strict server would hide', () => {
  const both = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n';
  assert.deepEqual(
    split(`${both}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`).map((request) => request.target),
    ['/', '/smuggled'],
  );
  assert.deepEqual(
    split('GET /a HTTP/1.1\nHost : a\n\nGET /b HTTP/1.1\n\n').map((request) => request.target),
    ['/a', '/b'],
  );
});

test('the recorder knows a finished request from one that was cut', () => {
  const [whole, cut] = split(
    'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc',
  );
  assert.equal(whole?.isComplete, true);
  assert.equal(whole?.body.toString(), 'abc');
  assert.deepEqual(whole?.chunkLines, ['3;x=y', '0']);
  assert.deepEqual(whole?.trailers, ['T: 1']);
  assert.equal(cut?.isComplete, false);
});

const malformed = [
  'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\npoison',
];
for (const text of malformed) {
  test(`the strict reader refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => readResponses(Buffer.from(text), true), MalformedResponse);
  });
}

test('the strict reader tells whole answers from cut ones, and waits while more may come', () => {
  const cut = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel');
  assert.deepEqual(readResponses(cut, false), []);
  assert.equal(readResponses(cut, true)[0]?.isComplete, false);
  const two =
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const responses = readResponses(Buffer.from(two), false);
  assert.deepEqual(
    responses.map(({ status, interims, isComplete }) => ({ status, interims, isComplete })),
    [
      { status: 204, interims: [100], isComplete: true },
      { status: 200, interims: [], isComplete: true },
    ],
  );
});

test('escapes of the corpus decode to bytes', () => {
  assert.deepEqual(
    decodeBytes('a\\r\\n\\t\\\\\\x00\\xff\\*{3:b\\n}'),
    Buffer.from('a\r\n\t\\\0\xffb\nb\nb\n', 'latin1'),
  );
});
