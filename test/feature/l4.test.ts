import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { Problem } from '../../proxy/table/problem.ts';
import { certificateFor } from '../kit/certificate.ts';
import { Load } from '../kit/load.ts';
import { everythingTo, ingress, type Manifest, service } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { TcpBackend } from '../kit/tcpbackend.ts';
import { eventually, waitUntil, within } from '../kit/wait.ts';
import { address, ClusterRig, service as clusterService, skip, slice } from './clusterrig.ts';

const configMap = (name: string, data: Record<string, string>): Manifest => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'sluice' },
  data,
});

/** A Service with a UDP port 53 of one endpoint. */
function udpService(name: string, port: number): Manifest[] {
  const [object, endpoints] = service(name, [port]);
  const ports = [{ name: 'udp', port: 53, protocol: 'UDP' }];
  return [
    { ...(object as Manifest), spec: { clusterIP: '10.0.0.1', ports } },
    { ...(endpoints as Manifest), ports: [{ name: 'udp', port, protocol: 'UDP' }] },
  ];
}

async function echoes(client: RawClient, text: string): Promise<void> {
  const before = client.receivedBytes;
  client.send(text);
  await waitUntil(() => client.receivedBytes >= before + text.length || client.isDone, `the echo of ${text}`);
  assert.equal(client.received.toString().slice(before), text);
}

async function closes(port: number): Promise<void> {
  const open = () =>
    RawClient.open({ port }).then(
      (late) => late.destroy(),
      () => true as const,
    ) as Promise<true | undefined>;
  await eventually(open, `port ${port} to close`);
}

describe('ConfigMaps of ports', () => {
  let backend: TcpBackend;
  let datagrams: dgram.Socket;
  let recorder: Recorder;
  let sluice: Standalone;
  let ports: number[] = [];
  let base: Manifest[] = [];

  before(async () => {
    backend = await TcpBackend.start((socket) => void socket.pipe(socket));
    recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
    datagrams = dgram.createSocket('udp4');
    datagrams.on('message', (datagram, { port }) => datagrams.send(datagram, port, '127.0.0.1'));
    datagrams.bind(0, '127.0.0.1');
    await once(datagrams, 'listening');
    ports = await freePorts(3);
    base = [
      ...everythingTo(recorder.port),
      ...service('echo', [backend.port]),
      ...udpService('dns', datagrams.address().port),
    ];
    sluice = await Standalone.start({
      manifests: base,
      workers: 2,
      args: [
        ...['--configmap', 'sluice/config', '--tcp-services-configmap', 'sluice/tcp'],
        ...['--udp-services-configmap', 'sluice/udp', '--drain-grace', '0s'],
      ],
    });
  });

  after(async () => {
    await sluice?.stop();
    await recorder?.stop();
    backend?.close();
    datagrams?.close();
  });

  const problems = async () => JSON.parse(await sluice.admin('/problems')) as Problem[];

  test('an edit opens a port, another closes it, and the connections of others do not notice', async () => {
    const [first = 0, second = 0] = ports;
    await sluice.apply([...base, configMap('config', {}), configMap('tcp', { [first]: 'default/echo:80' })]);
    const client = await RawClient.open({ port: first });
    await echoes(client, 'one');
    await sluice.apply([
      ...base,
      configMap('config', {}),
      configMap('tcp', { [first]: 'default/echo:80', [second]: 'default/echo:http' }),
    ]);
    const other = await eventually(
      () => RawClient.open({ port: second }).catch(() => undefined),
      'the second port to open',
    );
    await echoes(other, 'two');
    await echoes(client, 'three');
    await sluice.apply([...base, configMap('config', {}), configMap('tcp', { [second]: 'default/echo:http' })]);
    await closes(first);
    await echoes(client, 'four');
    await echoes(other, 'five');
    for (const each of [client, other]) each.destroy();
  });

  test('a port opens and closes ten times, while requests go through others: none fails', async () => {
    const [first = 0, second = 0] = ports;
    const others = { [second]: 'default/recorder:80' };
    const put = (data: Record<string, string>) =>
      sluice.apply([...base, configMap('config', {}), configMap('tcp', { ...others, ...data })]);
    await put({});
    const probe = await eventually(() => RawClient.open({ port: second }).catch(() => undefined), 'the port of others');
    probe.destroy();
    const steady = { host: 'gw.test', connections: 2, requestsPerSecond: 50 };
    const loads = [sluice.httpPort, second].flatMap((port) => [
      Load.start({ ...steady, port }),
      Load.start({ ...steady, port, keepsAlive: false }),
    ]);
    for (let round = 0; round < 10; round++) {
      await put({ [first]: 'default/echo:80' });
      const client = await eventually(() => RawClient.open({ port: first }).catch(() => undefined), 'the port to open');
      await echoes(client, 'one');
      await put({});
      await closes(first);
      await echoes(client, 'two');
      client.destroy();
    }
    for (const { failures, answered } of await Promise.all(loads.map((load) => load.stop()))) {
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  });

  test('a udp port answers', async () => {
    const [, , port = 0] = ports;
    await sluice.apply([...base, configMap('config', {}), configMap('udp', { [port]: 'default/dns:53' })]);
    const client = dgram.createSocket('udp4');
    try {
      let answered = '';
      client.on('message', (datagram) => {
        answered = String(datagram);
      });
      client.bind(0, '127.0.0.1');
      await once(client, 'listening');
      await eventually(async () => {
        client.send('who?', port, '127.0.0.1');
        return answered === 'who?' ? true : undefined;
      }, 'an answer');
    } finally {
      client.close();
    }
  });

  test('a port that is taken is a problem of the entry, and of no other', async () => {
    const [first = 0] = ports;
    const entries = { [sluice.adminPort]: 'default/echo:80', [first]: 'default/echo:80' };
    await sluice.apply([...base, configMap('config', {}), configMap('tcp', entries)]);
    const client = await eventually(() => RawClient.open({ port: first }).catch(() => undefined), 'the free port');
    await echoes(client, 'here');
    client.destroy();
    const found = (await problems()).find(({ code }) => code === 'PortUnavailable');
    assert.deepEqual(found?.source, {
      kind: 'ConfigMap',
      namespace: 'sluice',
      name: 'tcp',
      field: `data[${sluice.adminPort}]`,
    });
  });

  test('an Ingress asks for passthrough, and its host reaches the backend undecrypted beside terminated ones', async () => {
    const pair = await certificateFor(['raw.test']);
    const vault = await Recorder.start({ tls: pair, onRequest: (request) => answer(request, 'vault') });
    try {
      const annotations = { 'ssl-passthrough': 'true' };
      const passed = [
        ingress({ name: 'vault', host: 'raw.test', paths: { '/': 'vault' }, annotations }),
        ...service('vault', [vault.port]),
      ];
      const ask = async (name: string) => {
        const client = await RawClient.open({ port: sluice.httpsPort, tls: { servername: name } });
        const names = (client.socket as TLSSocket).getPeerCertificate().subjectaltname ?? '';
        client.send(get('/', name));
        const { status, body } = await client.response();
        client.destroy();
        return { isVaults: names === 'DNS:raw.test', status, body: body.toString() };
      };
      await sluice.apply([...base, ...passed, configMap('config', {})]);
      assert.deepEqual(await ask('raw.test'), { isVaults: true, status: 200, body: 'vault' });
      assert.deepEqual(await ask('gw.test'), { isVaults: false, status: 200, body: 'ok' });
      assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'raw.test'))).status, 308);
      await sluice.apply([...base, ...passed.slice(1), configMap('config', {})]);
      const { isVaults, status } = await ask('raw.test');
      assert.deepEqual({ isVaults, status }, { isVaults: false, status: 404 });
    } finally {
      await vault.stop();
    }
  });

  test('use-proxy-protocol comes and goes while the port stays open', async () => {
    const line = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 8080\r\n';
    const ask = async (bytes: string) => {
      const socket = connect({ port: sluice.httpPort, host: '127.0.0.1' });
      let text = '';
      socket.on('data', (piece) => {
        text += piece;
        if (text.endsWith('ok')) socket.destroy();
      });
      socket.on('error', () => undefined);
      socket.write(bytes);
      await within(new Promise<void>((resolve) => socket.on('close', () => resolve())), 'an answer or an end');
      return /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 'none';
    };
    await sluice.apply([...base, configMap('config', { 'use-proxy-protocol': 'true' })]);
    assert.equal(await ask(get('/', 'gw.test')), 'none');
    recorder.take();
    assert.equal(await ask(line + get('/', 'gw.test')), '200');
    assert.equal(fieldValue(await recorder.request(), 'x-forwarded-for'), '192.0.2.7');
    await sluice.apply([...base, configMap('config', { 'use-proxy-protocol': 'false' })]);
    assert.equal(await ask(line + get('/', 'gw.test')), '400');
    assert.equal(await ask(get('/', 'gw.test')), '200');
  });
});

describe('tcp-services in a cluster', { skip, timeout: 240_000 }, () => {
  test('an edit of the ConfigMap opens a port at the proxy', async () => {
    const rig = await ClusterRig.start({ backends: ['one'], controllers: 0, proxies: 0, workers: 1 });
    try {
      rig.controllers.push(await rig.startController(rig.api.url, ['--tcp-services-configmap', 'default/tcp']));
      await rig.keepAuthority();
      rig.proxies.push(await rig.startProxy('proxy-1', 1, 'shared'));
      const [port = 0] = await freePorts(1);
      const entries = (data: Record<string, string>) => ({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'tcp', namespace: 'default' },
        data,
      });
      await rig.api.apply(clusterService('web'), slice('web', rig.portOf(0)), entries({}));
      await assert.rejects(RawClient.open({ port }), /ECONNREFUSED/);
      await rig.api.apply(entries({ [port]: 'default/web:80' }));
      const client = await eventually(() => RawClient.open({ port }).catch(() => undefined), 'the port to open');
      client.send(get('/', 'any.test'));
      assert.equal((await client.response()).body.toString(), 'one', `from ${address}`);
      client.destroy();
      await rig.api.apply(entries({}));
      await eventually(
        () =>
          RawClient.open({ port }).then(
            (late) => late.destroy(),
            () => true as const,
          ) as Promise<true | undefined>,
        'the port to close',
      );
    } finally {
      await rig.stop();
    }
  });
});
