import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from 'undici';
import { ClusterRig, ingress, service, skip, slice } from './clusterrig.ts';

const backends = ['one', 'two', 'three', 'four'];
const clientCount = 100;
const requestsPerClient = 100;
/** After so many requests a client connects anew, so that the kernel leads it to other workers. */
const requestsPerConnection = 5;

describe('clients stay with their endpoint, over 2 proxies of 4 workers', { skip, timeout: 300_000 }, () => {
  let rig: ClusterRig;
  const portOf = (proxy: number) => rig.proxies[proxy % 2]?.http ?? 0;
  const portOfBackend = (backend: number) => rig.portOf(backend);

  before(async () => {
    rig = await ClusterRig.start({ backends, controllers: 1, proxies: 0, workers: 4 });
    const cookie = { 'sluice.dev/affinity': 'cookie', 'sluice.dev/affinity-mode': 'persistent' };
    const address = service('address');
    await rig.api.apply(
      ...['cookie', 'address'].flatMap((name) => [0, 1, 2].map((i) => slice(name, rig.portOf(i), `${name}-${i}`))),
      ...[service('cookie'), ingress('cookie', 'cookie.test', 'cookie', cookie)],
      { ...address, spec: { ...(address['spec'] as object), sessionAffinity: 'ClientIP' } },
      ingress('address', 'address.test', 'address'),
    );
    for (const name of ['proxy-1', 'proxy-2']) rig.proxies.push(await rig.startProxy(name, 4, 'shared'));
    await rig.allAnswer('cookie.test', 200);
    await rig.allAnswer('address.test', 200);
    for (const name of ['cookie', 'address']) await rig.allHave(name, [0, 1, 2].map(portOfBackend));
  });

  after(() => rig?.stop());

  test('cookie: 10,000 requests of 100 clients all reach the first endpoint; one that goes moves its clients only', async () => {
    const clients = await each(clientCount, (i) => CookieClient.begin(portOf(i)));
    assert.deepEqual(new Set(clients.map(({ home }) => home)), new Set(['one', 'two', 'three']));
    let strays = 0;
    await each(clientCount, async (i) => {
      for (let round = 0; round * requestsPerConnection < requestsPerClient - 1; round++) {
        const names = await clients[i]?.ask(portOf(i + round), requestsPerConnection);
        strays += names?.filter((name) => name !== clients[i]?.home).length ?? 0;
        // A new endpoint in the middle of it draws nobody away.
        if (i === 0 && round === 5) await rig.api.apply(slice('cookie', rig.portOf(3), 'cookie-3'));
      }
    });
    assert.equal(strays, 0);
    await rig.api.delete(slice('cookie', rig.portOf(0), 'cookie-0'));
    await rig.allHave('cookie', [1, 2, 3].map(portOfBackend));
    const moved = await each(clientCount, async (i) => {
      const client = clients[i] as CookieClient;
      const before = client.home;
      const names = new Set([...(await client.ask(portOf(i), 5)), ...(await client.ask(portOf(i + 1), 5))]);
      assert.equal(names.size, 1, 'a client that lost its endpoint stays with the next');
      return { before, after: [...names][0] };
    });
    for (const { before, after } of moved) {
      if (before === 'one') assert.notEqual(after, 'one');
      else assert.equal(after, before);
    }
    assert.ok(moved.some(({ before }) => before === 'one'));
  });

  test('ClientIP: an address stays with its endpoint, whichever proxy and worker it meets', async () => {
    const homes = await each(clientCount, async (i) => {
      const names = new Set<string>();
      for (let round = 0; round < 6; round++) for (const name of await askFrom(i, round)) names.add(name);
      assert.equal(names.size, 1);
      return [...names][0] ?? '';
    });
    assert.deepEqual(new Set(homes), new Set(['one', 'two', 'three']));
    await rig.api.apply(slice('address', rig.portOf(3), 'address-3'));
    await rig.allHave('address', [0, 1, 2, 3].map(portOfBackend));
    await each(clientCount, async (i) => {
      for (let round = 0; round < 4; round++) {
        for (const name of await askFrom(i, round)) assert.equal(name, homes[i]);
      }
    });
    await rig.api.delete(slice('address', rig.portOf(0), 'address-0'));
    await rig.allHave('address', [1, 2, 3].map(portOfBackend));
    await each(clientCount, async (i) => {
      const names = [...(await askFrom(i, 0)), ...(await askFrom(i, 1))];
      for (const name of names) {
        if (homes[i] === 'one') assert.notEqual(name, 'one');
        else assert.equal(name, homes[i]);
      }
    });
  });

  async function askFrom(client: number, proxy: number): Promise<string[]> {
    const localAddress = `127.0.1.${client + 1}`;
    return (await ask(portOf(proxy), { host: 'address.test' }, 4, localAddress)).map(({ name }) => name);
  }
});

/** One browser: keeps the cookie that it was given last. */
class CookieClient {
  /** Who answered first. */
  readonly home: string;
  #cookie: string;

  private constructor(home: string, cookie: string) {
    this.home = home;
    this.#cookie = cookie;
  }

  static async begin(port: number): Promise<CookieClient> {
    const [first] = await ask(port, { host: 'cookie.test' }, 1);
    assert.ok(first?.cookie, 'the first answer sets a cookie');
    return new CookieClient(first.name, first.cookie);
  }

  /** Asks `count` times over one new connection. */
  async ask(port: number, count: number): Promise<string[]> {
    const names: string[] = [];
    const [first] = await ask(port, { host: 'cookie.test', cookie: this.#cookie }, 1);
    if (first?.cookie) this.#cookie = first.cookie;
    names.push(first?.name ?? '');
    const rest = await ask(port, { host: 'cookie.test', cookie: this.#cookie }, count - 1);
    names.push(...rest.map(({ name }) => name));
    return names;
  }
}

async function ask(port: number, headers: Record<string, string>, count: number, localAddress?: string) {
  const client = new Client(`http://127.0.0.1:${port}`, localAddress === undefined ? {} : { localAddress });
  try {
    const answers: { name: string; cookie: string | null }[] = [];
    for (let i = 0; i < count; i++) {
      const response = await client.request({ path: '/', method: 'GET', headers });
      const name = await response.body.text();
      assert.equal(response.statusCode, 200, name);
      const set = response.headers['set-cookie'];
      answers.push({ name, cookie: set === undefined ? null : (String(set).split(';')[0] ?? null) });
    }
    return answers;
  } finally {
    await client.close();
  }
}

/** Calls for 0 … count-1, a dozen at a time. */
async function each<T>(count: number, run: (i: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const work = async () => {
    for (let i = next++; i < count; i = next++) results[i] = await run(i);
  };
  await Promise.all(Array.from({ length: 12 }, work));
  return results;
}
