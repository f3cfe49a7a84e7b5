import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { Crew } from '../../proxy/fleet/crew.ts';
import { Limits } from '../../proxy/listen/limits.ts';
import { bindAddresses } from '../../proxy/listen/sockets.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

test('a listener that goes while a successor starts keeps it from nothing', async () => {
  const rows = [...plainTable([]), row('listener', { id: 'extra' })];
  const crew = new Crew({
    size: 1,
    start: { limits: Limits.parse({}), zone: null, node: null, accessLog: 'off', metricsCompat: 'none' },
    codeCache: null,
    answerTimeoutMs: 600_000,
    log: pino({ level: 'fatal' }),
    whole: () => ({ delta: { upserts: [...rows], deletes: [] }, hash: 'h' }),
    unhealthy: () => [],
    onLastWords: () => {},
    onAffinity: () => {},
  });
  try {
    for (const each of rows) {
      if (each.kind === 'listener') await crew.listen(each.row, bindAddresses('tcp', each.row.addresses, 0, 1));
    }
    await waitUntil(() => crew.readyCount === 1, 'the worker');
    const [victim = 0] = crew.pids;
    process.kill(victim, 'SIGKILL');
    await waitUntil(() => crew.pids[0] !== victim, 'a successor');
    // Its sockets wait to be sent, one after the other.
    await crew.unlisten('extra');
    await waitUntil(() => crew.readyCount === 1, 'the successor');
    assert.equal(crew.restarts, 1);
  } finally {
    await crew.stop(0);
  }
});
