import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Pool } from 'undici';
import { certificateFor } from '../kit/certificate.ts';
import { Load } from '../kit/load.ts';
import { ClusterRig, get, ingress, service, skip, slice } from './clusterrig.ts';

const ingressCount = 1_000;

describe('a cluster with 1,000 Ingresses that never stands still', { skip, timeout: 300_000 }, () => {
  let rig: ClusterRig;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one', 'two', 'three'], controllers: 1, proxies: 2, workers: 2 });
    const names = Array.from({ length: ingressCount }, (_, i) => `s${i}`);
    await sideBySide(names, async (name) => {
      await rig.api.apply(service(name), slice(name, rig.portOf(0)), ingress(name, `${name}.test`, name));
    });
    await Promise.all(names.slice(-20).map((name) => rig.allAnswer(`${name}.test`, 200, 'one')));
  });

  after(() => rig?.stop());

  test('a new Ingress serves its first request at once', async (t) => {
    const tookMs: number[] = [];
    const { http = 0 } = rig.proxies[0] ?? {};
    for (let i = 0; i < 50; i++) {
      await rig.api.apply(ingress(`fresh-${i}`, `fresh-${i}.test`, 's0'));
      const startMs = performance.now();
      while ((await get(http, `fresh-${i}.test`)).status !== 200);
      tookMs.push(performance.now() - startMs);
    }
    const meanMs = tookMs.reduce((sum, ms) => sum + ms, 0) / tookMs.length;
    t.diagnostic(`API server to first request: mean ${meanMs.toFixed(1)} ms, max ${Math.max(...tookMs).toFixed(1)} ms`);
  });

  test('200 changes of routes, 200 of endpoints and 50 of certificates at 500 requests/s: none fails', async (t) => {
    const pairs = await Promise.all([
      certificateFor(['first', 'secure.test']),
      certificateFor(['second', 'secure.test']),
    ]);
    const secret = (i: number) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'secure' },
      type: 'kubernetes.io/tls',
      stringData: { 'tls.crt': pairs[i % 2]?.cert, 'tls.key': pairs[i % 2]?.key },
    });
    const tls = [{ hosts: ['secure.test'], secretName: 'secure' }];
    await rig.api.apply(secret(0), ingress('secure', 'secure.test', 's1', {}, tls));
    await rig.allAnswer('secure.test', 308);
    const loads = rig.proxies.flatMap(({ http, https }) => [
      Load.start({ port: http, host: 's1.test', connections: 8, requestsPerSecond: 200 }),
      Load.start({
        port: https,
        host: 'secure.test',
        isTls: true,
        keepsAlive: false,
        connections: 2,
        requestsPerSecond: 50,
      }),
    ]);
    for (let i = 0; i < 200; i++) {
      await rig.api.apply(slice('s1', rig.portOf(i % 2)));
      if (i % 2 === 0) await rig.api.apply(ingress(`route-${i}`, `route-${i}.test`, 's1'));
      else await rig.api.delete(ingress(`route-${i - 1}`, `route-${i - 1}.test`, 's1'));
      if (i % 4 === 0) await rig.api.apply(secret(i / 4 + 1));
    }
    await rig.allAnswer('s1.test', 200, 'two');
    const reports = await Promise.all(loads.map((load) => load.stop()));
    t.diagnostic(`${reports.reduce((sum, { answered }) => sum + answered, 0)} requests were answered meanwhile`);
    for (const { failures, answered } of reports) {
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  });

  test('100 clients with cookies send 10,000 requests over 4 workers of 2 proxies: all stay where they began', async () => {
    const affinity = { 'sluice.dev/affinity': 'cookie', 'sluice.dev/affinity-mode': 'persistent' };
    await rig.api.apply(
      service('sticky'),
      ...[0, 1, 2].map((i) => slice('sticky', rig.portOf(i), `sticky-${i}`)),
      ingress('sticky', 'sticky.test', 'sticky', affinity),
    );
    await rig.allAnswer('sticky.test', 200);
    // Many connections: the kernel spreads them over the workers.
    const pools = rig.proxies.map(({ http }) => new Pool(`http://127.0.0.1:${http}`, { connections: 16 }));
    const homes = new Set<string>();
    await sideBySide(
      Array.from({ length: 100 }, (_, client) => client),
      async () => {
        let cookie = '';
        let home = '';
        for (let i = 0; i < 100; i++) {
          const response = await pools[i % 2]?.request({
            path: '/',
            method: 'GET',
            headers: { host: 'sticky.test', cookie },
          });
          const name = await response?.body.text();
          if (i === 0) {
            cookie = String(response?.headers['set-cookie']).split(';')[0] ?? '';
            home = name ?? '';
            homes.add(home);
          }
          assert.equal(name, home);
        }
      },
    );
    assert.deepEqual([...homes].sort(), ['one', 'three', 'two']);
    await Promise.all(pools.map((pool) => pool.close()));
  });
});

/** Runs a few at a time. */
async function sideBySide<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}
