import { createHash } from 'node:crypto';
import type { BgpPeer } from '#table/announce.ts';
import type { EdgeNode } from '#table/service.ts';
import { namesOf } from './names.ts';
import type { Neighbour } from './peers.ts';
import type { Routes, RouteTerms } from './routes.ts';

/** After a restart: how long those that came back hear nothing new while others are still away. */
const recoverySeconds = 10;

/**
 * The main file: who the node is and whom it speaks with. Each peer has tables of its own, which hold what it hears and
 * nothing else; nothing is taken from peers, and no kernel protocol is there that could bring a route to the kernel.
 */
export function peersText(self: EdgeNode, neighbours: readonly Neighbour[], vipsFile: string): string {
  const hasBfd = neighbours.some(({ row }) => row.bfd !== null);
  return [
    'log "bird.log" 1048576 "bird.log.1" { warning, error, fatal, bug, remote, auth };',
    'timeformat protocol iso long ms;',
    `router id ${routerIdOf(self)};`,
    `graceful restart wait ${recoverySeconds};`,
    'protocol device s_device { scan time 10; }',
    ...(hasBfd ? ['protocol bfd s_bfd { }'] : []),
    ...neighbours.flatMap(peerLines),
    `include "${vipsFile}";`,
    '',
  ].join('\n');
}

/** A node without IPv4 needs one, too: 32 bits that are its own. */
function routerIdOf({ id, addresses }: EdgeNode): string {
  const own = addresses.find((address) => !address.includes(':'));
  if (own !== undefined) return own;
  const [a = 0, b = 0, c = 0, d = 0] = createHash('sha256').update(id).digest();
  // Neither 0.0.0.0 nor of a class that routers refuse (RFC 4271 §6.2).
  return [1 + (a % 223), b, c, d].join('.');
}

function peerLines({ row, password, localAddress, families }: Neighbour): string[] {
  const { protocol, tables, statics } = namesOf(row.id);
  const isOnLink = row.interface !== null;
  const channels = families.map((family) => {
    const terms = [
      `table ${tables[family]};`,
      'import none;',
      `export where proto = "${statics[family]}";`,
      'next hop self;',
      // RFC 8950: a link without addresses of IPv4 carries its routes all the same.
      ...(family === 4 && isOnLink ? ['extended next hop;'] : []),
    ];
    return `  ipv${family} { ${terms.join(' ')} };`;
  });
  return [
    ...families.map((family) => `ipv${family} table ${tables[family]};`),
    `protocol bgp ${protocol} {`,
    `  local ${localAddress === null ? '' : `${localAddress} `}as ${row.localAsn};`,
    `  neighbor ${row.address} port ${row.port} as ${row.peerAsn};`,
    ...(isOnLink ? [`  interface "${row.interface}";`] : []),
    `  ${row.multihopTtl === null ? 'direct' : `multihop ${row.multihopTtl}`};`,
    ...(password === null ? [] : [`  password "${password}";`]),
    ...timerLines(row),
    ...bfdLines(row),
    ...channels,
    '}',
  ];
}

/** Without the times to connect and after errors, a session that was lost comes back after minutes. */
function timerLines({
  holdTimeSeconds,
  keepaliveSeconds,
  connectRetrySeconds,
  gracefulRestartSeconds,
}: BgpPeer): string[] {
  return [
    ...(holdTimeSeconds === null ? [] : [`  hold time ${holdTimeSeconds};`]),
    ...(keepaliveSeconds === null ? [] : [`  keepalive time ${keepaliveSeconds};`]),
    `  connect delay time 1; connect retry time ${connectRetrySeconds}; error wait time 1, 5;`,
    gracefulRestartSeconds === null
      ? '  graceful restart off; long lived graceful restart off;'
      : `  graceful restart on; graceful restart time ${gracefulRestartSeconds}; long lived graceful restart off;`,
  ];
}

function bfdLines({ bfd }: BgpPeer): string[] {
  if (bfd === null) return [];
  const { receiveMs, transmitMs, multiplier, isPassive } = bfd;
  const times = `min rx interval ${receiveMs} ms; min tx interval ${transmitMs} ms; multiplier ${multiplier};`;
  return [`  bfd { ${times}${isPassive ? ' passive;' : ''} };`];
}

/** The file of what is announced: a protocol per peer and family, also where there is nothing, since tables stand for it. */
export function vipsText(neighbours: readonly Neighbour[], routes: Routes): string {
  const lines: string[] = [];
  const texts = new Map<RouteTerms, string>();
  for (const { row, families } of neighbours) {
    const { tables, statics } = namesOf(row.id);
    const ofPeer = [...(routes.get(row.id) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const family of families) {
      lines.push(
        `protocol static ${statics[family]} { ipv${family} { table ${tables[family]}; import all; export none; };`,
      );
      for (const [prefix, terms] of ofPeer) {
        if (prefix.includes(':') !== (family === 6)) continue;
        const text = texts.get(terms) ?? termsText(terms);
        texts.set(terms, text);
        lines.push(`  route ${prefix} blackhole${text};`);
      }
      lines.push('}');
    }
  }
  return `${lines.join('\n')}\n`;
}

function termsText({ communities, largeCommunities, localPreference }: RouteTerms): string {
  const terms = [
    ...[...communities].sort().map((each) => `bgp_community.add((${each.replace(':', ',')}));`),
    ...[...largeCommunities].sort().map((each) => `bgp_large_community.add((${each.replaceAll(':', ',')}));`),
    ...(localPreference === null ? [] : [`bgp_local_pref = ${localPreference};`]),
  ];
  return terms.length === 0 ? '' : ` { ${terms.join(' ')} }`;
}
