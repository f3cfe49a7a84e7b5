import { execFile } from 'node:child_process';
import { access, constants, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { reasonOf } from '#kit/reason.ts';
import type { PlanRows } from '#table/plan.ts';
import { conntrackUse } from './conntrack.ts';
import { layoutText } from './layout.ts';
import { runNft } from './nft.ts';
import { askAgent, type EdgeStatus } from './status.ts';

/** What a check may look at: this machine, and the plan of its agent. Nothing is changed to find out. */
export interface HostFacts {
  /** Effective capabilities, as bits. */
  readonly capabilities: bigint;
  /** null: there is no nft. */
  readonly nftVersion: string | null;
  /** Programs that are not there, of those by which neighbours are told. */
  readonly missingTools: readonly string[];
  /** Why the kernel would not take our table; null: it would. */
  readonly tableRefusal: string | null;
  /** null: there is no BIRD. */
  readonly birdVersion: string | null;
  /** As `ip kube-proxy`. */
  readonly tables: readonly string[];
  /** Values by name, as `net.ipv4.ip_forward`; those that are not there are absent. */
  readonly sysctls: ReadonlyMap<string, string>;
  readonly interfaces: readonly Interface[];
  /** Interfaces of the default routes, by family. */
  readonly defaultInterfaces: { readonly 4: readonly string[]; readonly 6: readonly string[] };
  /** Ports that processes listen on, `tcp 22`. */
  readonly listening: ReadonlySet<string>;
  readonly conntrack: { readonly count: number; readonly max: number } | null;
  /** Of the running agent; null: none answers. */
  readonly agent: { readonly status: EdgeStatus; readonly plan: PlanDump } | null;
}

interface Interface {
  readonly name: string;
  /** As `172.30.0.1/24`. */
  readonly addresses: readonly string[];
}

/** A plan as the page shows it: rows by id. */
type PlanDump = { readonly [K in keyof PlanRows]: { readonly [id: string]: PlanRows[K] } };

export async function gatherFacts(admin: { adminAddress: string; adminPort: number }): Promise<HostFacts> {
  const interfaces = await readInterfaces();
  return {
    capabilities: BigInt(`0x${/CapEff:\s*(\w+)/.exec(await readFile('/proc/self/status', 'utf8'))?.[1] ?? '0'}`),
    nftVersion: await runNft(['--version']).then(
      (text) => /v(\d+\.\d+\.\d+)/.exec(text)?.[1] ?? '0.0.0',
      () => null,
    ),
    missingTools: await missingOf(['arping', 'ndptool']),
    tableRefusal: await runNft(
      ['-c', '-f', '-'],
      [layoutText({ masqueradeBit: 1, podInterfaces: [], scope: 'all' })],
    ).then(() => null, reasonOf),
    birdVersion: await run('bird', ['--version']).then(
      ({ stdout, stderr }) => /version (\S+)/.exec(stdout + stderr)?.[1] ?? '0.0.0',
      () => null,
    ),
    tables: await runNft(['list', 'tables']).then(
      (text) => text.split('\n').map((line) => line.replace(/^table /, '')),
      () => [],
    ),
    sysctls: await readSysctls(interfaces),
    interfaces,
    defaultInterfaces: { 4: await readDefaultInterfaces('-4'), 6: await readDefaultInterfaces('-6') },
    listening: await readListening(),
    conntrack: await conntrackUse(),
    agent: await readAgent(admin),
  };
}

const run = promisify(execFile);

async function missingOf(programs: readonly string[]): Promise<string[]> {
  const folders = (process.env['PATH'] ?? '').split(':');
  const missing = await Promise.all(
    programs.map(async (program) => {
      const found = await Promise.all(
        folders.map((folder) =>
          access(join(folder, program), constants.X_OK).then(
            () => true,
            () => false,
          ),
        ),
      );
      return found.includes(true) ? [] : [program];
    }),
  );
  return missing.flat();
}

const Links = z.array(
  z.object({
    ifname: z.string(),
    addr_info: z.array(z.object({ local: z.string(), prefixlen: z.number(), scope: z.string() })).default([]),
  }),
);
const Routes = z.array(
  z.object({ dev: z.string().optional(), nexthops: z.array(z.object({ dev: z.string() })).optional() }),
);

async function readInterfaces(): Promise<Interface[]> {
  const links = await ipJson(['address'], Links);
  return (links ?? []).map(({ ifname, addr_info }) => ({
    name: ifname,
    addresses: addr_info
      .filter(({ scope }) => scope === 'global')
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));
}

async function readDefaultInterfaces(family: string): Promise<string[]> {
  const routes = await ipJson([family, 'route', 'show', 'default'], Routes);
  return (routes ?? []).flatMap(({ dev, nexthops }) => [
    ...(dev === undefined ? [] : [dev]),
    ...(nexthops ?? []).map((hop) => hop.dev),
  ]);
}

/** null: there is no ip, or it says something else. */
async function ipJson<T>(args: readonly string[], schema: z.ZodType<T>): Promise<T | null> {
  try {
    const { stdout } = await run('ip', ['-j', ...args], { maxBuffer: mostBytes });
    return schema.parse(JSON.parse(stdout || '[]'));
  } catch {
    return null;
  }
}

/** Beside kube-proxy with IPVS an interface has the addresses of all Services, of 150 bytes each. */
const mostBytes = 256 * 1_048_576;

async function readSysctls(interfaces: readonly Interface[]): Promise<Map<string, string>> {
  const perInterface = ['all', ...interfaces.map(({ name }) => name)].flatMap((name) =>
    ['rp_filter', 'arp_ignore', 'arp_announce'].map((key) => `net/ipv4/conf/${name}/${key}`),
  );
  const paths = [
    'net/ipv4/ip_forward',
    'net/ipv6/conf/all/forwarding',
    'net/bridge/bridge-nf-call-iptables',
    ...perInterface,
  ];
  const values = new Map<string, string>();
  for (const path of paths) {
    const text = await readFile(`/proc/sys/${path}`, 'utf8').catch(() => null);
    if (text !== null) values.set(path.replaceAll('/', '.'), text.trim());
  }
  return values;
}

/** From /proc/net, whose lines have the local address as hexadecimal `address:port` and the state. */
async function readListening(): Promise<Set<string>> {
  const ports = new Set<string>();
  for (const file of await readdir('/proc/net').catch(() => [])) {
    const protocol = /^(tcp|udp)6?$/.exec(file)?.[1];
    if (protocol === undefined) continue;
    const text = await readFile(`/proc/net/${file}`, 'utf8').catch(() => '');
    for (const [, port = '', state] of text.matchAll(/^ *\d+: \w+:(\w{4}) \w+:\w{4} (\w\w)/gm)) {
      // 0A is LISTEN; UDP sockets that wait for anybody are in state 07.
      if (state === '0A' || state === '07') ports.add(`${protocol} ${Number.parseInt(port, 16)}`);
    }
  }
  return ports;
}

async function readAgent(admin: { adminAddress: string; adminPort: number }): Promise<HostFacts['agent']> {
  try {
    const [status, plan] = [await askAgent<EdgeStatus>('/status', admin), await askAgent<PlanDump>('/plan', admin)];
    return { status, plan };
  } catch {
    return null;
  }
}
