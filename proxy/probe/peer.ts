import { isIP, isIPv6 } from 'node:net';
import type { Backend, Endpoint } from '#table/backend.ts';
import { endpointKey } from '../select/endpoint.ts';

/** Options of a TLS connection to an endpoint, as the backend's row wants it. */
export interface PeerTls {
  readonly servername: string;
  readonly rejectUnauthorized: boolean;
  readonly ca?: string | [];
}

/** One endpoint that is asked, and how it is spoken to. */
export interface Peer {
  readonly endpoint: Endpoint;
  /** null: in the clear. */
  readonly tls: PeerTls | null;
}

/** @param caPem CA bundle of a secret row; null: there is none, and then nobody is believed */
export function tlsOf({ protocol, tls }: Backend, caPem: (secretId: string) => string | null): PeerTls | null {
  if (protocol !== 'https' && tls === null) return null;
  const serverName = tls?.serverName ?? '';
  const servername = isIP(serverName) === 0 ? serverName : '';
  if (tls?.caSecretId == null) return { servername, rejectUnauthorized: false };
  return { servername, rejectUnauthorized: true, ca: caPem(tls.caSecretId) ?? [] };
}

export function originOf({ endpoint, tls }: Peer): string {
  return `${tls === null ? 'http' : 'https'}://${endpointKey(endpoint.address, endpoint.port)}`;
}

/** What the endpoint is called where the row has no name for it. */
export function hostOf({ endpoint: { address } }: Peer): string {
  return isIPv6(address) ? `[${address}]` : address;
}

export const userAgent = 'sluice-probe';
