import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { corpusCases, decodeBytes } from '../kit/corpus.ts';
import { anyPlace, fuzzed } from '../kit/fuzztime.ts';
import { assertNothingLeft, residentOf } from '../kit/leftbehind.ts';
import { everythingTo } from '../kit/manifests.ts';
import { plainRequests } from '../kit/plainrequests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { MalformedResponse, readResponses } from '../kit/response.ts';
import { Standalone } from '../kit/sluice.ts';

let recorder: Recorder;
let sluice: Standalone;
let answerWith: Buffer | null = null;
let residentAtStart = 0;

before(async () => {
  recorder = await Recorder.start({
    onRequest(request) {
      if (answerWith === null || request.target === '/control') return answer(request, 'ok');
      answerBytes(request, answerWith);
      request.connection.socket.end();
    },
  });
  sluice = await Standalone.start({
    manifests: everythingTo(recorder.port),
  });
  residentAtStart = residentOf(sluice);
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** Bytes that parsers trip over. */
const spice = fc.constantFrom(
  ...[
    '\r\n',
    '\n',
    '\r',
    '\0',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '\r\n\r\n',
    '\v',
    '\x7f',
    '\xa0',
    '\xff',
    '0',
    'f',
    '-',
    '+',
    '_',
  ],
  ...['0\r\n\r\n', '5\r\nhello\r\n', ' HTTP/1.1', 'GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n', '%00', '/../', '"'],
);

/** Field lines that may be there once, or not beside each other. */
const lines = [
  ...['Content-Length: 5\r\n', 'Content-Length: 0\r\n', 'Transfer-Encoding: chunked\r\n', 'Host: gw.test\r\n'],
  ...['Connection: close\r\n', 'X-A: 1\n', ' folded\r\n', 'X-A : 1\r\n'],
];

/** At a share of the length, so that it shrinks with the bytes. A line goes between two lines, where chance alone would seldom put it whole. */
const edit = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ at: anyPlace, removed: fc.nat({ max: 8 }), inserted: fc.oneof(spice, fc.constant('')) }),
  },
  { weight: 1, arbitrary: fc.record({ at: anyPlace, removed: fc.constant(0), inserted: fc.constantFrom(...lines) }) },
);

function mutated(bases: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fc.nat({ max: bases.length - 1 }), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([index, edits]) => edits.reduce(apply, bases[index] ?? Buffer.alloc(0)));
}

function apply(bytes: Buffer, { at, removed, inserted }: { at: number; removed: number; inserted: string }): Buffer {
  const anywhere = Math.floor(at * bytes.length);
  const start = lines.includes(inserted) ? bytes.lastIndexOf(10, anywhere) + 1 : anywhere;
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(inserted, 'latin1'), bytes.subarray(start + removed)]);
}

function bases(side: 'client-h1' | 'upstream-h1'): Buffer[] {
  return corpusCases(side)
    .map((each) => decodeBytes(each.raw))
    .filter((bytes) => bytes.length > 0 && bytes.length < 4_000);
}

async function assertControl(): Promise<void> {
  const response = await exchange({ port: sluice.httpPort }, get('/control', 'gw.test', ['Connection: close']));
  assert.equal(response.body.toString(), 'ok');
  assert.equal(sluice.process.exit, null);
}

const requests = bases('client-h1');
/** Most of them are bad already, and one edit more makes no request of these that could be forwarded. */
const plain = requests.filter((bytes) => plainRequests(bytes.toString('latin1')) > 0);

/**
 * What is forwarded is judged by what the client's bytes can mean at most: never more requests than are in them without doubt,
 * and each with one Host, one framing and no control bytes.
 */
test('no mutation of a request crashes the gateway, or makes it forward anything ambiguous', async (context) => {
  await fuzzed(
    context,
    0.4,
    fc.asyncProperty(fc.oneof(mutated(requests), mutated(plain)), async (bytes) => {
      recorder.take();
      const client = await RawClient.open({ port: sluice.httpPort });
      client.send(bytes);
      client.end();
      await client.closed();
      client.destroy();
      await assertControl();
      const text = bytes.toString('latin1');
      const forwarded = recorder.take().filter((request) => request.target !== '/control');
      assert.ok(forwarded.length <= plainRequests(text), `${forwarded.length} requests in ${JSON.stringify(text)}`);
      for (const request of forwarded) {
        const names = request.fields.map(([name]) => name.toLowerCase());
        const framings = names.filter((name) => name === 'content-length' || name === 'transfer-encoding');
        assert.equal(names.filter((name) => name === 'host').length, 1, request.head);
        assert.ok(framings.length <= 1, request.head);
        assert.match(request.head, /^[A-Z]+ [!-~]+ HTTP\/1\.1\r\n([!#$%&'*+.^_`|~\w-]+: ?[\t -~\x80-\xff]*(\r\n|$))+$/);
      }
      if (isWholeHead(client.received) && !text.includes('HEAD ')) assertReadable(client.received);
    }),
  );
});

test('no mutation of a response crashes the gateway, or reaches the client as anything but valid HTTP', async (context) => {
  await fuzzed(
    context,
    0.3,
    fc.asyncProperty(mutated(bases('upstream-h1')), async (bytes) => {
      answerWith = bytes;
      const client = await RawClient.open({ port: sluice.httpPort });
      client.send(get('/mutated', 'gw.test', ['Connection: close']));
      await client.closed();
      client.destroy();
      answerWith = null;
      assertReadable(client.received);
      await assertControl();
    }),
  );
});

test('nothing of it is left: no request, no connection, no memory', () => assertNothingLeft(sluice, residentAtStart));

function isWholeHead(bytes: Buffer): boolean {
  return bytes.includes('\r\n\r\n');
}

/** Whatever the gateway says is strict HTTP. Not for answers to HEAD: this reader takes every request for a GET. */
function assertReadable(bytes: Buffer): void {
  try {
    readResponses(bytes, true);
  } catch (error) {
    if (error instanceof MalformedResponse)
      assert.fail(`${error.message} in ${bytes.toString('latin1').slice(0, 400)}`);
    throw error;
  }
}
