import type { EdgeOptions } from '../../proxy/edge/agent.ts';

/** What can be told to an agent in another process. */
export type AgentOptions = Omit<EdgeOptions, 'log' | 'isPlanLive'>;

export function agentDefaults(node: string, runDir: string): AgentOptions {
  return {
    node,
    services: 'all',
    podCidrs: [],
    podInterfaces: [],
    masqueradeBit: 0x1000,
    adminAddress: '127.0.0.1',
    adminPort: 0,
    nodeHealthPort: null,
    heartbeatPort: 10_253,
    addressLifetimeS: 10,
    stateDir: null,
    stateKeyFile: null,
    runDir,
    staleAcceptMs: 120_000,
  };
}
