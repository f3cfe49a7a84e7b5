import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { errorCodes, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { SessionEnd, settle } from '../kit/h2pair.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const lines = (method: string) => [`:method: ${method}`, ':scheme: http', ':path: /', ':authority: gw.test'];

test('a backend that answers uploads early and resets each, as we do, keeps the connection that others are on', () => {
  const end = new SessionEnd('client');
  const backend = new SessionEnd('server');
  // It is not this end that is looked at.
  backend.session.spend = () => undefined;
  backend.onHeaders = (stream) => {
    // As Go says that it wants no more of the body (RFC 9113 §8.1).
    backend.session.respond(stream, 401, '', true);
    backend.session.reset(stream, errorCodes.noError);
  };
  settle(end, backend);
  for (let uploads = 0; uploads < 2_000; uploads++) {
    const stream = end.session.open('');
    end.session.request(stream, lines('POST'), '', false);
    backend.receive(end.takeOutput());
    end.session.reset(stream, errorCodes.noError);
    end.receive(backend.takeOutput());
  }
  assert.equal(end.session.isOver, false);
});

test('answers with a frame of DATA that is empty, as a server of pieces has them, end no other either', async () => {
  const ends: SessionEnd[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    ends.push(end);
    end.onHeaders = (stream) => {
      end.session.respond(stream, 200, '', false);
      end.session.sender.frame(0, frameTypes.data, 0, stream.id);
      end.session.data(stream, Buffer.from('ok'), 0, 2, true);
    };
    return end;
  });
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  const client = await H2Client.open({ port: gateway.port });
  opened.push(backend, gateway, { stop: () => client.destroy() });
  client.greet();
  const requests = 50;
  for (let first = 1; first < 1_000; first += 2 * requests) {
    client.send(...Array.from({ length: requests }, (_, i) => client.headers(first + 2 * i, lines('GET'))));
    await client.answered(first + 2 * (requests - 1));
  }
  await waitUntil(() => gateway.records.length === 500, 'all of them to be told');
  assert.deepEqual(
    gateway.records.filter(({ status, flag }) => status !== 200 || flag !== '-'),
    [],
  );
  assert.equal(ends.length, 1);
});
