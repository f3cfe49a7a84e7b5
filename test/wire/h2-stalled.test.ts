import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { settingIds } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
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
