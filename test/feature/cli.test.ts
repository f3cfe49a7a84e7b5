import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { duration, flag, integer, list, text, toggle } from '../../controller/ops/flag.ts';
import { readSettings, SettingError } from '../../controller/ops/settings.ts';

const launcher = resolve(import.meta.dirname, '../../sluice.js');
/** Makes the launcher believe that it runs on an older Node. */
const older = 'data:text/javascript,Object.defineProperty(process.versions,"node",{value:"20.1.0"})';

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-cli-'));
});

after(() => rm(folder, { recursive: true }));

interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

function run(args: readonly string[], environment: Record<string, string> = {}, file = launcher): Promise<Outcome> {
  return outcomeOf(spawn(process.execPath, [file, ...args], { env: { ...process.env, ...environment } }));
}

function outcomeOf(child: ReturnType<typeof spawn>): Promise<Outcome> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })));
}

describe('command line', () => {
  for (const command of [
    [],
    ['standalone'],
    ['controller'],
    ['proxy'],
    ['edge'],
    ['status'],
    ['report'],
    ['lint'],
    ['explain'],
    ['diff'],
  ]) {
    test(`sluice ${command.join(' ')} --help tells every setting and their precedence`, async () => {
      const { code, stdout } = await run([...command, '--help']);
      assert.equal(code, 0);
      assert.match(stdout, /the first that has it wins/);
      for (const line of stdout.split('\n').filter((line) => line.startsWith('  --'))) {
        assert.match(line, /^ {2}--[a-z-]+ (<\S+>|\[BOOL\]) +\S.* \[SLUICE_[A-Z_]+\]$/);
      }
    });
  }

  const followed = ['--controller', 'https://x:1', '--controller-ca', 'x', '--token-file', 'y'];
  const wrong: [args: string[], stderr: RegExp][] = [
    [['standalone', '--nonsense'], /unknown option '--nonsense'/],
    [
      ['standalone', '--http-prot', '1', '--manifests', 'x'],
      /unknown option '--http-prot' \(Did you mean --http-port\?\)/,
    ],
    [['stand'], /unknown command 'stand'/],
    [['standalone', 'more'], /too many arguments/],
    [['standalone'], /--manifests: is needed/],
    [['standalone', '--manifests'], /argument missing/],
    [['standalone', '--manifests', '/does/not/exist'], /--manifests: \/does\/not\/exist is not a folder/],
    [
      ['standalone', '--manifests', 'x', '--http-port', '65536'],
      /--http-port: must be a whole number from 0 to 65535, not "65536"/,
    ],
    [['standalone', '--manifests', 'x', '--http-port', '80', '--http-port', '81'], /--http-port: .*not \["80","81"\]/],
    [['standalone', '--manifests', 'x', '--workers', 'many'], /--workers: must be a whole number/],
    [['standalone', '--manifests', 'x', '--drain-grace', '5 minutes'], /--drain-grace: must be a time like 250ms/],
    [['standalone', '--manifests', 'x', '--drain-grace', '720h'], /--drain-grace: must be at most 480h, not "720h"/],
    [
      ['standalone', '--manifests', 'x', '--trusted-proxies', '10.0.0.0/33'],
      /--trusted-proxies: must be an address or a range/,
    ],
    [
      ['standalone', '--manifests', 'x', '--trusted-proxies', '10.1/16'],
      /--trusted-proxies: must be an address or a range/,
    ],
    [
      ['standalone', '--manifests', 'x', '--redis-url', 'http://:hunter2@x'],
      /--redis-url: must be like redis:\/\/host:6379\/0.*, not "hidden, it may hold a password"/,
    ],
    [['proxy', '--redis-urll=redis://:hunter2@x'], /unknown option '--redis-urll=redis:\/\/:\(removed\)@x'/],
    [
      ['proxy', '--redis-url', 'redis://:hunter2@x', 'redis://:hunter2@y'],
      /too many arguments for 'proxy'.*: redis:\/\/:\(removed\)@y/,
    ],
    [['proxy', '--controller', 'http://me:hunter2@x'], /--controller: must be like https:.*me:\(removed\)@x/],
    [['standalone', '--manifests', 'x', '--demo=perhaps'], /--demo: must be true or false, not "perhaps"/],
    [
      ['standalone', '--manifests', 'x', '--limit-head-bytes', '1'],
      /--limit-head-bytes: must be a whole number from 1024/,
    ],
    [
      ['proxy', '--controller', 'http://x:1', '--controller-ca', 'x', '--token-file', 'y'],
      /--controller: must be like https:/,
    ],
    [['proxy', '--controller-ca', 'x', '--token-file', 'y'], /--controller: is needed/],
    [['controller', '--default-ssl-certificate', 'name'], /--default-ssl-certificate: must be <namespace>\/<name>/],
    [['controller', '--log-level', 'loud'], /--log-level: must be debug, info/],
    [['standalone', '--manifests', 'x', '--http-redirect-code', '305'], /--http-redirect-code: must be 301, 302/],
    [['standalone', '--manifests', 'x', '--hsts', 'always'], /--hsts: must be like "max-age=31536000/],
    [['standalone', '--manifests', 'x', '--hsts', 'max-age=1\r\nx: y'], /--hsts: must be like "max-age=31536000/],
    // A pattern that could read it in more ways than one would not end.
    [
      ['standalone', '--manifests', 'x', '--hsts', `max-age=1${';;'.repeat(100)}é`],
      /--hsts: must be like "max-age=315/,
    ],
    [
      ['standalone', '--manifests', 'x', '--http-port', '8443'],
      /--https-port: must differ from --http-port, which is 8443, too/,
    ],
    [
      ['controller', '--publish-port', '9000', '--admin-port', '9000'],
      /--publish-port: must differ from --admin-port, which is 9000, too/,
    ],
    [['controller', '--publish-address', 'http://192.0.2.1'], /--publish-address: must be an IP address or a DNS name/],
    [['controller'], /proxies could not authenticate: give --token-file or --proxy-service-account/],
    [['controller', '--edge', '--proxy-service-account', 'a/b'], /edges could not authenticate: give --token-file or/],
    [['controller', '--edge', '--token-file', 'x', '--namespace', 'shop'], /--edge: needs all namespaces/],
    // Read as 10.0.0.244/16, it would be the range of other pods.
    [['edge', ...followed, '--pod-cidrs', '10.244/16'], /--pod-cidrs: must be a range like 10\.244\.1\.0\/24/],
    [['explain', 'a.example', '--method', 'GE T'], /--method: must be a method like GET, not "GE T"/],
    [['controller', '--config', '/does/not/exist'], /--config: \/does\/not\/exist cannot be read \(ENOENT\)/],
  ];
  for (const [args, stderr] of wrong) {
    test(`sluice ${args.join(' ')}: one clear line and exit code 2`, async () => {
      const outcome = await run(args);
      assert.match(outcome.stderr, stderr);
      assert.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr);
      assert.equal(outcome.stdout, '');
      assert.equal(outcome.code, 2);
    });
  }

  test('a wrong value in the environment is told by the name of the variable', async () => {
    const outcome = await run(['standalone', '--manifests', 'x'], { SLUICE_HTTP_PORT: 'http' });
    assert.match(outcome.stderr, /SLUICE_HTTP_PORT: must be a whole number from 0 to 65535, not "http"/);
    assert.equal(outcome.code, 2);
  });

  test('an empty variable says nothing, and that of the file of settings is one', async () => {
    const outcome = await run(['standalone', '--manifests', '/does/not/exist'], { SLUICE_CONFIG: '' });
    assert.match(outcome.stderr, /^error: --manifests: \/does\/not\/exist is not a folder\n$/);
  });

  test('a port that is taken is one clear line and exit code 1', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const port = String(address.port);
    const rest = ['--manifests', folder, '--https-port', '0', '--workers', '1'];
    for (const taken of [
      ['--http-port', port, '--admin-port', '0'],
      ['--http-port', '0', '--admin-port', port],
    ]) {
      const outcome = await run(['standalone', ...rest, ...taken, '--log-level', 'error']);
      assert.match(outcome.stderr, new RegExp(port));
      assert.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr);
      assert.equal(outcome.code, 1);
    }
    server.close();
  });
});

test('an access log that cannot be opened is one clear line and exit code 1', async () => {
  const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0', '--workers', '1'];
  const log = join(folder, 'no', 'such', 'access.log');
  const outcome = await run(['standalone', '--manifests', folder, ...ports, '--access-log', log]);
  assert.equal(outcome.stderr, `error: the access log ${log} cannot be opened: ENOENT\n`);
  assert.equal(outcome.code, 1);
});

test('a kubeconfig that is no YAML is refused with the place, and nothing of it is shown', async () => {
  const kubeconfig = join(folder, 'kubeconfig');
  await writeFile(kubeconfig, 'users:\n- name: a\n  user:\n    token: "TOP SECRET\n');
  const outcome = await run(['controller', '--kubeconfig', kubeconfig, '--token-file', 'x']);
  assert.match(outcome.stderr, /^error: kubeconfig \S+ cannot be read: it is not YAML at line 5, column 1\n$/);
  assert.equal(outcome.code, 1);
});

describe('launcher', () => {
  test('works through a link, as npm makes for the bin entry', async () => {
    const link = join(folder, 'sluice');
    await symlink(launcher, link);
    const outcome = await run(['--version'], {}, link);
    assert.deepEqual([outcome.code, outcome.stdout.trim()], [0, '0.1.0']);
  });

  test('on an older Node it runs on the one that npm brought, with the same exit code', async () => {
    const [good, bad] = await Promise.all(
      ['--version', '--nonsense'].map((argument) =>
        outcomeOf(spawn(process.execPath, ['--import', older, launcher, argument])),
      ),
    );
    assert.deepEqual([good?.code, good?.stdout.trim()], [0, '0.1.0']);
    assert.equal(bad?.code, 2);
  });

  test('on an older Node it passes signals on, and does not leave the other one behind when it is killed', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0', '--workers', '1'];
      const args = ['--import', older, launcher, 'standalone', '--manifests', folder, ...ports];
      const child = spawn(process.execPath, args);
      await new Promise<void>((resolve, reject) => {
        child.stdout.on('data', (chunk) => /admin/.test(String(chunk)) && resolve());
        child.once('exit', () => reject(new Error('sluice ended before it served')));
      });
      const outcome = outcomeOf(child);
      child.kill(signal);
      // 'close' comes when nobody holds the pipe of stdout any more: the process behind the launcher is gone, too.
      const { code } = await outcome;
      assert.equal(code, signal === 'SIGTERM' ? 0 : null);
    }
  });
});

describe('settings', () => {
  const flags = {
    httpPort: flag(integer(0, 65_535).default(1), 'PORT', 'a port'),
    names: flag(list(text).default([]), 'NAME', 'names'),
    isOn: flag(toggle.default(false), null, 'a switch'),
    wait: flag(duration.default(5), 'TIME', 'a time'),
    folder: flag(z.string().nullable().default(null), 'DIR', 'a folder'),
  };
  const read = (sources: Partial<Parameters<typeof readSettings>[1]>) =>
    readSettings(flags, { commandLine: {}, environment: {}, configFile: null, ...sources });

  test('command line, then environment, then file, then default', async () => {
    const configFile = join(folder, 'settings.yaml');
    await writeFile(configFile, 'http-port: 2\nnames: [a, b]\nis-on: true\nwait: 2m\n');
    assert.deepEqual(read({}), { httpPort: 1, names: [], isOn: false, wait: 5, folder: null });
    assert.deepEqual(read({ configFile }), { httpPort: 2, names: ['a', 'b'], isOn: true, wait: 120_000, folder: null });
    const environment = { SLUICE_HTTP_PORT: '3', SLUICE_NAMES: 'c, d', SLUICE_IS_ON: 'off' };
    assert.deepEqual(read({ configFile, environment }), {
      httpPort: 3,
      names: ['c', 'd'],
      isOn: false,
      wait: 120_000,
      folder: null,
    });
    const commandLine = { httpPort: '4', names: ['e', 'f,g'], isOn: true };
    assert.deepEqual(read({ configFile, environment, commandLine }), {
      httpPort: 4,
      names: ['e', 'f', 'g'],
      isOn: true,
      wait: 120_000,
      folder: null,
    });
  });

  test('what Kubernetes says of a Service named sluice-http is no setting', () => {
    assert.equal(read({ environment: { SLUICE_HTTP_PORT: 'tcp://10.0.0.1:80' } }).httpPort, 1);
    assert.equal(read({ environment: { SLUICE_HTTP_PORT: '' } }).httpPort, 1);
  });

  test('a file that is no map of settings is refused with the place', async () => {
    const cases: [content: string, message: RegExp][] = [
      ['a: [', /is not a YAML map of settings at line 1, column 5/],
      ['- a', /is not a YAML map of settings$/],
      ['htp-port: 1', /has the unknown setting "htp-port"/],
      ['http-port: eighty', /http-port in .*: must be a whole number from 0 to 65535, not "eighty"/],
      ['http-port: 1.5', /must be a whole number/],
    ];
    for (const [content, message] of cases) {
      const configFile = join(folder, 'wrong.yaml');
      await writeFile(configFile, content);
      assert.throws(
        () => read({ configFile }),
        (error) => error instanceof SettingError && message.test(error.message),
        content,
      );
    }
  });
});
