import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('the head for a backend of HTTP/2 says what one for HTTP/1.1 would', async () => {
  const backend = await H2Backend.start();
  const edits = { set: [{ name: 'X-Set', value: 'ours' }], add: [], remove: ['X-Gone'] };
  const rows = plainTable([{ address: '127.0.0.1', port: backend.port }]).map((each) => {
    if (each.kind === 'backend') return row('backend', { id: 'b', protocol: 'h2c' });
    return each.kind === 'route' ? row('route', { id: 'r', filters: [{ type: 'request-headers', edits }] }) : each;
  });
  const gateway = await testGateway(rows);
  opened.push(backend, gateway);
  const heard = async (bytes: string, method?: string) => {
    assert.equal((await exchange({ port: gateway.port }, bytes, method)).status, 200);
    return backend.requests.at(-1)?.headers ?? {};
  };

  const plain = await heard(get('/', 'gw.test', ['X-Set: theirs', 'X-Gone: 1']));
  const { 'x-set': set, 'x-gone': gone, te, 'content-length': length } = plain;
  assert.deepEqual({ set, gone, te, length }, { set: 'ours', gone: undefined, te: undefined, length: undefined });
  const patient = await heard(get('/', 'gw.test', ['TE: trailers']));
  assert.equal(patient['te'], 'trailers');
  const empty = await heard('POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 0\r\n\r\n', 'POST');
  assert.equal(empty['content-length'], '0');
  const few = await heard('OPTIONS / HTTP/1.1\r\nHost: gw.test\r\nMax-Forwards: 5\r\n\r\n', 'OPTIONS');
  assert.equal(few['max-forwards'], '4');
  // Go's servers keep no trailers but these.
  const announced = 'Trailer: X-Sum, content-length, X_Sum, X.Sum, X-Forwarded-For,, a b\r\nTrailer: X-More';
  const body = 'Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n';
  const trailed = await heard(`POST / HTTP/1.1\r\nHost: gw.test\r\n${announced}\r\n${body}`, 'POST');
  assert.equal(trailed['trailer'], 'X-Sum, X-More');
});

test('an answer of HTTP/2 has a reason for a client of HTTP/1.1, for some see no status in a line without one', async () => {
  let status = 200;
  const backend = await H2Backend.start({
    onEnd: ({ stream }) => stream.respond({ ':status': status }, { endStream: true }),
  });
  const rows = plainTable([{ address: '127.0.0.1', port: backend.port }]);
  const gateway = await testGateway([...rows, row('backend', { id: 'b', protocol: 'h2c' })]);
  opened.push(backend, gateway);
  const lines: string[] = [];
  for (status of [200, 404, 299]) {
    const client = await RawClient.open({ port: gateway.port });
    client.send(get('/', 'gw.test'));
    await client.response();
    lines.push(client.received.toString('latin1').split('\r\n', 1)[0] as string);
    client.destroy();
  }
  assert.deepEqual(lines, ['HTTP/1.1 200 OK', 'HTTP/1.1 404 Not Found', 'HTTP/1.1 299 ']);
});
