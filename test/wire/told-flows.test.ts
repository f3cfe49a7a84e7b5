import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { z } from 'zod';
import { ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { RawClient } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const Line = z.object({ protocol: z.string(), response_flags: z.string(), duration: z.number() });

const configMap = (name: string, data: Record<string, string>): Manifest => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'sluice' },
  data,
});

function udpService(name: string, port: number): Manifest[] {
  const [object, endpoints] = service(name, [port]) as [Manifest, Manifest];
  const ports = [{ name: 'udp', port: 53, protocol: 'UDP' }];
  return [
    { ...object, spec: { clusterIP: '10.0.0.1', ports } },
    { ...endpoints, ports: [{ name: 'udp', port, protocol: 'UDP' }] },
  ];
}

test('a flow that was refused is told with the time that it took; one of UDP that the end cut off, as that', async () => {
  const [tcpPort = 0, udpPort = 0, nobody = 0] = await freePorts(3);
  const echo = dgram.createSocket('udp4');
  echo.on('message', (datagram, { port }) => echo.send(datagram, port, '127.0.0.1'));
  echo.bind(0, '127.0.0.1');
  await once(echo, 'listening');
  const sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      configMap('tcp', { [tcpPort]: 'default/tcp:80:PROXY' }),
      configMap('udp', { [udpPort]: 'default/dns:53' }),
      ...service('tcp', [nobody]),
      ...udpService('dns', echo.address().port),
    ],
    args: [
      ...['--tcp-services-configmap', 'sluice/tcp', '--udp-services-configmap', 'sluice/udp'],
      ...['--access-log', 'stdout', '--drain-grace', '0s'],
    ],
  });
  const lineOf = (protocol: string) =>
    eventually(async () => {
      const lines = sluice.process.stdout.split('\n').filter((line) => /^{"start_time.*}$/.test(line));
      return lines.map((line) => Line.parse(JSON.parse(line))).find((line) => line.protocol === protocol);
    }, `a line of ${protocol}`);
  const client = dgram.createSocket('udp4');
  try {
    const half = await RawClient.open({ port: tcpPort });
    half.send('PROXY TC');
    await eventually(async () => {
      const metrics = await sluice.admin('/metrics');
      return metrics.includes(`\nsluice_connections{listener="tcp/${tcpPort}"} 1\n`) || undefined;
    }, 'the connection to be there');
    const sentAtMs = Date.now();
    await eventually(async () => Date.now() - sentAtMs >= 250 || undefined, 'a quarter of a second');
    half.end();
    const refused = await lineOf('TCP');
    half.destroy();
    assert.equal(refused.response_flags, 'DC');
    assert.ok(refused.duration >= 200, String(refused.duration));

    let answers = 0;
    client.on('message', () => answers++);
    await eventually(async () => {
      client.send('who?', udpPort, '127.0.0.1');
      return answers >= 2 || undefined;
    }, 'two answers');
    sluice.process.signal('SIGTERM');
    await sluice.process.ended();
    assert.equal((await lineOf('UDP')).response_flags, 'GE');
  } finally {
    client.close();
    echo.close();
    await sluice.discard();
  }
});
