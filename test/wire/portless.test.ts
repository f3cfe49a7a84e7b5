/** A machine whose ports are all taken: nobody can connect from it, to a backend either. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { everythingTo, toYaml } from '../kit/manifests.ts';
import { Netns, skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns();
const stops: (() => unknown)[] = [];

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** Four ports for eight requests at once, which the backend holds until one of them is refused. Prints what became of them. */
const crowd = `
import { createServer, get } from 'node:http';
const held = [];
const release = () => { for (const response of held.splice(0)) response.end('ok'); };
let isRefused = false;
const server = createServer((request, response) => {
  held.push(response);
  if (isRefused) release();
}).listen(8000, '127.0.0.1');
const ask = (port, path, localPort) => new Promise((done) => {
  const options = { host: '127.0.0.1', port, path, headers: { host: 'gw.test' }, agent: false, localPort };
  const request = get(options, async (response) => {
    const body = (await response.toArray()).join('');
    if (response.statusCode === 503 && localPort !== undefined) { isRefused = true; release(); }
    done({ status: response.statusCode, retryAfter: response.headers['retry-after'], body });
  });
  request.on('error', ({ code }) => done({ status: code, body: '' }));
});
const crowd = await Promise.all(Array.from({ length: 8 }, (_, i) => ask(8080, '/', 20_000 + i)));
const later = await ask(8080, '/', 20_100);
const { body } = await ask(9000, '/metrics', 20_101);
const flags = body.split('\\n').filter((line) => /^sluice_http_responses_flagged_total\\{flag="(UF|OM)"/.test(line));
process.stdout.write(JSON.stringify({ crowd, later, flags }));
process.exit();
`;

interface Outcome {
  crowd: { status: number; retryAfter?: string }[];
  later: { status: number };
  flags: string[];
}

test('a request for whose backend no port is left is 503, and the endpoint is not blamed', { skip }, async () => {
  const machine = await Netns.make('portless');
  stops.push(() => machine.remove());
  const dir = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'all.yaml'), toYaml(everythingTo(8000)));
  const ports = ['--http-port', '8080', '--https-port', '8443', '--admin-port', '9000'];
  const flags = ['--workers', '1', '--drain-grace', '0s'];
  const sluice = new SluiceProcess(['standalone', '--manifests', dir, ...ports, ...flags], {}, machine);
  stops.push(() => sluice.stop());
  await sluice.printed(/^ +http +http:/m);
  const admin = new Peer(machine);
  stops.push(() => admin.end());
  await eventually(async () => {
    const answer = await admin.http('http://127.0.0.1:9000/readyz').catch(() => undefined);
    return answer?.status === 200 ? true : undefined;
  }, 'readyz');
  await machine.sysctl('net.ipv4.ip_local_port_range=40000 40003');
  const printed = await machine.exec(process.execPath, '--input-type=module', '-e', crowd);
  const outcome = JSON.parse(printed) as Outcome;
  const refused = outcome.crowd.filter(({ status }) => status === 503);
  assert.ok(refused.length > 0, printed);
  assert.ok(
    refused.every(({ retryAfter }) => retryAfter === '1'),
    printed,
  );
  assert.equal(outcome.crowd.filter(({ status }) => status === 200).length, 8 - refused.length, printed);
  assert.equal(outcome.later.status, 200, printed);
  assert.match(outcome.flags.join('\n'), /flag="OM"\S* [1-9]/);
  assert.doesNotMatch(outcome.flags.join('\n'), /flag="UF"\S* [1-9]/);
});
