import { get } from 'node:http';
import type { AnnouncerStatus } from '../announce/announcer.ts';

/** What the page /status of an agent shows. */
export interface EdgeStatus {
  readonly node: string;
  readonly services: string;
  /** null when the plan is in force, else why not. */
  readonly unreadyReason: string | null;
  readonly plan: { readonly hash: string; readonly generation: number };
  readonly rows: { readonly [kind: string]: number };
  readonly rules: { readonly transactions: number; readonly lastMs: number; readonly failures: number };
  /** Flows that the kernel remembers, and how many it can; null where it does not say. */
  readonly conntrack: { readonly count: number; readonly max: number } | null;
  readonly announcing: readonly AnnouncerStatus[];
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

/** Asks the agent of this machine. @throws when none answers */
export async function askAgent<T>(page: string, admin: { adminAddress: string; adminPort: number }): Promise<T> {
  const host = admin.adminAddress === '' ? '127.0.0.1' : admin.adminAddress;
  const text = await new Promise<string>((resolve, reject) => {
    const refuse = () => reject(new Error(`no agent answers on ${host} port ${admin.adminPort}`));
    get({ host, port: admin.adminPort, path: page, timeout: 5_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => (response.statusCode === 200 ? resolve(Buffer.concat(chunks).toString()) : refuse()));
    })
      .on('error', refuse)
      .on('timeout', refuse);
  });
  return JSON.parse(text) as T;
}

/** For a person at a terminal. */
export function statusText(status: EdgeStatus): string {
  const { node, services, unreadyReason, plan, rows, rules, conntrack, announcing, problems } = status;
  const used = conntrack === null ? 'unknown' : `${conntrack.count} of ${conntrack.max} flows`;
  const lines: [string, string][] = [
    ['node', `${node}, serving ${services}`],
    ['state', unreadyReason ?? 'in force'],
    ['plan', `generation ${plan.generation}, hash ${plan.hash || 'none'}`],
    [
      'rows',
      Object.entries(rows)
        .map(([kind, count]) => `${count} ${kind}`)
        .join(', '),
    ],
    [
      'rules',
      `${rules.transactions} transactions, the last took ${rules.lastMs.toFixed(1)} ms, ${rules.failures} refused`,
    ],
    ['conntrack', used],
  ];
  const announced = announcing.flatMap(announcedLines);
  const told = problems.map(({ code, message }) => `  ${code}: ${message}\n`);
  return [...lines.map(lineOf), ...announced, lineOf(['problems', String(problems.length)]), ...told].join('');
}

function announcedLines({ way, addresses, peers }: AnnouncerStatus): string[] {
  const count = addresses.filter(({ isAnnounced }) => isAnnounced).length;
  const up = peers.filter(({ isUp }) => isUp).length;
  return [
    lineOf([way, `${count} of ${addresses.length} addresses announced here, ${up} of ${peers.length} peers`]),
    ...addresses.map(({ address, detail }) => `  ${address} ${detail}\n`),
    ...peers.map(({ name, detail }) => `  ${name} ${detail}\n`),
  ];
}

function lineOf([name, value]: [string, string]): string {
  return `${name.padEnd(10)} ${value}\n`;
}
