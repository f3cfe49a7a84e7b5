import { L2Lab } from '../../test/kit/l2lab.ts';
import { Peer } from '../../test/kit/peer.ts';
import { planRow } from '../../test/kit/plans.ts';
import { spreadOf } from './spread.ts';

export interface MovesOutcome {
  moves: number;
  /** The longest time between two answers at the address that moves, while it does, ms; and the same while nothing moves. */
  gapMs: { p50: number; p99: number; max: number };
  stillMs: { p50: number; p99: number; max: number };
  asked: number;
  missed: number;
  /** Of connections with bytes going to and fro that were open before: through other nodes, and through the one that leaves. */
  elsewhere: { connections: number; broken: number };
  through: { connections: number; broken: number };
}

const addresses = Array.from({ length: 9 }, (_, i) => `172.30.0.${200 + i}`);
const connectionsPerAddress = 10;
/** Longer than a move takes. */
const watchMs = 2_500;

/** What clients notice when a node is drained that has addresses: three nodes, and pods on a fourth. */
export async function measureMoves(moves: number): Promise<MovesOutcome> {
  const lab = await L2Lab.start('moves', [0, 0, 0, 1], { running: 3, lifetimeS: 60 });
  const { client } = lab.net;
  try {
    // A client that asks without pause would soon be out of ports.
    await client.netns.sysctl('net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1');
    const nodes = lab.agents.slice(0, 3).map(({ node }) => node.name);
    await lab.apply([lab.announcement({ nodes }), ...lab.service('web', addresses, ['pod-4a'])]);
    for (const name of nodes) await lab.heard(name, 2);
    const [gaps, still]: [number[], number[]] = [[], []];
    const sum = { asked: 0, missed: 0 };
    const [elsewhere, through] = [0, 1].map(() => ({ connections: 0, broken: 0 }));
    if (elsewhere === undefined || through === undefined) throw new Error('there are two');
    for (let i = 0; i < moves; i++) {
      const holders = await lab.settled(addresses);
      const leaving = nodes[i % nodes.length] ?? '';
      const moved = addresses.find((_, k) => holders[k] === leaving);
      if (moved === undefined) continue;
      const ask = () => client.gap({ address: moved, port: 80, prefix: 'pod-', forMs: watchMs });
      still.push((await ask()).longestMs);
      const groups = await Promise.all(
        [elsewhere, through].map(async (count) => {
          const peer = new Peer(client.netns);
          for (const [k, address] of addresses.entries()) {
            if ((holders[k] === leaving) !== (count === through)) continue;
            const answers = await peer.hold({ address, port: 80, count: connectionsPerAddress });
            count.connections += answers.length;
          }
          return { peer, count, opened: await peer.poke() };
        }),
      );
      const asking = ask();
      const poking = groups.map(async ({ peer, count, opened }) => {
        let alive = opened;
        for (const untilMs = performance.now() + watchMs; performance.now() < untilMs; )
          alive = Math.min(alive, await peer.poke());
        count.broken += opened - alive;
        await peer.end();
      });
      const row = lab.net.nodeRows().find((each) => each.row.id === leaving);
      if (row?.kind !== 'node') throw new Error(`${leaving} is there`);
      const staying = nodes.filter((name) => name !== leaving);
      await lab.apply([lab.announcement({ nodes: staying }), planRow('node', { ...row.row, isLeaving: true })]);
      const { longestMs, answered, missed } = await asking;
      await Promise.all(poking);
      gaps.push(longestMs);
      sum.asked += answered + missed;
      sum.missed += missed;
      await lab.apply([lab.announcement({ nodes }), row]);
    }
    return { moves: gaps.length, gapMs: spreadOf(gaps), stillMs: spreadOf(still), ...sum, elsewhere, through };
  } finally {
    await lab.close();
  }
}
