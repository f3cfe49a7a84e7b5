import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { emptyTableOf } from '#table/contract.ts';
import { planContract } from '#table/plan.ts';
import { HealthPorts } from '../../proxy/edge/health.ts';
import { planRow } from '../kit/plans.ts';
import { quiet } from '../kit/quiet.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

test('a health check port that another program has is told once, and taken when it comes free, though nothing changes', async () => {
  const other = createServer().listen(0);
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  const told: object[] = [];
  const log = { ...quiet, warn: (fields: object) => told.push(fields) };
  const ports = new HealthPorts({ node: 'a', unreadyReason: () => null, log });
  const plan = emptyTableOf(planContract);
  const upserts = [planRow('service', { id: 's', healthCheckNodePort: port })];
  try {
    ports.follow(plan, { upserts, deletes: [] });
    await waitUntil(() => told.length > 0, 'what is said');
    for (let i = 0; i < 10; i++) {
      ports.follow(plan, { upserts, deletes: [] });
      await new Promise(setImmediate);
    }
    assert.deepEqual(told, [{ port, service: { namespace: 'test', name: 'test' }, err: 'EADDRINUSE' }]);
    other.close();
    await once(other, 'close');
    const status = await eventually(async () => {
      return await fetch(`http://127.0.0.1:${port}/`).then(
        (answer) => answer.status,
        () => undefined,
      );
    }, 'an answer on the port');
    assert.equal(status, 503);
  } finally {
    ports.close();
    other.close();
  }
});
