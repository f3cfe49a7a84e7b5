import { isIPv6 } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Backend, Endpoint } from '#table/backend.ts';
import { speaksTls } from '../forward/protocols.ts';
import { anyCertificate, type PeerOptions, type TlsMaterial, TlsProfile } from '../forward/tlsprofile.ts';
import { endpointKey } from '../select/endpoint.ts';

/** One endpoint that is asked, and how it is spoken to. */
export interface Peer {
  readonly endpoint: Endpoint;
  /** It speaks HTTP/2 and nothing else. */
  readonly isHttp2: boolean;
  /** null: in the clear. */
  readonly tls: PeerOptions | null;
  /** Requests come with TLS and without, as their clients do: it is well if it answers either way. */
  readonly isAlsoClear: boolean;
}

/** As requests of the backend speak TLS. Of key material that cannot be used, no endpoint is well. */
export function tlsOf({ protocol, tls }: Backend, material: TlsMaterial): Peer['tls'] {
  if (!speaksTls(protocol, true)) return null;
  const profile = tls === null ? anyCertificate : new TlsProfile(tls, material);
  return profile.options() ?? nobody;
}

const nobody: PeerOptions = {
  secureContext: createSecureContext({ ca: [] }),
  servername: '',
  rejectUnauthorized: true,
  identityFault: () => new Error('unusable key material'),
};

export function originOf({ endpoint, tls }: Peer): string {
  return `${tls === null ? 'http' : 'https'}://${endpointKey(endpoint.address, endpoint.port)}`;
}

/** What the endpoint is called where the row has no name for it. */
export function hostOf({ endpoint: { address } }: Peer): string {
  return isIPv6(address) ? `[${address}]` : address;
}

export const userAgent = 'sluice-probe';
