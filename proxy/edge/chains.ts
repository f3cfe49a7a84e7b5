import { clientOf, originalFlowOf, sentFlowOf } from './flow.ts';
import type { ServiceScope } from './frontends.ts';
import { entryFlags, listMask, localBit, numberMask, ourBit, portMask } from './key.ts';
import { type Family, families, ipOf } from './sets.ts';

export interface ChainOptions {
  /** The one bit of the packet mark that says "masquerade"; all others are left to others. */
  readonly masqueradeBit: number;
  /** Interfaces by which packets of this node's pods come in, `*` at the end for any rest. */
  readonly podInterfaces: readonly string[];
  readonly scope: ServiceScope;
}

export interface Chain {
  readonly name: string;
  /** Of a base chain: type, hook and priority. */
  readonly hook: string | null;
  readonly rules: readonly string[];
}

/**
 * The chains that every packet of a new connection takes. There is none per Service: which way a packet goes is an element
 * of a map, so a table of ten thousand Services has as many rules as one of ten.
 *
 * Our translation goes before that of others (-100): beside another Service proxy the addresses that we announce are ours.
 * Chains of type nat see the first packet of a connection only; on the way of the rest are UDP's check and that of strays.
 */
export function fixedChains({ masqueradeBit, podInterfaces, scope }: ChainOptions): Chain[] {
  const bit = hex(masqueradeBit);
  const isInByPod = byInterface('iifname', podInterfaces);
  const isFromPod = [...families.map((family) => `${ipOf(family)} saddr @pod${family}`), ...isInByPod];
  return [
    {
      name: 'entry',
      hook: null,
      rules: [
        ...both((ip, n) => `meta priority set ${ip} daddr . meta l4proto . th dport map @service${n} goto dispatch`),
        ...both(
          (ip, n) => `${ip} daddr @node${n} meta priority set meta l4proto . th dport map @nodeport${n} goto dispatch`,
        ),
        ...both((ip, n) => `meta l4proto ${transports} ${ip} daddr @address${n} goto refuse`),
      ],
    },
    { name: 'dispatch', hook: null, rules: [`meta priority & ${hex(flagMask)} vmap { ${dispatch().join(', ')} }`] },
    {
      name: 'guarded',
      hook: null,
      rules: [
        ...both(
          (ip, n) =>
            `meta priority . ${ip} saddr @range${n} meta priority & ${hex(entryFlags.local)} vmap ` +
            `{ 0x0 : goto external, ${hex(entryFlags.local)} : goto external_local }`,
        ),
        'drop',
      ],
    },
    { name: 'internal', hook: null, rules: ['jump outsiders', 'goto cluster'] },
    { name: 'internal_local', hook: null, rules: ['jump outsiders', 'goto local'] },
    { name: 'external', hook: null, rules: [`meta mark set meta mark | ${bit}`, 'goto cluster'] },
    {
      name: 'external_local',
      hook: null,
      // The node and its pods are short-circuited to all endpoints: they could not reach the Service otherwise.
      rules: [...isFromPod.map((test) => `${test} goto cluster`), 'fib saddr type local goto external', 'goto local'],
    },
    {
      name: 'outsiders',
      hook: null,
      rules: [
        ...both((ip, n) => `${ip} saddr @inside${n} return`),
        ...isInByPod.map((test) => `${test} return`),
        `meta mark set meta mark | ${bit}`,
      ],
    },
    {
      name: 'cluster',
      hook: null,
      rules: [`meta priority set meta priority & ${hex(portMask)}`, 'meta priority vmap @lists'],
    },
    {
      name: 'local',
      hook: null,
      rules: [`meta priority set meta priority & ${hex(portMask)} | ${hex(localBit)}`, 'meta priority vmap @lists'],
    },
    { name: 'forward', hook: null, rules: forward('endpoint') },
    { name: 'forward_sticky', hook: null, rules: forward('sticky') },
    { name: 'refuse', hook: null, rules: ['meta l4proto tcp reject with tcp reset', 'reject'] },
    { name: 'prerouting', hook: 'type nat hook prerouting priority -105', rules: ['jump entry'] },
    { name: 'output', hook: 'type nat hook output priority -105', rules: ['jump entry'] },
    {
      name: 'postrouting',
      hook: 'type nat hook postrouting priority 95',
      rules: [
        `meta priority & ${hex(ourBit)} != 0 meta priority set none`,
        ...both((ip, n) => `ct status dnat ${ip} saddr . ${ip} daddr @hairpin${n} masquerade fully-random`),
        `meta mark & ${bit} != 0 meta mark set meta mark & ${hex(~masqueradeBit)} masquerade fully-random`,
      ],
    },
    {
      name: 'input',
      hook: 'type filter hook input priority 0',
      // The node that announces an address has it: what is not translated, as a packet of a connection that nobody remembers,
      // must reach nothing of the host, and get no reset from it. A process of the host that asks at the address does so from
      // that address: the answers are those of a connection that was translated.
      rules: [
        'ct status dnat accept',
        ...both((ip, n) => `meta l4proto != { icmp, icmpv6 } ${ip} daddr @address${n} drop`),
      ],
    },
    {
      name: 'forward_astray',
      hook: 'type filter hook forward priority 0',
      // What no rule translates, as a ping, or the end of a connection that nobody remembers, goes where the default route leads:
      // to the router that brought it here, where the address is known to routers alone. It would come back until it is too old.
      rules: [
        ...both((ip, n) => `ct state invalid,new ${ip} daddr @address${n} fib daddr . iif oif exists drop`),
        ...(scope === 'all' ? invalidDrops(podInterfaces) : []),
      ],
    },
    ...udpChains(),
  ];
}

/**
 * What connection tracking takes for no part of a connection, as a segment that is outside of the window, is not translated back:
 * a client gets it from the address of the pod, which it has never heard of, and ends the connection by a reset
 * (kubernetes#74839). Beside another Service proxy this is for that one to see to.
 */
function invalidDrops(podInterfaces: readonly string[]): string[] {
  const ends = [
    ...families.flatMap((n) => ['saddr', 'daddr'].map((end) => `${ipOf(n)} ${end} @inside${n}`)),
    ...byInterface('iifname', podInterfaces),
    ...byInterface('oifname', podInterfaces),
  ];
  return ends.map((end) => `ct state invalid meta l4proto { tcp, sctp } ${end} drop`);
}

/** Whether a packet comes in, or goes out, by one of these; nothing where there are none. */
function byInterface(way: 'iifname' | 'oifname', names: readonly string[]): string[] {
  return names.length > 0 ? [`${way} { ${names.map((name) => `"${name}"`).join(', ')} }`] : [];
}

/**
 * A client that keeps its source port stays with an endpoint for as long as the kernel remembers the flow, and its packets
 * keep that memory alive, also when the endpoint is gone. Such a flow is sent to a connection tracking zone of its own,
 * where it is new and is given another endpoint; it costs one packet and touches no other flow.
 */
function udpChains(): Chain[] {
  const zone = families.map((n) => {
    const flow = sentFlowOf(n);
    const renew = `update @moved${n} { ${flow} timeout ${movedFor} : 0 }`;
    return `meta l4proto udp ct original zone set ${flow} map @moved${n} ${renew}`;
  });
  // Only where it was sent to a Service of ours: what others translate to the same endpoint they would send there again.
  const watch = both(
    (ip, n) =>
      `meta l4proto udp ct direction original ct status dnat ${ip} daddr . udp dport @gone${n} ` +
      `ct original ${ip} daddr . ct original proto-dst @udp${n} goto move${n}`,
  );
  // It was known to the kernel before the Service was.
  const untranslated = both(
    (ip, n) =>
      `meta l4proto udp ct direction original ct status & dnat == 0 ${ip} daddr . udp dport @udp${n} goto move${n}`,
  );
  return [
    ...families.map((family) => ({ name: `move${family}`, hook: null, rules: moveRules(family) })),
    { name: 'zone_prerouting', hook: 'type filter hook prerouting priority -310', rules: zone },
    { name: 'zone_output', hook: 'type filter hook output priority -310', rules: zone },
    { name: 'watch_prerouting', hook: 'type filter hook prerouting priority -95', rules: [...watch, ...untranslated] },
    { name: 'watch_output', hook: 'type filter hook output priority -95', rules: [...watch, ...untranslated] },
  ];
}

function moveRules(family: Family): string[] {
  const flow = originalFlowOf(family);
  return [
    `delete @moved${family} { ${flow} : 0 }`,
    // Where there is no room for one more, the rule ends here, and the packet goes on as it would without us.
    `add @moved${family} { ${flow} timeout ${movedFor} : numgen inc mod ${zoneCount} offset ${firstZone} } drop`,
    `counter name ${unmovedCounter}`,
  ];
}

/** Any endpoint of a list is as good as another: a random one. */
export function pickChain(count: number): Chain {
  return { name: `pick_${count}`, hook: null, rules: [choice('numgen random', count), 'goto forward'] };
}

/**
 * A client stays with its endpoint until `timeoutSeconds` after its last new connection. The first choice is a hash of its
 * address, so that all nodes that hold the same list choose alike, and a VIP that moves takes its clients along.
 *
 * A client whose endpoint has left the list finds no endpoint under its key, and chooses again. `update` alone would keep
 * the old choice: it renews the time of an element that is there, and not what it holds.
 */
export function stickyChain(family: Family, count: number, timeoutSeconds: number): Chain {
  const client = `${clientOf(family)} . meta priority`;
  const clientOfList = `${client} & ${hex(listMask)}`;
  const remember = `@affinity${family} { ${clientOfList} timeout ${timeoutSeconds}s : meta priority }`;
  return {
    name: `sticky${family}_${count}_${timeoutSeconds}`,
    hook: null,
    rules: [
      `meta priority set ${client} map @affinity${family}`,
      `meta priority & ${hex(numberMask)} != 0 update ${remember}`,
      'jump forward_sticky',
      `meta priority set meta priority & ${hex(listMask)}`,
      `delete @affinity${family} { ${client} : 0:0 }`,
      choice(`jhash ${ipOf(family)} saddr`, count),
      'meta priority set meta priority map @slot',
      `add ${remember}`,
      'goto forward_sticky',
    ],
  };
}

/** Goes on when the map has no such key. */
function forward(map: 'endpoint' | 'sticky'): string[] {
  return both((ip, n) => `meta l4proto ${transports} dnat ${ip} to meta priority map @${map}${n}`);
}

/** A number from 1 to `count`, added to the list key. */
function choice(by: string, count: number): string {
  if (count === 1) return 'jump slot_1';
  const seed = by.startsWith('jhash') ? ` seed ${hashSeed}` : '';
  const jumps = Array.from({ length: count }, (_, i) => `${i} : jump slot_${i + 1}`);
  return `${by} mod ${count}${seed} vmap { ${jumps.join(', ')} }`;
}

export function slotChain(number: number): Chain {
  return { name: `slot_${number}`, hook: null, rules: [`meta priority set meta priority | ${hex(number)}`] };
}

/** Packets of flows that ought to have left their endpoint, and could not be remembered. */
export const unmovedCounter = 'unmoved';

const transports = '{ tcp, udp, sctp }';
const flagMask = entryFlags.local | entryFlags.external | entryFlags.guarded;
/** Longer than an idle flow lives in the kernel, so that a flow keeps its zone. */
const movedFor = '180s';
const firstZone = 40_000;
const zoneCount = 8_192;
/** The same on all nodes. */
const hashSeed = '0x51c7ce01';

function dispatch(): string[] {
  const { local, external, guarded } = entryFlags;
  return [
    `0x0 : goto internal`,
    `${hex(local)} : goto internal_local`,
    `${hex(external)} : goto external`,
    `${hex(external | local)} : goto external_local`,
    `${hex(external | guarded)} : goto guarded`,
    `${hex(external | guarded | local)} : goto guarded`,
  ];
}

function both(rule: (ip: string, n: Family) => string): string[] {
  return families.map((family) => rule(ipOf(family), family));
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
