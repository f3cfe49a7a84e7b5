import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Attack } from '../kit/attack.ts';
import { largeBackend, startAttacked } from '../kit/attacked.ts';
import { attacks } from '../kit/attacks.ts';
import { childrenOf, mostResidentBytes, residentBytes } from '../kit/procfs.ts';
import { exchange, get } from '../kit/rawclient.ts';
import type { Recorder } from '../kit/recorder.ts';
import type { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const mib = 1 << 20;
const limit = 224 * mib;
const rounds = 2;

let backend: Recorder;
let sluice: Standalone;

before(async () => {
  backend = await largeBackend();
});

beforeEach(async () => {
  sluice = await startAttacked({ 'gw.test': backend.port }, ['--limit-memory-bytes', `${limit}`]);
});

afterEach(async () => {
  await sluice?.stop();
});

after(async () => {
  await backend?.stop();
});

async function ask(): Promise<number | undefined> {
  return (await exchange({ port: sluice.httpPort }, get('/', 'gw.test')).catch(() => undefined))?.status;
}

/** Answers that were ended for want of memory, and connections that were turned away for it. */
async function sheds(): Promise<number> {
  const page = await sluice.admin('/metrics');
  const ended = /flagged_total\{flag="OM"\} (\d+)$/m.exec(page)?.[1] ?? 0;
  const away = /turned_away_total\{reason="memory"\} (\d+)$/m.exec(page)?.[1] ?? 0;
  return Number(ended) + Number(away);
}

test('answers that nobody reads hold the limit of memory, however many come in one turn, and what they had is given back', async () => {
  const [worker = 0] = childrenOf(sluice.process.pid);
  assert.equal(await ask(), 200);
  for (let round = 0; round < rounds; round++) {
    const before = await sheds();
    const attack = Attack.start({
      port: sluice.httpPort,
      from: Array.from({ length: 32 }, (_, nth) => `127.0.66.${nth + 1}`),
      connections: 5_000,
      ...attacks['a question whose answer is not read'],
    });
    try {
      await eventually(
        async () => ((await sheds()) - before > 300 ? true : undefined),
        'answers to be ended for want of memory',
      );
    } finally {
      attack.stop();
    }
    await eventually(async () => ((await ask()) === 200 ? true : undefined), 'others to be served');
    assert.ok(mostResidentBytes(worker) <= limit, `${mostResidentBytes(worker) >> 20} MiB in round ${round}`);
  }
  await eventually(
    async () => (residentBytes(worker) < limit * 0.8 ? true : undefined),
    'what was freed to be given back',
  );
  assert.equal(childrenOf(sluice.process.pid)[0], worker, 'the same worker');
});
