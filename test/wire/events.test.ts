import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

/** Steps of one answer, each taken when it is called. */
interface Speaker {
  readonly port: number;
  head(): Promise<void>;
  event(text: string): void;
}

const speakers = {
  'HTTP/1.1': async (): Promise<Speaker> => {
    const recorder = await Recorder.start({ onRequest: () => undefined });
    opened.push(recorder);
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
    return {
      port: recorder.port,
      head: async () => answerBytes(await recorder.request(), head),
      event: (text) => {
        const [request] = recorder.requests;
        assert.ok(request);
        answerBytes(request, `${text.length.toString(16)}\r\n${text}\r\n`);
      },
    };
  },
  'HTTP/2': async (): Promise<Speaker> => {
    const backend = await H2Backend.start({ onEnd: () => undefined });
    opened.push(backend);
    return {
      port: backend.port,
      head: async () => {
        (await backend.request()).stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      },
      event: (text) => backend.requests[0]?.stream.write(text),
    };
  },
};

/** What has come of an answer: whether its head has, and the text behind it. */
interface Listener {
  hasHead(): boolean;
  text(): string;
}

const listeners = {
  'HTTP/1.1': async (port: number): Promise<Listener> => {
    const client = await RawClient.open({ port });
    opened.push({ stop: async () => client.destroy() });
    client.send(get('/', 'gw.test'));
    return {
      hasHead: () => /^HTTP\/1\.1 200 .*\r\n\r\n/s.test(client.received.toString('latin1')),
      text: () => client.received.toString('latin1').split('\r\n\r\n').slice(1).join('\r\n\r\n'),
    };
  },
  'HTTP/2': async (port: number): Promise<Listener> => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    opened.push({ stop: async () => session.destroy() });
    const stream = session.request({ ':path': '/', ':authority': 'gw.test' });
    stream.on('error', () => undefined);
    let status: number | undefined;
    let text = '';
    stream.on('response', (head) => {
      status = head[':status'];
    });
    stream.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    return { hasHead: () => status === 200, text: () => text };
  },
};

for (const [backend, speak] of Object.entries(speakers)) {
  for (const [client, listen] of Object.entries(listeners)) {
    test(`server-sent events of ${backend} for ${client}: the head waits for no event, and no event for another`, async () => {
      const speaker = await speak();
      const table = plainTable([{ address: '127.0.0.1', port: speaker.port }]);
      const protocol = backend === 'HTTP/2' ? 'h2c' : 'http';
      const rows = table.map((each) => (each.kind === 'backend' ? row('backend', { id: 'b', protocol }) : each));
      const gateway = await testGateway(rows);
      opened.push(gateway);
      const listener = await listen(gateway.port);
      await speaker.head();
      await waitUntil(() => listener.hasHead(), 'the head');
      for (const event of ['data: one\n\n', 'data: two\n\n']) {
        assert.ok(!listener.text().includes(event));
        speaker.event(event);
        await waitUntil(() => listener.text().includes(event), `the event ${event.trim()}`);
      }
    });
  }
}
