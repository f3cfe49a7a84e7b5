import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('an answer that was whole when another try took its place is not reset, and does not wear its connection out', async () => {
  const requests = 220;
  let answers = 0;
  const codes: number[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    const frame = end.session.frame.bind(end.session);
    end.session.frame = (type, flags, id, bytes, start, to) => {
      if (type === frameTypes.rstStream) codes.push(bytes.readUInt32BE(start));
      frame(type, flags, id, bytes, start, to);
    };
    end.onHeaders = (stream) => {
      end.session.respond(stream, answers++ % 2 === 0 ? 500 : 200, 'Content-Length: 0\r\n', true);
    };
    return end;
  });
  const timeouts = { connectMs: 5_000, sendMs: 60_000, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: 60_000 };
  const gateway = await testGateway(
    [
      ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
      row('backend', { id: 'b', protocol: 'h2c' }),
      row('route', { id: 'r', timeouts, retry: { attempts: 2, on: [500], canRepeatUnsafe: false, withinMs: 0 } }),
    ],
    { retriesPerSecond: 1_000 },
  );
  opened.push(backend, gateway);
  for (let i = 0; i < requests; i++) await exchange({ port: gateway.port }, get('/', 'gw.test'));
  assert.deepEqual([...new Set(gateway.records.map(({ status, tries }) => `${status} ${tries}`))], ['200 2']);
  assert.deepEqual(codes, []);
  assert.equal(backend.connections, 1);
});
