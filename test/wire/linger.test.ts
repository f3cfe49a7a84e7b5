import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { errorCodes, frameTypes } from '../../proxy/frame/codes.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { RawClient } from '../kit/rawclient.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const piece = Buffer.alloc(16_384, 'x');

/** Clients that were told the last word of their connection, FIN with it, and have not stopped sending. */
const ways: Record<string, (gateway: TestGateway) => Promise<RawClient>> = {
  async 'a refused upload'(gateway) {
    const client = await RawClient.open(gateway);
    client.send('POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100000000\r\n\r\n');
    client.send(piece);
    await waitUntil(() => client.isEnded, 'the end of the answer');
    assert.equal((await client.response()).status, 503);
    return client;
  },
  async 'a broken connection of HTTP/2'(gateway) {
    const streams = await H2Client.open(gateway);
    streams.greet();
    streams.send(frame(frameTypes.data, 0, 0, piece));
    await waitUntil(() => streams.client.isEnded, 'the end of the connection');
    assert.equal(streams.failure, errorCodes.protocolError);
    return streams.client;
  },
};

/** Writes one piece after the other, each when the one before is with the kernel. A reset is an error of one of them. */
async function sendOn({ socket }: RawClient, pieces: number): Promise<void> {
  for (let i = 0; i < pieces && !socket.destroyed; i++) {
    await new Promise((resolve) => socket.write(piece, resolve));
  }
}

/** RFC 9112 §9.6, RFC 9113 §5.4.1: a reset can overtake the last word, or have the client throw it away. */
describe('who has been told the last word', () => {
  for (const [name, begin] of Object.entries(ways)) {
    test(`may go on sending for a while, and gets no reset: ${name}`, async () => {
      const gateway = await testGateway(plainTable([]), { lingerMs: 60_000 });
      const client = await begin(gateway);
      opened.push(gateway, { stop: async () => client.destroy() });
      await sendOn(client, 200);
      assert.equal(client.error, null);
      assert.equal(gateway.gateway.counts().connections, 1);
    });

    test(`may not do so for ever: ${name}`, async () => {
      const gateway = await testGateway(plainTable([]), { lingerMs: 100 });
      const client = await begin(gateway);
      opened.push(gateway, { stop: async () => client.destroy() });
      await sendOn(client, Number.POSITIVE_INFINITY);
      await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connection to be gone');
    });
  }
});
