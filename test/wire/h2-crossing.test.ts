import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { errorCodes, frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame, SessionEnd } from '../kit/h2pair.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const lines = (method: string) => [`:method: ${method}`, ':scheme: http', ':path: /', ':authority: gw.test'];

test('a backend that answers uploads early and resets each, as we do, keeps the connection that others are on', async () => {
  const ends: SessionEnd[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    ends.push(end);
    // It is not this end that is looked at.
    end.session.spend = () => undefined;
    end.onHeaders = (stream, isEnd) => {
      if (isEnd) {
        if (stream.id > 1) for (const each of end.streams.values()) end.session.respond(each, 204, '', true);
        return;
      }
      // As Go says that it wants no more of the body (RFC 9113 §8.1).
      end.session.respond(stream, 401, '', true);
      end.session.reset(stream, errorCodes.noError);
    };
    return end;
  });
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  const other = await H2Client.open({ port: gateway.port });
  const client = await H2Client.open({ port: gateway.port });
  opened.push(backend, gateway, { stop: () => other.destroy() }, { stop: () => client.destroy() });
  other.greet();
  other.send(other.headers(1, lines('GET')));
  await waitUntil(() => ends[0]?.streams.has(1) === true, 'the request that waits');
  client.greet();
  const uploads = 50;
  let told = 0;
  for (let first = 1; first < 4_000; first += 2 * uploads) {
    const ids = Array.from({ length: uploads }, (_, i) => first + 2 * i);
    client.send(...ids.map((id) => client.headers(id, lines('POST'), false)));
    told += uploads;
    const answers = () => client.frames.filter(({ type }) => type === frameTypes.headers).length;
    await waitUntil(() => client.isOver || answers() === told, `${told} answers`);
    client.send(...ids.map((id) => frame(frameTypes.data, frameFlags.endStream, id)));
    await client.settled();
  }
  // Both of those who wait are answered now.
  client.send(client.headers(4_001, lines('GET')));
  assert.deepEqual((await other.answered(1)).statuses, [204]);
  assert.deepEqual((await client.answered(4_001)).statuses, [204]);
  assert.equal(ends.length, 1);
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
