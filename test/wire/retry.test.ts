import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Backend } from '#table/backend.ts';
import type { Route } from '#table/route.ts';
import type { Row } from '#table/rows.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { freePorts } from '../kit/ports.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { type Answer, answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { fieldValue } from '../kit/splitter.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

function withRoute(rows: readonly Row[], fields: Partial<Route>): Row[] {
  return rows.map((each) => (each.kind === 'route' ? { kind: 'route', row: { ...each.row, ...fields } } : each));
}

async function backend(onRequest: Answer): Promise<Recorder> {
  const recorder = await Recorder.start({ onRequest });
  opened.push(recorder);
  return recorder;
}

async function rig(
  backends: readonly Recorder[],
  fields: Partial<Route>,
): Promise<{ client: RawClient; gateway: TestGateway }> {
  const endpoints = backends.map(({ port }) => ({ address: '127.0.0.1', port }));
  const gateway = await testGateway(withRoute(plainTable(endpoints), fields));
  const client = await RawClient.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.destroy() });
  return { gateway, client };
}

const onStatus = { attempts: 2, on: [503], canRepeatUnsafe: false, withinMs: 0 };

test('a status that the route names is tried on another endpoint, with the whole body', async () => {
  const bad = await backend((request) => answer(request, 'no', 503));
  const good = await backend((request) => answer(request, 'yes'));
  const { client, gateway } = await rig([bad, good], { retry: onStatus });
  for (let i = 0; i < 4; i++) {
    client.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody');
    const response = await client.response(i);
    assert.equal(response.status, 200);
    assert.equal(response.body.toString(), 'yes');
  }
  assert.ok(bad.requests.length > 0);
  assert.ok(good.requests.every(({ body }) => body.toString() === 'body'));
  assert.ok(gateway.records.some(({ tries }) => tries === 2));
});

test('interim answers of the try before do not count against that which follows', async () => {
  const interims = 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(20);
  const withInterims = (body: string, status: number): Answer => {
    return (request) => {
      answerBytes(request, interims);
      answer(request, body, status);
    };
  };
  const bad = await backend(withInterims('no', 503));
  const good = await backend(withInterims('yes', 200));
  const { client } = await rig([bad, good], { retry: onStatus });
  for (let i = 0; i < 4; i++) {
    client.send(get('/', 'a'));
    assert.equal((await client.response(i)).status, 200);
  }
  assert.ok(bad.requests.length > 0, 'or the test would prove nothing');
});

for (const [what, fields] of Object.entries({
  'a hash': { balance: { algorithm: 'ring-hash', parts: [{ type: 'target' }], subsetSize: 0 } },
  'what is remembered of a client': { affinity: { type: 'client-ip', timeoutSeconds: 60 } },
} satisfies Record<string, Partial<Backend>>)) {
  test(`a request is tried elsewhere though ${what} would lead it back`, async () => {
    const bad = await backend((request) => answer(request, 'no', 503));
    const good = await backend((request) => answer(request, 'yes'));
    const rows = withRoute(plainTable([bad, good].map(({ port }) => ({ address: '127.0.0.1', port }))), {
      retry: onStatus,
    });
    const gateway = await testGateway(
      rows.map((each) => (each.kind === 'backend' ? { kind: 'backend', row: { ...each.row, ...fields } } : each)),
    );
    opened.push(gateway);
    for (let i = 0; i < 40; i++) {
      const client = await RawClient.open({ port: gateway.port, from: `127.0.7.${i + 1}` });
      opened.push({ stop: async () => client.destroy() });
      client.send(get(`/${i}`, 'a'));
      assert.equal((await client.response()).status, 200);
    }
    assert.ok(bad.requests.length > 0, 'or the test would prove nothing');
  });
}

test('a kept connection that breaks with the request is replaced once though the route tries nothing again; not for a POST', async () => {
  const kept = await backend((request) => {
    if (request.connection.requests.length > 1) request.connection.socket.destroy();
    else answer(request, 'on a new one');
  });
  const { client, gateway } = await rig([kept], {
    retry: { attempts: 1, on: [], canRepeatUnsafe: false, withinMs: 0 },
  });
  const put = 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';
  for (const [i, bytes] of [get('/', 'a'), get('/', 'a'), put].entries()) {
    client.send(bytes);
    assert.equal((await client.response(i)).body.toString(), 'on a new one');
  }
  assert.deepEqual(
    kept.requests.map(({ method }) => method),
    ['GET', 'GET', 'GET', 'PUT', 'PUT'],
  );
  client.send(put.replace('PUT', 'POST'));
  assert.equal((await client.response(3)).status, 502);
  assert.deepEqual([gateway.records.at(-1)?.flag, kept.requests.length], ['UC', 6]);
});

test('408 of a backend that leaves a kept connection is no answer to the request that it crosses', async () => {
  const goodbye = ['Connection: close'];
  const kept = await backend((request) => {
    const { target, connection } = request;
    if (target === '/slow') answer(request, '', 408);
    else if (target === '/never' || connection.requests.length > 1) answer(request, '', 408, goodbye);
    else answer(request, 'on a new one');
  });
  const { client } = await rig([kept], { retry: { attempts: 1, on: [], canRepeatUnsafe: false, withinMs: 0 } });
  const put = 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';
  const post = put.replace('PUT', 'POST');
  const sent = [get('/', 'a'), get('/', 'a'), put, post, get('/never', 'a'), get('/', 'a'), get('/slow', 'a')];
  const statuses: number[] = [];
  for (const [i, bytes] of sent.entries()) {
    client.send(bytes);
    statuses.push((await client.response(i)).status);
  }
  // A POST may have been run, a new connection was not idle, and who keeps the connection means the request.
  assert.deepEqual(statuses, [200, 200, 200, 408, 408, 200, 408]);
  assert.deepEqual(
    kept.requests.map(({ method }) => method),
    ['GET', 'GET', 'GET', 'PUT', 'PUT', 'POST', 'GET', 'GET', 'GET'],
  );
});

test('an answer that comes before the end of the request is the answer: nothing that was sent is repeated', async () => {
  const early: Parameters<typeof Recorder.start>[0] = {
    onHead: (request) => answer(request, 'no', 503),
    onRequest: () => {},
  };
  const backends = [await Recorder.start(early), await Recorder.start(early)];
  opened.push(...backends);
  const { client, gateway } = await rig(backends, { retry: { ...onStatus, canRepeatUnsafe: true } });
  client.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nbody');
  assert.equal((await client.response()).status, 503);
  assert.deepEqual(
    gateway.records.map(({ tries }) => tries),
    [1],
  );
});

test('a long body goes on after a try that could not connect, on a connection that is there already', async () => {
  const good = await backend((request) => answer(request, `${request.body.length}`));
  const [refusing = 0] = await freePorts(1);
  const endpoints = [good.port, refusing].map((port) => ({ address: '127.0.0.1', port }));
  const retry = { attempts: 2, on: ['connect' as const], canRepeatUnsafe: false, withinMs: 0 };
  const gateway = await testGateway(withRoute(plainTable(endpoints), { retry }));
  const client = await RawClient.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.destroy() });
  client.send(get('/', 'a'));
  assert.equal((await client.response(0)).status, 200);
  const hasFailed = () => gateway.records.some(({ method, tries }) => method === 'PUT' && tries === 2);
  for (let i = 1; i < 100 && !hasFailed(); i++) {
    client.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(200_000)}`);
    assert.equal((await client.response(i)).body.toString(), '200000');
  }
  assert.ok(hasFailed());
});

for (const method of ['POST', 'PATCH', 'LOCK']) {
  test(`a ${method} is not sent again after it was answered, unless the route says so`, async () => {
    const bad = await backend((request) => answer(request, 'no', 503));
    const bytes = `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody`;
    const careful = await rig([bad], { retry: onStatus });
    careful.client.send(bytes);
    assert.equal((await careful.client.response(0)).status, 503);
    assert.equal(bad.take().length, 1);
    const bold = await rig([bad], { retry: { ...onStatus, canRepeatUnsafe: true } });
    bold.client.send(bytes);
    assert.equal((await bold.client.response(0)).status, 503);
    assert.equal(bad.take().length, 2);
  });
}

test('retries stop when their budget is used up', async () => {
  const bad = await backend((request) => answer(request, 'no', 503));
  const rows = withRoute(plainTable([{ address: '127.0.0.1', port: bad.port }]), {
    retry: { attempts: 16, on: [503], canRepeatUnsafe: false, withinMs: 0 },
  });
  const gateway = await testGateway(rows, { retriesPerSecond: 0 });
  const client = await RawClient.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.destroy() });
  for (let i = 0; i < 50; i++) {
    client.send(get('/', 'a'));
    assert.equal((await client.response(i)).status, 503);
  }
  assert.ok(bad.requests.length <= 50 * 1.2, `${bad.requests.length} tries`);
  assert.ok(bad.requests.length > 50);
  assert.ok(gateway.records.some(({ retryRefusal }) => retryRefusal === 'budget'));
});

test('to leave an endpoint that is not there for another takes nothing of the budget', async () => {
  const good = await backend((request) => answer(request, 'yes'));
  const [refusing = 0] = await freePorts(1);
  const rows = withRoute(plainTable([good.port, refusing].map((port) => ({ address: '127.0.0.1', port }))), {
    retry: { attempts: 2, on: ['connect'], canRepeatUnsafe: false, withinMs: 0 },
  });
  const gateway = await testGateway(rows, { retriesPerSecond: 0 });
  const client = await RawClient.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.destroy() });
  for (let i = 0; i < 50; i++) {
    client.send(get('/', 'a'));
    assert.equal((await client.response(i)).status, 200);
  }
  assert.ok(
    gateway.records.some(({ tries }) => tries === 2),
    'or the test would prove nothing',
  );
});

test('filters change the path, the host and the fields of both directions', async () => {
  const good = await backend((request) =>
    answerBytes(request, 'HTTP/1.1 200 OK\r\nX-Old: 1\r\nX-Keep: 1\r\nContent-Length: 002\r\n\r\nok'),
  );
  const { client } = await rig([good], {
    match: { path: { type: 'element', value: '/app' }, methods: null, headers: [], query: [] },
    filters: [
      { type: 'rewrite', hostname: 'inner.test', path: { type: 'prefix', value: '/v2' } },
      {
        type: 'request-headers',
        edits: { set: [{ name: 'X-Set', value: 's' }], add: [], remove: ['X-Gone', 'X-Forwarded-Port'] },
      },
      { type: 'response-headers', edits: { set: [{ name: 'X-New', value: 'n' }], add: [], remove: ['X-Old'] } },
    ],
  });
  client.send(get('/app/x?q=1', 'outer.test', ['X-Gone: 1', 'X-Set: client', 'X-Stay: 1']));
  const response = await client.response(0);
  const [request] = good.requests;
  assert.ok(request !== undefined);
  assert.equal(request.target, '/v2/x?q=1');
  assert.equal(fieldValue(request, 'host'), 'inner.test');
  assert.equal(fieldValue(request, 'x-forwarded-host'), 'outer.test');
  assert.equal(fieldValue(request, 'x-set'), 's');
  assert.equal(fieldValue(request, 'x-stay'), '1');
  assert.equal(fieldValue(request, 'x-gone'), undefined);
  assert.equal(fieldValue(request, 'x-forwarded-port'), undefined);
  const head = client.received.toString('latin1');
  assert.match(head, /\r\nX-New: n\r\n/);
  assert.match(head, /\r\nX-Keep: 1\r\n/);
  assert.match(head, /\r\nContent-Length: 2\r\n/);
  assert.doesNotMatch(head, /X-Old/);
  assert.equal(response.body.toString(), 'ok');
});
