import ipaddr from 'ipaddr.js';
import type { Origin } from './flow.ts';

/**
 * The header that tells a backend where a TCP connection comes from (haproxy.org/download/3.2/doc/proxy-protocol.txt). Where both
 * addresses are not of one family, IPv4 is written as IPv6, for the protocol has one family only.
 */
export function buildProxyHeader(version: 'v1' | 'v2', origin: Origin): Buffer {
  // The socket of a client that is gone already has no addresses.
  const isKnown = ipaddr.isValid(origin.address) && ipaddr.isValid(origin.localAddress);
  if (!isKnown) return version === 'v1' ? unknownLine : unknownHeader;
  const source = ipaddr.parse(origin.address);
  const destination = ipaddr.parse(origin.localAddress);
  const isV4 = source.kind() === 'ipv4' && destination.kind() === 'ipv4';
  const { port, localPort } = origin;
  if (version === 'v1') {
    const text = (address: Address) => (isV4 ? address.toString() : v6(address).toRFC5952String());
    const line = `PROXY ${isV4 ? 'TCP4' : 'TCP6'} ${text(source)} ${text(destination)} ${port} ${localPort}\r\n`;
    return Buffer.from(line, 'latin1');
  }
  const bytes = (address: Address) => (isV4 ? address : v6(address)).toByteArray();
  const addresses = [...bytes(source), ...bytes(destination), port >> 8, port & 255, localPort >> 8, localPort & 255];
  return Buffer.concat([signature, Buffer.from([0x21, isV4 ? 0x11 : 0x21, 0, addresses.length, ...addresses])]);
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const unknownLine = Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
const unknownHeader = Buffer.concat([signature, Buffer.from([0x21, 0x00, 0, 0])]);

function v6(address: Address): ipaddr.IPv6 {
  return address instanceof ipaddr.IPv4 ? address.toIPv4MappedAddress() : address;
}
