import pino from 'pino';
import { reasonOf } from '#kit/reason.ts';
import type { ChangeBatch } from '#table/change.ts';
import type { PlanRows } from '#table/plan.ts';
import { type Edge, type EdgeOptions, startEdge } from '../../proxy/edge/agent.ts';

/** The agent of a node in a network namespace, without its stream: the test tells it its options, then batches. */
export type AgentMessage =
  | { id: number; kind: 'start'; options: Omit<EdgeOptions, 'log'>; logLevel: string }
  | { id: number; kind: 'apply'; batch: ChangeBatch<PlanRows> }
  | { id: number; kind: 'stop' };

let edge: Edge | null = null;

process.on('message', (message: AgentMessage) => {
  work(message).then(
    (result) => process.send?.({ id: message.id, result }),
    (error) => process.send?.({ id: message.id, error: reasonOf(error) }),
  );
});
process.on('disconnect', () => process.exit(0));

async function work(message: AgentMessage): Promise<unknown> {
  switch (message.kind) {
    case 'start':
      edge = await startEdge({ ...message.options, log: pino({ level: message.logLevel }, pino.destination(2)) });
      return { adminPort: edge.adminPort };
    case 'apply':
      return edge?.apply(message.batch);
    case 'stop':
      return edge?.stop();
  }
}
