import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { errorCodes, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a call that is answered before its end gives its stream back at once: clients of gRPC count it no more', async () => {
  const backend = await H2Backend.start({
    onRequest: ({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '16' }, { endStream: true });
    },
  });
  const rows = [
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ];
  const gateway = await testGateway(rows, { lingerMs: 600_000 });
  const client = await H2Client.open({ port: gateway.port });
  opened.push(backend, gateway, { stop: () => client.client.destroy() });
  client.greet();
  const lines = [':method: POST', ':scheme: http', ':path: /', ':authority: gw.test', 'content-type: application/grpc'];
  // As many as may be open, whose rest waits for a window that nobody opens any more; then as many again in their place.
  for (const first of [1, 201]) {
    const ids = Array.from({ length: 100 }, (_, i) => first + 2 * i);
    client.send(...ids.map((id) => client.headers(id, lines, false)));
    client.send(...ids.map((id) => frame(frameTypes.data, 0, id, Buffer.alloc(10))));
    const last = ids.at(-1) as number;
    await waitUntil(() => client.isOver || client.answer(last).isEnded, 'the last answer');
    await client.settled();
    for (const id of [first, last]) {
      const { statuses, lines: fields, isEnded, reset } = client.answer(id);
      assert.deepEqual([statuses, isEnded, reset], [[200], true, errorCodes.noError]);
      assert.ok(fields.some((line) => /^grpc-status: 16$/i.test(line)));
    }
  }
});
