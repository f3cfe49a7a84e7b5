import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { z } from 'zod';
import { certificateFor } from '../kit/certificate.ts';
import { ingress, ingressClass, service, tlsSecret, toYaml } from '../kit/manifests.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const root = resolve(import.meta.dirname, '../..');

interface Reply {
  status: number;
  text: string;
  headers: Record<string, unknown>;
}

function get(port: number, host: string, path = '/', headers: Record<string, string> = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = requestHttp(
      { port, host: '127.0.0.1', path, headers: { ...headers, host }, agent: false },
      (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += String(chunk);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
      },
    );
    request.on('error', reject);
    request.end();
  });
}

/** Names in the certificate that a server name gets. */
function certificateOf(port: number, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', servername, rejectUnauthorized: false, agent: false };
    const request = requestHttps({ ...options, headers: { host: servername } }, (response) => {
      const { socket } = response;
      const subject =
        'getPeerCertificate' in socket ? (socket as { getPeerCertificate(): { subject: { CN: string } } }) : null;
      resolve(subject?.getPeerCertificate().subject.CN ?? '');
      response.resume();
    });
    request.on('error', reject);
    request.end();
  });
}

describe('manifests in files', () => {
  let backends: Recorder[];
  let sluice: Standalone;

  before(async () => {
    backends = await Promise.all(
      ['one', 'two'].map((name) => Recorder.start({ onRequest: (request) => answer(request, name) })),
    );
    sluice = await Standalone.start({ manifests: [ingressClass()] });
  });

  after(async () => {
    await sluice.stop();
    for (const backend of backends) await backend.stop();
  });

  const file = (name: string) => join(sluice.dir, name);
  const portOf = (index: number) => backends[index]?.port ?? 0;
  const route = (name: string, host: string, index: number) =>
    toYaml([ingress({ name, host, paths: { '/': name } }), ...service(name, [portOf(index)])]);
  const answers = (host: string, status: number, text?: string) =>
    eventually(
      async () => {
        const reply = await get(sluice.httpPort, host);
        return reply.status === status && (text === undefined || reply.text === text) ? true : undefined;
      },
      `${host} to answer ${status} ${text ?? ''}`,
    );
  const problems = async () =>
    z.array(z.object({ code: z.string(), message: z.string() })).parse(JSON.parse(await sluice.admin('/problems')));

  test('a file that comes, changes, is renamed and goes is in force at once', async () => {
    await answers('a.test', 404);
    await writeFile(file('a.yaml'), route('a', 'a.test', 0));
    await answers('a.test', 200, 'one');
    await writeFile(file('a.yaml'), route('a', 'a.test', 1));
    await answers('a.test', 200, 'two');
    await rename(file('a.yaml'), file('b.yaml'));
    await writeFile(file('b.yaml'), route('a', 'b.test', 0));
    await answers('b.test', 200, 'one');
    await answers('a.test', 404);
    await rename(file('b.yaml'), file('b.yaml.off'));
    await answers('b.test', 404);
  });

  test('folders below are read, too', async () => {
    await mkdir(file('team'));
    await writeFile(file('team/c.yml'), route('c', 'c.test', 0));
    await answers('c.test', 200, 'one');
    await rm(file('team'), { recursive: true });
    await answers('c.test', 404);
  });

  test('a mounted ConfigMap: everything changes in one swap of a link', async () => {
    for (const [version, index] of [
      ['..v1', 0],
      ['..v2', 1],
    ] as const) {
      await mkdir(file(version));
      await writeFile(file(`${version}/m.yaml`), route('m', 'm.test', index));
    }
    await symlink('..v1', file('..data'));
    await symlink('..data/m.yaml', file('m.yaml'));
    await answers('m.test', 200, 'one');
    await symlink('..v2', file('..data_tmp'));
    await rename(file('..data_tmp'), file('..data'));
    await answers('m.test', 200, 'two');
    await unlink(file('m.yaml'));
    await answers('m.test', 404);
  });

  test('a syntax error is told with its place; the last good state of that file stays, and others go on', async () => {
    await writeFile(file('d.yaml'), route('d', 'd.test', 0));
    await answers('d.test', 200, 'one');
    await writeFile(file('d.yaml'), `${route('d', 'd.test', 1)}---\nkind: [\n`);
    await eventually(
      async () => ((await problems()).some(({ code }) => code === 'FileMalformed') ? true : undefined),
      'the problem',
    );
    const [found] = (await problems()).filter(({ code }) => code === 'FileMalformed');
    assert.match(found?.message ?? '', /d\.yaml.*\d+.*\d+/);
    await writeFile(file('e.yaml'), route('e', 'e.test', 1));
    await answers('e.test', 200, 'two');
    await answers('d.test', 200, 'one');
    await writeFile(file('d.yaml'), route('d', 'd.test', 1));
    await answers('d.test', 200, 'two');
    assert.equal(
      (await problems()).some(({ code }) => code === 'FileMalformed'),
      false,
    );
  });

  test('unknown kinds and wrong types hurt only themselves', async () => {
    const good = route('f', 'f.test', 0);
    const bad = [
      'apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n',
      'apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: bad}\nspec: {rules: 7}\n',
    ];
    await writeFile(file('f.yaml'), [...bad, good].join('---\n'));
    await answers('f.test', 200, 'one');
    assert.ok((await problems()).some(({ code }) => code === 'ObjectMalformed'));
  });

  test('a Service without endpoints, and one that is missing: 503, and the page says who answered', async () => {
    await writeFile(
      file('g.yaml'),
      toYaml([ingress({ name: 'g', host: 'g.test', paths: { '/': 'absent', '/h': 'h' } }), ...service('h', [])]),
    );
    await answers('g.test', 503);
    for (const path of ['/', '/h']) {
      const reply = await get(sluice.httpPort, 'g.test', path);
      assert.equal(reply.status, 503);
      assert.match(reply.text, /Sluice/);
      assert.match(reply.text, new RegExp(String(reply.headers['x-request-id'])));
    }
  });

  test('a certificate in a Secret is used for its host, and exchanged without a restart', async () => {
    const put = async (name: string) => {
      const pair = await certificateFor([name, 'tls.test']);
      const secret = tlsSecret('pair', pair);
      const rule = ingress({ name: 'tls', host: 'tls.test', paths: { '/': 'tls' }, tlsSecret: 'pair' });
      await writeFile(file('tls.yaml'), toYaml([secret, rule, ...service('tls', [portOf(0)])]));
    };
    const shows = (host: string, name: string) =>
      eventually(
        async () => ((await certificateOf(sluice.httpsPort, host)) === name ? true : undefined),
        `${host} to show ${name}`,
      );
    await put('first.test');
    await shows('tls.test', 'first.test');
    await put('second.test');
    await shows('tls.test', 'second.test');
    await shows('other.test', 'Sluice default certificate');
    const reply = await get(sluice.httpPort, 'tls.test', '/x?y=1');
    assert.deepEqual([reply.status, reply.headers['location']], [308, `https://tls.test:${sluice.httpsPort}/x?y=1`]);
  });

  test('no page shows a key', async () => {
    for (const page of ['/tables', '/problems', '/metrics']) {
      assert.doesNotMatch(await sluice.admin(page), /PRIVATE KEY|"keyPem":|"value": ?"[A-Za-z0-9+/]{43}="/, page);
    }
    assert.doesNotMatch(sluice.process.stderr + sluice.process.stdout, /PRIVATE KEY/);
  });
});

describe('npm start', () => {
  test('the examples show balancing, affinity, TLS and WebSockets', async () => {
    const script = z.object({ scripts: z.object({ start: z.string() }) });
    const { scripts } = script.parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
    const [, ...args] = scripts.start.split(' ');
    const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0'];
    const child = spawn(process.execPath, [...args, ...ports, '--log-level', 'warn'], { cwd: root });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        said += String(chunk);
      });
    }
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
    await eventually(async () => (/Edit a file/.test(said) ? true : undefined), 'the greeting').catch(
      (error: unknown) => {
        child.kill();
        throw new Error(`${error}: ${said}`);
      },
    );
    try {
      const http = Number(/http:\/\/localhost:(\d+)/.exec(said)?.[1]);
      const https = Number(/https:\/\/localhost:(\d+)/.exec(said)?.[1]);

      const names = new Set<string>();
      for (let i = 0; i < 12; i++) names.add(backendOf(await get(http, 'demo.localhost', `/${i}`)));
      assert.deepEqual([...names].sort(), ['echo-1', 'echo-2', 'echo-3']);

      const first = await get(http, 'sticky.localhost');
      const [cookie = ''] = z.array(z.string()).parse(first.headers['set-cookie'])[0]?.split(';') ?? [];
      for (let i = 0; i < 12; i++) {
        assert.equal(backendOf(await get(http, 'sticky.localhost', `/${i}`, { cookie })), backendOf(first));
      }

      assert.equal((await get(http, 'secure.localhost')).status, 308);
      assert.equal(await certificateOf(https, 'secure.localhost'), 'Sluice default certificate');

      assert.match((await get(http, 'chat.localhost')).text, /WebSocket through Sluice/);
      const socket = new WebSocket(`ws://127.0.0.1:${http}/ws`, { headers: { host: 'chat.localhost' } });
      const echoed = new Promise<string>((resolve) => socket.on('message', (data) => resolve(String(data))));
      socket.on('open', () => socket.send('hello'));
      assert.equal(await echoed, 'echo: hello');
      socket.terminate();
      assert.doesNotMatch(said, /"severity":"error"/);
    } finally {
      child.kill('SIGTERM');
    }
    assert.equal(await closed, 0);
  });
});

function backendOf(reply: Reply): string {
  return /^backend (\S+):/.exec(reply.text)?.[1] ?? `status ${reply.status}`;
}
