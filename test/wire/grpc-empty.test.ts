import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame, SessionEnd } from '../kit/h2pair.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

for (const [type, told] of [
  ['application/grpc', ['headers POST /', 'end']],
  ['text/plain', ['headers POST / end']],
] as const) {
  test(`how the end of a request without a body is told to a backend: ${type}`, async () => {
    const end = new SessionEnd('server');
    end.onHeaders = (stream) => end.session.respond(stream, 200, '', true);
    const backend = await SessionBackend.start(() => end);
    const rows = [
      ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
      row('backend', { id: 'b', protocol: 'h2c' }),
    ];
    const gateway = await testGateway(rows);
    const client = await H2Client.open({ port: gateway.port });
    opened.push(backend, gateway, { stop: () => client.client.destroy() });
    client.greet();
    const lines = [':method: POST', ':scheme: http', ':path: /', ':authority: gw.test', `content-type: ${type}`];
    // On a connection that is to be opened, and on one that is there; at once, and by a frame of its own.
    for (const id of [1, 3]) {
      client.send(client.headers(id, lines, false), frame(frameTypes.data, frameFlags.endStream, id));
      await client.answered(id);
    }
    client.send(client.headers(5, lines, true));
    await client.answered(5);
    await client.settled();
    const expected = [1, 3, 5].flatMap((id) => told.map((event) => `${id} ${event}`));
    assert.deepEqual(
      end.events.filter((event) => /headers|end$/.test(event)),
      expected,
    );
  });
}
