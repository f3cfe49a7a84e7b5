import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Attack } from '../kit/attack.ts';
import { largeBackend, startAttacked } from '../kit/attacked.ts';
import { attacks } from '../kit/attacks.ts';
import { Load } from '../kit/load.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import type { Recorder } from '../kit/recorder.ts';
import type { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

/** As long as a test can wait for, and long enough for honest clients on a busy machine. */
const limits = {
  'head-ms': 2_000,
  'idle-ms': 3_000,
  'body-idle-ms': 2_000,
  'write-idle-ms': 3_000,
  'handshake-ms': 3_000,
  'settings-ms': 2_000,
};
const connections = 100;
/** Connections of honest clients that may be open at a moment, some of them about to close. */
const honest = 10;
/** What a hundred attackers may cost the worker; a tenth of it would be their sockets. */
const growthBound = 96 << 20;

let recorder: Recorder;
let sluice: Standalone;
const running: (Attack | Load)[] = [];

before(async () => {
  recorder = await largeBackend();
  const flags = Object.entries(limits).flatMap(([name, value]) => [`--limit-${name}`, `${value}`]);
  sluice = await startAttacked({ 'gw.test': recorder.port }, flags);
});

afterEach(async () => {
  for (const each of running.splice(0)) await each.stop();
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** Sum over the listeners of a metric. */
async function sum(name: string): Promise<number> {
  const found = (await sluice.admin('/metrics')).matchAll(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'gm'));
  return [...found].reduce((total, [, value]) => total + Number(value), 0);
}

const opened = () => sum('sluice_connections_total');
const open = () => sum('sluice_connections');

describe('a hundred clients that hold their connection with', () => {
  for (const [what, options] of Object.entries(attacks)) {
    test(`${what}: they are ended, cost little, and nobody else notices`, async () => {
      const [worker = 0] = childrenOf(sluice.process.pid);
      const startBytes = residentBytes(worker);
      const startCount = await opened();
      let most = startBytes;
      const port = options.isTls ? sluice.httpsPort : sluice.httpPort;
      const isTls = options.isTls === true;
      const loads = [true, false].map((keepsAlive) =>
        Load.start({ port, host: 'gw.test', connections: 1, requestsPerSecond: 40, keepsAlive, isTls }),
      );
      const attack = Attack.start({ port, from: ['127.0.66.1'], connections, ...options });
      running.push(...loads, attack);
      await waitUntil(() => attack.connected + attack.turnedAway === connections, 'the attackers to have come');
      await eventually(
        async () => ((await opened()) >= startCount + connections ? true : undefined),
        'their acceptance',
      );
      // Who reads nothing does not see its end; the gateway knows.
      await eventually(async () => {
        most = Math.max(most, residentBytes(worker));
        return (await open()) <= honest ? true : undefined;
      }, "the end of the attackers' connections");
      for (const load of loads) {
        const { answered, failures } = await load.stop();
        assert.deepEqual(failures, []);
        assert.ok(answered > 0);
      }
      assert.ok(most - startBytes < growthBound, `grew by ${Math.round((most - startBytes) / 1024)} KiB`);
    });
  }
});
