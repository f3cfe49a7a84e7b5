import type { HandshakeFault } from '../observe/record.ts';

/** What the kernel's or OpenSSL's name for the end of a handshake comes down to. */
export function handshakeFaultOf(name: string): HandshakeFault {
  return words.find(([pattern]) => pattern.test(name))?.[1] ?? 'other';
}

const words: readonly (readonly [RegExp, HandshakeFault])[] = [
  [/_ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA)$/, 'certificate'],
  [/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|VERSION_TOO_LOW|INAPPROPRIATE_FALLBACK/, 'version'],
  [/NO_SHARED_CIPHER|NO_SUITABLE|NO_SHARED_SIGNATURE/, 'cipher'],
  [/NO_APPLICATION_PROTOCOL/, 'protocol'],
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST|WRONG_VERSION_NUMBER/, 'no-tls'],
  [/^E[A-Z]+$/, 'left'],
];
