import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { RowOf } from '#table/rows.ts';
import { frameFlags, frameTypes, plainWindowBytes, settingIds } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame, type ReadFrame, SessionEnd } from '../kit/h2pair.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('clients that read nothing, as many as may be, do not hold up the others of their backend’s connection', async () => {
  const clients = 6;
  const each = 100;
  const end = new SessionEnd('server', { streams: 10_000 });
  let taken = 0;
  end.onHeaders = (stream) => {
    const isQuick = end.events.at(-1)?.includes('/quick') === true;
    end.session.respond(stream, 200, '', false);
    const body = isQuick ? Buffer.from('quick') : Buffer.alloc(65_535);
    end.session.data(stream, body, 0, body.length, isQuick);
    taken++;
  };
  const backend = await SessionBackend.start(() => end);
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push(backend, gateway);
  // The first brings the backend's SETTINGS.
  assert.equal((await exchange({ port: gateway.port }, get('/quick', 'gw.test'))).body.toString(), 'quick');
  for (let i = 0; i < clients; i++) {
    const client = await H2Client.open({ port: gateway.port });
    opened.push({ stop: async () => client.destroy() });
    client.greet([settingIds.initialWindowSize, 0]);
    const request = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
    client.send(...Array.from({ length: each }, (_, at) => client.headers(2 * at + 1, request)));
  }
  await waitUntil(() => taken === clients * each + 1, 'all requests to reach the backend');
  assert.equal(backend.connections, 1);
  assert.ok(end.session.sender.window > 0, 'there is room for others');
  assert.equal((await exchange({ port: gateway.port }, get('/quick', 'gw.test'))).body.toString(), 'quick');
});

test('uploads that rest, all but one of those that there may be, do not hold up the last of their connection', async () => {
  // A window of nothing: all that comes for this backend stays with the gateway.
  const end = new SessionEnd('server', { streamWindowBytes: 0 });
  let taken = 0;
  end.onHeaders = () => taken++;
  const stalled = await SessionBackend.start(() => end);
  const reading = await Recorder.start();
  const path = { type: 'element', value: '/quick' } as const;
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: stalled.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('backend', { id: 'reading' }),
    row('route', {
      id: 'quick',
      match: { path, methods: null, headers: [], query: [] },
      backends: [{ backendId: 'reading', weight: 1, filters: [] }],
    }),
    row('endpoints', {
      ...(endpointsRow([{ address: '127.0.0.1', port: reading.port }]).row as RowOf<'endpoints'>),
      ...{ id: 'reading', backendIds: ['reading'] },
    }),
  ]);
  opened.push(stalled, reading, gateway);
  const client = await H2Client.open({ port: gateway.port });
  opened.push({ stop: async () => client.destroy() });
  client.greet();
  const isOpened = ({ type, streamId }: ReadFrame) => type === frameTypes.windowUpdate && streamId === 0;
  await waitUntil(() => client.frames.some(isOpened), 'the window of the connection');
  const [{ payload } = { payload: Buffer.alloc(4) }] = client.frames.filter(isOpened);
  const resting = 99;
  const head = (path: string) => [':method: POST', ':scheme: http', `:path: ${path}`, ':authority: gw.test'];
  const whole = Array.from({ length: 4 }, (_, at) => Buffer.alloc(at < 3 ? 16_384 : 16_383));
  const body = (id: number) =>
    whole.map((bytes, at) => frame(frameTypes.data, at === 3 ? frameFlags.endStream : 0, id, bytes));
  assert.ok(plainWindowBytes + payload.readUInt32BE(0) >= (resting + 1) * plainWindowBytes, 'there is room for all');
  for (let id = 1; id < 2 * resting; id += 2) client.send(client.headers(id, head('/'), false), ...body(id));
  await waitUntil(() => taken === resting, 'the uploads to rest');
  const last = 2 * resting + 1;
  client.send(client.headers(last, head('/quick'), false), ...body(last));
  await waitUntil(() => client.answer(last).isEnded, 'the answer to the last upload');
  assert.deepEqual(client.answer(last).statuses, [200]);
  assert.equal(reading.requests[0]?.body.length, plainWindowBytes);
});

test('who is refused for want of memory and gives no window has a whole answer, and nothing of it waits', async () => {
  const gateway = await testGateway(plainTable([]));
  opened.push(gateway);
  const client = await H2Client.open({ port: gateway.port });
  client.greet([settingIds.initialWindowSize, 0]);
  await client.settled();
  // Without a limit nobody looks, and it stays so.
  gateway.gateway.pressure.isFull = gateway.gateway.pressure.isOut = true;
  const lines = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
  client.send(client.headers(1, lines));
  const answer = await client.answered(1);
  assert.deepEqual(answer.statuses, [503]);
  assert.ok(answer.lines.includes('content-length: 0') && answer.lines.includes('retry-after: 1'), `${answer.lines}`);
  assert.ok(answer.isEnded);
  client.destroy();
});
