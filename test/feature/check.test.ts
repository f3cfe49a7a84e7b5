import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SluiceProcess, Standalone } from '../kit/sluice.ts';

/** What `helm test` runs. Whether all proxies have the tables is asked of controllers, of which there is none here. */
describe('sluice check, where a load balancer in front sends PROXY headers', { timeout: 120_000 }, () => {
  let sluice: Standalone;

  before(async () => {
    const metadata = { name: 'config', namespace: 'default' };
    const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'use-proxy-protocol': 'true' } };
    sluice = await Standalone.start({ manifests: [config], args: ['--configmap', 'default/config'] });
  });

  after(() => sluice?.stop());

  async function linesOf(...args: string[]): Promise<string[]> {
    const urls = [`http://127.0.0.1:${sluice.httpPort}/`, `https://127.0.0.1:${sluice.httpsPort}/`];
    const process = new SluiceProcess([
      ...['check', '--controller', `http://127.0.0.1:${sluice.adminPort}`, '--timeout', '1ms', '--status', '404'],
      ...urls.flatMap((url) => ['--url', url]),
      ...args,
    ]);
    await process.ended();
    return `${process.stdout}${process.stderr}`.split('\n').filter((line) => line.includes(' answers'));
  }

  test('it sends one, too, when it is told to', async () => {
    const lines = await linesOf('--proxy-header');
    assert.deepEqual(
      lines.map((line) => line.slice(0, 5)),
      ['ok   ', 'ok   '],
      lines.join('\n'),
    );
  });

  test('where nobody listens, that is what it says', async () => {
    const lines = await linesOf('--proxy-header', '--url', 'https://127.0.0.1:1/');
    assert.match(lines[2] ?? lines.join('\n'), /^wrong https:\/\/127\.0\.0\.1:1\/ answers: connect ECONNREFUSED /);
  });

  test('without, it is turned away as everybody is', async () => {
    const lines = await linesOf();
    assert.deepEqual(
      lines.map((line) => line.slice(0, 5)),
      ['wrong', 'wrong'],
      lines.join('\n'),
    );
  });
});
