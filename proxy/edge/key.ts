/**
 * How a packet's way through the rules is written into 32 bits, its key. It lives in the packet's priority while the rules
 * look for an endpoint: a mark would have to be shared with network plug-ins, and a priority comes in as 0 and is set anew
 * by forwarding. The highest bit tells ours from priorities that sockets ask for.
 *
 *     31   30 … 13            12      11 … 0
 *     1    port of a Service  local   entry: flags · list: 0 · endpoint: a number from 1 to maxListEndpoints
 */
export const ourBit = 0x8000_0000;
export const localBit = 0x1000;
export const portMask = 0xffff_e000;
export const listMask = 0xffff_f000;
export const numberMask = 0xfff;

/** Of an entry. guarded: source ranges are looked at first. */
export const entryFlags = { local: 1, external: 2, guarded: 4 } as const;

/** Ports of Services, counted once per address family, that can be told apart. */
export const maxPortId = (1 << 18) - 1;

/** @param id 1 to maxPortId */
export function portKey(id: number): number {
  return (ourBit | (id << 13)) >>> 0;
}

/** As nft reads and writes it: a handle of traffic control. */
export function keyText(key: number): string {
  return `${((key >>> 16) & 0xffff).toString(16)}:${(key & 0xffff).toString(16)}`;
}

/** Takes what `keyText` made. */
export function parseKey(text: string): number {
  const [major = '', minor = ''] = text.split(':');
  return ((Number.parseInt(major, 16) << 16) | Number.parseInt(minor, 16)) >>> 0;
}

export function portIdOf(key: number): number {
  return (key & ~ourBit) >>> 13;
}
