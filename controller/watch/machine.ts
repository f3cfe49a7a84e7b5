import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { AnyObject } from './objects.ts';
import { readObject } from './read.ts';

/**
 * The Node object that this machine would have in a cluster. Addresses of the interfaces that lead out come first, for the
 * first of a family is the primary one, where node ports are served.
 *
 * @param given addresses that are on an interface because they were given to Services: they are not the machine's own
 */
export function machineNode(name: string, given: ReadonlySet<string>): AnyObject | null {
  const ways = defaultInterfaces();
  const addresses = Object.entries(networkInterfaces())
    .sort(([a], [b]) => Number(ways.has(b)) - Number(ways.has(a)))
    .flatMap(([, infos]) => infos ?? [])
    .filter(({ internal, address }) => !internal && !/^fe80:/i.test(address) && !given.has(address))
    .map(({ address }) => ({ type: 'InternalIP', address }));
  const metadata = { name, labels: { 'kubernetes.io/hostname': name } };
  return readObject('Node', { metadata, status: { addresses } }).object;
}

/** Of both families, from the kernel's tables of routes, where addresses are hexadecimal. */
function defaultInterfaces(): Set<string> {
  const ways = new Set<string>();
  for (const [, name = ''] of textOf('/proc/net/route').matchAll(
    /^(\S+)\t00000000\t\w+\t\w+\t\d+\t\d+\t\d+\t00000000\t/gm,
  )) {
    ways.add(name);
  }
  for (const [, name = ''] of textOf('/proc/net/ipv6_route').matchAll(/^0{32} 00 .* (\S+)$/gm)) {
    // The kernel refuses what goes nowhere by a route of this name.
    if (name !== 'lo') ways.add(name);
  }
  return ways;
}

/** '' where the system has no such file. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
