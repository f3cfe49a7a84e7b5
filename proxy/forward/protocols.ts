import type { Backend } from '#table/backend.ts';

type Protocol = Backend['protocol'];

export function isHttp2(protocol: Protocol): boolean {
  return protocol === 'h2' || protocol === 'h2c';
}

/** @param isTls the client has come by TLS */
export function speaksTls(protocol: Protocol, isTls: boolean): boolean {
  return protocol === 'https' || protocol === 'h2' || (protocol === 'same-as-client' && isTls);
}
