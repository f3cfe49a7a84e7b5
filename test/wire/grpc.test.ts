import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { type Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { failures } from '../../proxy/forward/failures.ts';
import { refusals } from '../../proxy/listen/refusals.ts';
import type { Route } from '../../proxy/table/route.ts';
import type { Row } from '../../proxy/table/rows.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { type EchoHandlers, echoClient, echoService, startEcho } from '../kit/grpc.ts';
import { endpointsRow, plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const identity = (value: Buffer) => value;

const handlers: EchoHandlers = {
  unary(call, reply) {
    const trailers = new Metadata();
    trailers.set('x-trailer', 'end');
    const [wanted] = call.metadata.get('x-fail');
    if (wanted !== undefined) reply({ code: Number(wanted), details: 'as you wish', metadata: trailers });
    else reply(null, call.request, trailers);
  },
  collect(call, reply) {
    const parts: Buffer[] = [];
    call.on('data', (part: Buffer) => parts.push(part));
    call.on('end', () => reply(null, Buffer.concat(parts)));
  },
  expand(call) {
    for (let i = 0; i < call.request.length; i++) call.write(call.request.subarray(i, i + 1));
    call.end();
  },
  talk(call) {
    call.on('data', (part: Buffer) => call.write(part));
    call.on('end', () => call.end());
  },
};

function table(ports: readonly number[]): Row[] {
  const endpoints = ports.map((port) => ({ address: '127.0.0.1', port }));
  return plainTable(endpoints).map((each) =>
    each.kind === 'backend' ? row('backend', { id: 'b', protocol: 'h2c' }) : each,
  );
}

async function rig(own: Partial<EchoHandlers> = {}): Promise<{ gateway: TestGateway; client: Client; port: number }> {
  const echo = await startEcho({ ...handlers, ...own });
  const gateway = await testGateway(table([echo.port]));
  const client = echoClient(gateway.port);
  opened.push(echo, gateway, { stop: async () => client.close() });
  return { gateway, client, port: echo.port };
}

function unary(client: Client, message: Buffer, metadata = new Metadata(), deadlineMs?: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    client.makeUnaryRequest(echoService.unary.path, identity, identity, message, metadata, options, (error, answer) =>
      error === null ? resolve(answer as Buffer) : reject(error),
    );
  });
}

async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  return call.then(
    () => assert.fail('the call should have failed'),
    (error: ServiceError) => error,
  );
}

test('unary calls, many at once, over HTTP/2 in the clear', async () => {
  const { client } = await rig();
  const messages = Array.from({ length: 50 }, (_, i) => Buffer.from(`message ${i}`.repeat(i + 1)));
  const answers = await Promise.all(messages.map((message) => unary(client, message)));
  assert.deepEqual(answers.map(String), messages.map(String));
});

test('a message larger than any window', async () => {
  const { client } = await rig();
  const message = Buffer.alloc(2_000_000, 'sluice');
  const answer = await unary(client, message);
  assert.ok(answer.equals(message));
});

test('a status and trailers of the server are the client’s', async () => {
  const { client, gateway } = await rig();
  const metadata = new Metadata();
  metadata.set('x-fail', String(status.FAILED_PRECONDITION));
  const error = await failureOf(unary(client, Buffer.from('x'), metadata));
  assert.equal(error.code, status.FAILED_PRECONDITION);
  assert.equal(error.details, 'as you wish');
  assert.deepEqual(error.metadata.get('x-trailer'), ['end']);
  await waitUntil(() => gateway.records.length === 1, 'the record');
  assert.deepEqual([gateway.records[0]?.status, gateway.records[0]?.flag], [200, '-']);
});

test('streams of the client, of the server, and of both', async () => {
  const { client } = await rig();
  const collected = await new Promise<Buffer>((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      echoService.collect.path,
      identity,
      identity,
      new Metadata(),
      {},
      (error, answer) => (error === null ? resolve(answer as Buffer) : reject(error)),
    );
    for (const letter of 'abc') call.write(Buffer.from(letter));
    call.end();
  });
  assert.equal(collected.toString(), 'abc');

  const expanded: string[] = [];
  for await (const part of client.makeServerStreamRequest(
    echoService.expand.path,
    identity,
    identity,
    Buffer.from('xyz'),
  ))
    expanded.push(String(part));
  assert.deepEqual(expanded, ['x', 'y', 'z']);

  const talk = client.makeBidiStreamRequest(echoService.talk.path, identity, identity);
  const heard: string[] = [];
  talk.on('data', (part: Buffer) => heard.push(part.toString()));
  for (const word of ['one', 'two', 'three']) {
    talk.write(Buffer.from(word));
    // Each is answered before the next is said: nothing waits in the gateway for more.
    await waitUntil(() => heard.at(-1) === word, `the echo of ${word}`);
  }
  const over = new Promise<number>((resolve) => talk.on('status', ({ code }) => resolve(code)));
  talk.end();
  assert.equal(await over, status.OK);
});

test('a deadline of the client ends the call everywhere', async () => {
  let isCancelled = false;
  const { client } = await rig({
    unary(call, reply) {
      if (call.request.length === 0) {
        reply(null, call.request);
        return;
      }
      call.on('cancelled', () => {
        isCancelled = true;
      });
    },
  });
  // On a busy machine the time of a call that opens the connections may be over before the server hears of it.
  await unary(client, Buffer.alloc(0));
  const error = await failureOf(unary(client, Buffer.from('x'), new Metadata(), 150));
  assert.equal(error.code, status.DEADLINE_EXCEEDED);
  await waitUntil(() => isCancelled, 'the server to hear of it');
});

test('what ends a call in its midst is told behind what has come', async () => {
  const { client, gateway } = await rig({ talk: (call) => void call.on('data', (part: Buffer) => call.write(part)) });
  const { row: route } = gateway.live.match('http', anyRequest).route ?? assert.fail('no route');
  const endOf = async (patch: Partial<Route>): Promise<ServiceError> => {
    gateway.apply([row('route', { ...route, ...patch })]);
    const talk = client.makeBidiStreamRequest(echoService.talk.path, identity, identity);
    const failed = once(talk, 'error');
    talk.write(Buffer.alloc(600));
    const [part] = (await once(talk, 'data')) as [Buffer];
    assert.equal(part.length, 600);
    talk.write(Buffer.alloc(600));
    return (await failed)[0] as ServiceError;
  };
  const tooLong = await endOf({ bodyLimit: 1_000 });
  assert.deepEqual([tooLong.code, tooLong.details], [status.RESOURCE_EXHAUSTED, refusals.bodyTooLong.sentence]);
  const late = await endOf({ timeouts: { ...route.timeouts, requestMs: 300 } });
  assert.deepEqual([late.code, late.details], [status.DEADLINE_EXCEEDED, failures.requestTimeout.sentence]);
  await waitUntil(() => gateway.records.length === 2, 'both to be counted');
  assert.deepEqual(
    gateway.records.map((record) => [record.status, record.grpcErrorStatus]),
    [
      [200, 413],
      [200, 504],
    ],
  );
});

test('a client that cancels is heard by the server', async () => {
  let isCancelled = false;
  let isCalled = false;
  const { client } = await rig({
    talk(call) {
      isCalled = true;
      call.on('cancelled', () => {
        isCancelled = true;
      });
    },
  });
  const talk = client.makeBidiStreamRequest(echoService.talk.path, identity, identity);
  talk.on('error', () => undefined);
  talk.write(Buffer.from('x'));
  await waitUntil(() => isCalled, 'the call');
  talk.cancel();
  await waitUntil(() => isCancelled, 'the server to hear of it');
});

test('no backend is UNAVAILABLE, no route UNIMPLEMENTED, a timeout of the route DEADLINE_EXCEEDED', async () => {
  const { client, gateway, port } = await rig({ unary: () => undefined });
  const { timeouts } = gateway.live.match('http', anyRequest).route?.row ?? assert.fail('no route');
  gateway.apply([row('route', { id: 'r', timeouts: { ...timeouts, requestMs: 100 } })]);
  assert.equal((await failureOf(unary(client, Buffer.from('x')))).code, status.DEADLINE_EXCEEDED);
  gateway.apply([endpointsRow([])]);
  assert.equal((await failureOf(unary(client, Buffer.from('x')))).code, status.UNAVAILABLE);
  gateway.apply([
    endpointsRow([{ address: '127.0.0.1', port }]),
    row('route', {
      id: 'r',
      match: { path: { type: 'exact', value: '/other' }, methods: null, headers: [], query: [] },
    }),
  ]);
  assert.equal((await failureOf(unary(client, Buffer.from('x')))).code, status.UNIMPLEMENTED);
});

const anyRequest = { method: 'GET', hostname: 'gw.test', path: '/', query: '', header: () => undefined } as never;

test('a server that shuts down in good order loses no call', async () => {
  const [first, second] = [await startEcho(handlers), await startEcho(handlers)];
  const gateway = await testGateway(table([first.port, second.port]));
  const client = echoClient(gateway.port);
  opened.push(first, second, gateway, { stop: async () => client.close() });
  let isOver = false;
  const failures: string[] = [];
  let answered = 0;
  const loops = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      await unary(client, Buffer.from('x')).then(
        () => answered++,
        (error: ServiceError) => failures.push(error.message),
      );
    }
  });
  await waitUntil(() => answered > 200, 'calls');
  await new Promise<void>((resolve) => first.server.tryShutdown(() => resolve()));
  const before = answered;
  await waitUntil(() => answered > before + 200, 'more calls');
  isOver = true;
  await Promise.all(loops);
  assert.deepEqual(failures, []);
});

test('a gateway that drains lets calls finish and tells clients to go', async () => {
  const held: (() => void)[] = [];
  const { client, gateway } = await rig({
    unary(call, reply) {
      held.push(() => reply(null, call.request));
    },
  });
  const call = unary(client, Buffer.from('held'));
  await waitUntil(() => held.length === 1, 'the call to reach the server');
  const drained = gateway.gateway.drain(10_000);
  for (const release of held) release();
  assert.equal((await call).toString(), 'held');
  await drained;
});
