import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { RawClient } from '../kit/rawclient.ts';
import { answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

/** gRPC-Web is HTTP to us: what it says of a call is in the body, its trailers included, and each message matters at once. */

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const type = 'application/grpc-web+proto';
const messageFrame = (flags: number, text: string): string =>
  `${String.fromCharCode(flags, 0, 0, 0, text.length)}${text}`;
const question = messageFrame(0, '\x80\xff\x00?');
const messages = [messageFrame(0, 'one'), messageFrame(0, '\xff\x00two')];
const trailers = messageFrame(0x80, 'grpc-status: 5\r\ngrpc-message: none\r\n');

/** Steps of one answer, each taken when it is called. */
interface Server {
  readonly port: number;
  /** Bytes of the request's body, and its Content-Type, once it is whole. */
  asked(): Promise<{ body: string; type: string | undefined }>;
  head(): void;
  write(text: string): void;
  end(): void;
}

const servers = {
  'HTTP/1.1': async (): Promise<Server> => {
    const recorder = await Recorder.start({ onRequest: () => undefined });
    opened.push(recorder);
    const say = (text: string) => {
      const [request] = recorder.requests;
      assert.ok(request);
      answerBytes(request, text);
    };
    return {
      port: recorder.port,
      asked: async () => {
        const { body, fields } = await recorder.request();
        return {
          body: body.toString('latin1'),
          type: fields.find(([name]) => name.toLowerCase() === 'content-type')?.[1],
        };
      },
      head: () => say(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`),
      write: (text) => say(`${text.length.toString(16)}\r\n${text}\r\n`),
      end: () => say('0\r\n\r\n'),
    };
  },
  'HTTP/2': async (): Promise<Server> => {
    const backend = await H2Backend.start({ onEnd: () => undefined });
    opened.push(backend);
    return {
      port: backend.port,
      asked: async () => {
        const request = await backend.request();
        await waitUntil(() => request.isEnded, 'the end of the request');
        return { body: request.body.toString('latin1'), type: request.headers['content-type'] };
      },
      head: () => backend.requests[0]?.stream.respond({ ':status': 200, 'content-type': type }),
      write: (text) => backend.requests[0]?.stream.write(Buffer.from(text, 'latin1')),
      end: () => backend.requests[0]?.stream.end(),
    };
  },
};

/** What a client has of its answer so far. */
interface Caller {
  body(): string;
  contentType(): string | undefined;
  isEnded(): boolean;
}

const callers = {
  'HTTP/1.1': async (port: number): Promise<Caller> => {
    const client = await RawClient.open({ port });
    opened.push({ stop: async () => client.destroy() });
    const fields = [`Content-Type: ${type}`, 'X-Grpc-Web: 1', `Content-Length: ${question.length}`];
    client.send(
      Buffer.from(['POST /pkg.Web/Call HTTP/1.1', 'Host: gw.test', ...fields, '', question].join('\r\n'), 'latin1'),
    );
    const text = () => client.received.toString('latin1');
    return {
      body: () => {
        const [, chunks = ''] = /\r\n\r\n(.*)$/s.exec(text()) ?? [];
        let body = '';
        for (let rest = chunks; ; ) {
          const [line, size = ''] = /^([0-9a-f]+)\r\n/.exec(rest) ?? [];
          if (line === undefined || rest.length < line.length + Number.parseInt(size, 16)) return body;
          body += rest.slice(line.length, line.length + Number.parseInt(size, 16));
          rest = rest.slice(line.length + Number.parseInt(size, 16) + 2);
        }
      },
      contentType: () => /^content-type: (.*)\r$/im.exec(text())?.[1],
      isEnded: () => text().endsWith('\r\n0\r\n\r\n'),
    };
  },
  'HTTP/2': async (port: number): Promise<Caller> => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    opened.push({ stop: async () => session.destroy() });
    const stream = session.request({
      ':method': 'POST',
      ':path': '/pkg.Web/Call',
      ':authority': 'gw.test',
      'content-type': type,
      'x-grpc-web': '1',
    });
    stream.on('error', () => undefined);
    let contentType: string | undefined;
    let body = '';
    let isEnded = false;
    stream.on('response', (head) => {
      contentType = head['content-type'];
    });
    stream.on('data', (bytes: Buffer) => {
      body += bytes.toString('latin1');
    });
    stream.on('end', () => {
      isEnded = true;
    });
    stream.end(Buffer.from(question, 'latin1'));
    return { body: () => body, contentType: () => contentType, isEnded: () => isEnded };
  },
};

for (const [backend, serve] of Object.entries(servers)) {
  for (const [client, call] of Object.entries(callers)) {
    test(`gRPC-Web passes from ${client} to ${backend} and back, byte for byte, and no message waits for another`, async () => {
      const server = await serve();
      const table = plainTable([{ address: '127.0.0.1', port: server.port }]);
      const protocol = backend === 'HTTP/2' ? 'h2c' : 'http';
      const rows = table.map((each) => (each.kind === 'backend' ? row('backend', { id: 'b', protocol }) : each));
      const gateway = await testGateway(rows);
      opened.push(gateway);
      const caller = await call(gateway.port);
      assert.deepEqual(await server.asked(), { body: question, type });
      server.head();
      let sent = '';
      for (const message of [...messages, trailers]) {
        server.write(message);
        sent += message;
        await waitUntil(() => caller.body() === sent, 'the message to arrive');
      }
      assert.equal(caller.isEnded(), false);
      server.end();
      await waitUntil(() => caller.isEnded(), 'the end');
      assert.equal(caller.body(), sent);
      assert.equal(caller.contentType(), type);
    });
  }
}
