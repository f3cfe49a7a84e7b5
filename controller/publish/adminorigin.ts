import { BlockList, isIP } from 'node:net';
import { metadataAddresses } from '#table/metadata.ts';

/**
 * Where the admin pages of a reader are, by what it says (`10.0.0.1:10254`, `:10254` for where it comes from). Our own pages
 * pass requests on to it, so what a reader may name is an address of a machine: none of the link, where clouds keep their
 * metadata, no group, and loopback only for one that is on this machine itself.
 *
 * @param peer address that the reader is seen to come from
 * @returns `http://10.0.0.1:10254`; null when it says nothing, or what it may not
 */
export function adminOrigin(told: string | null | undefined, peer: string | undefined): string | null {
  const parts = /^(?:\[([\da-f:.]+)\]|([\d.]*)):(\d{1,5})$/i.exec(told ?? '');
  if (parts === null || peer === undefined) return null;
  const [, six = '', four = '', port = ''] = parts;
  const from = peer.replace(/^::ffff:(?=\d+\.)/i, '');
  const address = six || four || from;
  const family = isIP(address);
  const isPort = Number(port) > 0 && Number(port) < 65_536;
  if (family === 0 || !isPort) return null;
  const isIn = (list: BlockList, of: string) => list.check(of, isIP(of) === 6 ? 'ipv6' : 'ipv4');
  if (isIn(forbidden, address) || (isIn(loopback, address) && !isIn(loopback, from))) return null;
  return `http://${family === 6 ? `[${address}]` : address}:${Number(port)}`;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');
loopback.addSubnet('0.0.0.0', 8, 'ipv4');
loopback.addAddress('::', 'ipv6');

const forbidden = new BlockList();
forbidden.addSubnet('169.254.0.0', 16, 'ipv4');
forbidden.addSubnet('fe80::', 10, 'ipv6');
forbidden.addSubnet('224.0.0.0', 3, 'ipv4');
forbidden.addSubnet('ff00::', 8, 'ipv6');
for (const address of metadataAddresses) forbidden.addAddress(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
