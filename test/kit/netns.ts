import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * For the `skip` of a test: false where network namespaces can be made and `tools` are there, else the reason. With CI set,
 * a missing tool is a failure.
 */
export async function skipWithoutNetns(tools: readonly string[] = ['nft', 'sysctl']): Promise<string | false> {
  const reason = await missing(tools);
  if (reason !== false && process.env['CI'] === 'true') throw new Error(reason);
  return reason;
}

async function missing(tools: readonly string[]): Promise<string | false> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'network namespaces need root on Linux';
  for (const tool of ['ip', ...tools]) {
    const isThere = await run('which', [tool]).then(
      () => true,
      () => false,
    );
    if (!isThere) return `needs ${tool}`;
  }
  return run('ip', ['netns', 'list']).then(
    () => false,
    () => 'network namespaces cannot be made here',
  );
}

/** A machine of its own, as far as the network goes. */
export class Netns {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /** `name` need only be unique within this process. */
  static async make(name: string): Promise<Netns> {
    await removeOrphans();
    const netns = new Netns(`${prefix}${process.pid}-${name}`);
    await run('ip', ['netns', 'add', netns.name]);
    await netns.ip('link set lo up');
    // Without its link-local address, which is on probation for a second or two, a router finds no neighbours.
    await netns.sysctl('net.ipv6.conf.default.accept_dad=0');
    return netns;
  }

  /** What goes before a command that is to run in here. It becomes the command, with the same process id. */
  get entry(): string[] {
    return ['ip', 'netns', 'exec', this.name];
  }

  /** `ip` commands, without the word. */
  async ip(...commands: string[]): Promise<void> {
    for (const command of commands) await run('ip', ['-n', this.name, ...command.split(' ')]);
  }

  /** @returns what it prints; rejects when it fails */
  async exec(command: string, ...args: string[]): Promise<string> {
    return (await run('ip', ['netns', 'exec', this.name, command, ...args], { maxBuffer: 64 * 1_048_576 })).stdout;
  }

  /** As after the address has not been spoken with for long. */
  async forgetNeighbour(address: string, link = 'eth0'): Promise<void> {
    await this.ip(`neigh del ${address} dev ${link}`).catch(() => {});
  }

  /** `net.ipv4.ip_forward=1` */
  async sysctl(...settings: string[]): Promise<void> {
    await this.exec('sysctl', '-qw', ...settings);
  }

  async remove(): Promise<void> {
    await run('ip', ['netns', 'delete', this.name]).catch(() => {});
  }
}

/** Joins two namespaces by a cable. */
export async function cable(a: Netns, nameAtA: string, b: Netns, nameAtB: string): Promise<void> {
  await a.ip(`link add ${nameAtA} type veth peer name ${nameAtB} netns ${b.name}`, `link set ${nameAtA} up`);
  await b.ip(`link set ${nameAtB} up`);
}

const prefix = 'sluice-test-';
let orphans: Promise<void> | null = null;

/** What test processes left behind that were killed. */
function removeOrphans(): Promise<void> {
  orphans ??= (async () => {
    for (const name of await readdir('/run/netns').catch(() => [])) {
      const pid = Number(/^sluice-test-(\d+)-/.exec(name)?.[1]);
      if (pid > 0 && !isAlive(pid)) await run('ip', ['netns', 'delete', name]).catch(() => {});
    }
  })();
  return orphans;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
