import { z } from 'zod';

/** IPv4 in dotted form, or IPv6 as RFC 5952 writes it: one text per address, because rows are compared by text. */
export const Address = z.union([z.ipv4(), z.ipv6()]);
/** An address and a prefix length. */
export const Prefix = z.union([z.cidrv4(), z.cidrv6()]);
export const Port = z.int().min(1).max(65535);
