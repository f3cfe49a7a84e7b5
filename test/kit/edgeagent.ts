import pino from 'pino';
import { reasonOf } from '#kit/reason.ts';
import type { ChangeBatch } from '#table/change.ts';
import type { PlanRows } from '#table/plan.ts';
import { type Edge, startEdge } from '../../proxy/edge/agent.ts';
import type { AgentOptions } from './agentoptions.ts';

/** The agent of a node in a network namespace, without its stream: the test tells it its options, then batches. */
export type AgentMessage =
  | { id: number; kind: 'start'; options: AgentOptions; logLevel: string }
  | { id: number; kind: 'apply'; batch: ChangeBatch<PlanRows> }
  /** Whether controllers are there, as the stream would know. */
  | { id: number; kind: 'live'; isLive: boolean }
  /** The result: what the node says that it announces. */
  | { id: number; kind: 'announced' }
  | { id: number; kind: 'stop' };

let edge: Edge | null = null;
let isLive = true;

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
      edge = await startEdge({
        ...message.options,
        isPlanLive: () => isLive,
        log: pino({ level: message.logLevel }, pino.destination(2)),
      });
      return { adminPort: edge.adminPort };
    case 'apply':
      return edge?.apply(message.batch);
    case 'live':
      isLive = message.isLive;
      return null;
    case 'announced':
      return [...(edge?.announced() ?? [])].map(({ way, address }) => `${way} ${address}`);
    case 'stop':
      return edge?.stop();
  }
}
