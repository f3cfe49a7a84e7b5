import ipaddr from 'ipaddr.js';
import { metadataAddresses } from '#table/metadata.ts';

/** The Host row id and the hostname that stand for every host. */
export const everyHost = '*';

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const dnsName = new RegExp(`^${label}(?:\\.${label})*$`);

/**
 * An Ingress host in the form of Host rows: lower case, `*` when absent. undefined: not a DNS name, nor `*.` and one.
 * Addresses are refused as the API server does it, for a Host header may hold one.
 */
export function hostnameOf(host: string | undefined): string | undefined {
  if (host === undefined || host === '') return everyHost;
  const name = host.toLowerCase();
  const suffix = name.startsWith('*.') ? name.slice(2) : name;
  if (name.length > 253 || !dnsName.test(suffix) || ipaddr.isValid(suffix)) return undefined;
  return name;
}

/** `shop.example.com` → `*.example.com`: the one-label wildcard that covers it; undefined for wildcards and bare labels. */
export function wildcardOf(hostname: string): string | undefined {
  const dot = hostname.indexOf('.');
  return dot <= 0 || hostname.startsWith('*') ? undefined : `*${hostname.slice(dot)}`;
}

/** Whether a name of a certificate or TLS entry covers a host: equal, or a wildcard for its first label (RFC 6125 §6.4.3). */
export function coversHost(name: string, hostname: string): boolean {
  const lower = name.toLowerCase();
  return lower === hostname || lower === wildcardOf(hostname);
}

type LocalFault = 'loopback' | 'link-local' | 'unspecified' | 'the metadata service of a cloud';

/**
 * Whether an address, or a name, reaches the machine of the gateway itself or its link (RFC 1122 §3.2.1.3, RFC 3927, RFC 4291 §2.5),
 * or what its cloud tells that machine alone.
 */
export function localFault(addressOrName: string): LocalFault | undefined {
  const name = addressOrName.toLowerCase().replace(/\.$/, '');
  if (name === 'localhost' || name.endsWith('.localhost')) return 'loopback';
  if (!ipaddr.isValid(name)) return undefined;
  const address = ipaddr.process(name);
  const range = address.range();
  if (range === 'loopback' || range === 'unspecified') return range;
  if (range === 'linkLocal') return 'link-local';
  return metadataAddresses.has(address.toString()) ? 'the metadata service of a cloud' : undefined;
}

/** An address as endpoints hold it: four decimal parts, or IPv6; not the short and hexadecimal forms that inet_aton takes. */
export function isAddress(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text);
}

/** A name that a resolver can be asked for; underscores are common inside clusters. */
export function isResolvableName(name: string): boolean {
  return name.length <= 253 && /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/.test(name) && !name.includes('..');
}
