import { z } from 'zod';

/**
 * IPv4 in dotted form, or IPv6 in its one short form: whoever compares addresses compares texts, and users write one address
 * in many ways.
 */
export const Address = z.union([z.ipv4(), z.ipv6().transform(shortForm)]);
/** An address and a prefix length. */
export const Prefix = z.union([z.cidrv4(), z.cidrv6()]);
export const Port = z.int().min(1).max(65535);

function shortForm(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
