import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { type Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { WebSocket, WebSocketServer } from 'ws';
import { NamedBackend } from '../kit/fleet.ts';
import { download, startFlowBackend } from '../kit/flow.ts';
import { echoClient, echoService, startEcho } from '../kit/grpc.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { Relay } from '../kit/relay.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil, within } from '../kit/wait.ts';

/** One proxy takes the place of another behind one address, as Pods do behind a Service, while everything is in use. */

const closing: (() => unknown)[] = [];
let manifests: Manifest[];

before(async () => {
  const web = await NamedBackend.start('web');
  const flow = await startFlowBackend();
  const echo = await startEcho({
    unary: (call, reply) => reply(null, call.request),
    collect: () => undefined,
    expand: () => undefined,
    talk(call) {
      call.on('data', (part: Buffer) => call.write(part));
      call.on('end', () => call.end());
    },
  });
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(sockets, 'listening');
  sockets.on('connection', (peer) => peer.on('message', (data) => peer.send(String(data))));
  closing.push(
    () => web.close(),
    () => flow.close(),
    () => echo.stop(),
    () => sockets.close(),
  );
  const { port: wsPort } = sockets.address() as AddressInfo;
  const { port: flowPort } = flow.address() as AddressInfo;
  manifests = [
    ingressClass(),
    ingress({ name: 'web', host: 'web.test', paths: { '/': 'web' } }),
    ingress({ name: 'flow', host: 'flow.test', paths: { '/': 'flow' } }),
    ingress({ name: 'ws', host: 'ws.test', paths: { '/': 'ws' } }),
    ingress({ name: 'grpc', host: 'gw.test', paths: { '/': 'grpc' }, annotations: { 'backend-protocol': 'GRPC' } }),
    ...service('web', [web.port]),
    ...service('flow', [flowPort]),
    ...service('ws', [wsPort]),
    ...service('grpc', [echo.port]),
  ];
});

after(async () => {
  for (const close of closing.reverse()) await close();
});

/** Requests over HTTP/2, one after the other, on a new connection when the old one says that it goes. */
class H2Load {
  answered = 0;
  readonly failures: string[] = [];
  readonly #port: number;
  #session: ClientHttp2Session | null = null;
  #isStopping = false;
  readonly #loops: Promise<void>[];

  constructor(port: number, streams: number) {
    this.#port = port;
    this.#loops = Array.from({ length: streams }, () => this.#loop());
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
    this.#session?.close();
  }

  async #loop(): Promise<void> {
    while (!this.#isStopping) {
      await this.#request().then(
        () => this.answered++,
        // What crosses the word to go is turned away unread, and every client sends it again (RFC 9113 §8.7).
        (error: Error) => /REFUSED_STREAM/.test(error.message) || this.failures.push(error.message),
      );
    }
  }

  #open(): ClientHttp2Session {
    if (this.#session === null || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(`http://127.0.0.1:${this.#port}`);
      this.#session.on('error', () => undefined);
    }
    return this.#session;
  }

  #request(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#open().request({ ':path': '/', ':authority': 'web.test' });
      let status = 0;
      let body = '';
      stream.on('response', (fields) => {
        status = Number(fields[':status']);
      });
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        body += text;
      });
      stream.on('error', reject);
      stream.on('close', () => {
        if (status === 200 && body === 'web') resolve();
        else
          reject(
            new Error(
              `status ${status}, ${body.length} bytes, code ${stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM ? 'REFUSED_STREAM' : stream.rstCode}`,
            ),
          );
      });
    });
  }
}

class GrpcLoad {
  answered = 0;
  readonly failures: string[] = [];
  readonly #client: Client;
  #isStopping = false;
  readonly #loops: Promise<void>[];

  constructor(client: Client, calls: number) {
    this.#client = client;
    this.#loops = Array.from({ length: calls }, () => this.#loop());
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
  }

  async #loop(): Promise<void> {
    while (!this.#isStopping) {
      await new Promise<void>((resolve) => {
        this.#client.makeUnaryRequest(
          echoService.unary.path,
          (value: Buffer) => value,
          (value: Buffer) => value,
          Buffer.from('call'),
          new Metadata(),
          (error) => {
            if (error === null) this.answered++;
            else this.failures.push(error.message);
            resolve();
          },
        );
      });
    }
  }
}

test('a proxy is replaced: no request fails, long ones finish, WebSockets are told to go', async (context) => {
  const args = ['--drain-delay', '600ms', '--drain-grace', '20s'];
  const [first, second] = await Promise.all([
    Standalone.start({ manifests, workers: 2, args }),
    Standalone.start({ manifests, workers: 2, args }),
  ]);
  const front = new Relay(first.httpPort);
  await front.mend();
  context.after(async () => {
    await front.cut();
    await first.discard();
    await second.discard();
  });

  const plain = { port: front.port, host: 'web.test', requestsPerSecond: 200 };
  const kept = Load.start({ ...plain, connections: 8 });
  const fresh = Load.start({ ...plain, connections: 4, keepsAlive: false });
  const h2 = new H2Load(front.port, 4);
  // Calls that cross the word to go are sent again by the client itself, as by every gRPC client (gRFC A6).
  const client = echoClient(front.port, { 'grpc.enable_retries': 1 });
  const calls = new GrpcLoad(client, 4);
  // Whatever comes of it: nobody goes on asking when it is over.
  context.after(() => Promise.all([kept, fresh, h2, calls].map((load) => load.stop())));
  context.after(() => client.close());
  const bytes = 48 << 20;
  const paused = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const long = download({ port: front.port, host: 'flow.test' }, bytes, {
    atBytes: 1 << 20,
    resume() {
      paused.resolve();
      return goOn.promise;
    },
  });
  const talk: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    echoService.talk.path,
    (value: Buffer) => value,
    (value: Buffer) => value,
  );
  const heard: string[] = [];
  talk.on('data', (part: Buffer) => heard.push(part.toString()));
  const talked = new Promise<number>((resolve) => talk.on('status', ({ code }) => resolve(code)));
  talk.write(Buffer.from('before'));
  const peer = new WebSocket(`ws://127.0.0.1:${front.port}/`, { headers: { host: 'ws.test' } });
  await within(once(peer, 'open'), 'the WebSocket to open');
  const left = once(peer, 'close');
  await paused.promise;
  const counts = () => [kept.report.answered, fresh.report.answered, h2.answered, calls.answered];
  await waitUntil(() => counts().every((count) => count > 50) && heard.length === 1, 'everything to flow');

  first.process.signal('SIGTERM');
  // As kubelet and the Service do: a proxy that is not ready gets no new connections.
  await eventually(async () => {
    const ready = await fetch(`http://127.0.0.1:${first.adminPort}/readyz`).catch(() => undefined);
    return ready?.status === 200 ? undefined : true;
  }, 'readiness to end');
  front.target = second.httpPort;
  talk.write(Buffer.from('meanwhile'));
  await waitUntil(() => heard.length === 2, 'the stream to go on');
  assert.equal((await within(left, 'the WebSocket to be told'))[0], 1001);
  talk.end();
  assert.equal(await talked, 0);
  goOn.resolve();
  assert.deepEqual(await long, { bytes, isIntact: true });
  assert.deepEqual(await first.process.ended(), { code: 0, signal: null });

  const before = counts();
  await waitUntil(() => counts().every((count, index) => count > (before[index] ?? 0) + 50), 'everything to flow on');
  const failures = [...(await kept.stop()).failures, ...(await fresh.stop()).failures];
  await h2.stop();
  await calls.stop();
  context.diagnostic(`answered: ${counts().join(', ')}`);
  assert.deepEqual([...failures, ...h2.failures, ...calls.failures], []);
});
