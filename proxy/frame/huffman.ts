/**
 * The Huffman code of RFC 7541 Appendix B. It is canonical: codes follow from their lengths, shorter first, and of one
 * length by symbol. So the lengths are all there is to write down; the last is that of EOS.
 */
const codeLengths: readonly number[] = [
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30,
];

const endOfString = 256;
const codes = new Uint32Array(257);
const lengths = new Uint8Array(codeLengths);

/**
 * The code as a machine that takes four bits at a time: state and bits to the next state, and the symbol that they
 * complete, if any (no code is shorter than five bits, so never two). Bits 0-7: symbol, 8: has one, 9: a string may end
 * here, 10: it may not go on (EOS, RFC 7541 §5.2), 16 and up: next state times 16.
 */
const machine = new Uint32Array(256 * 16);
const hasSymbol = 0x100;
const mayEnd = 0x200;
const isBroken = 0x400;

build();

function build(): void {
  // The code's tree: two children for each inner node; negative numbers are symbols.
  const children: number[] = [0, 0];
  let code = 0;
  for (let length = 5; length <= 30; length++) {
    for (let symbol = 0; symbol <= endOfString; symbol++) {
      if (lengths[symbol] !== length) continue;
      codes[symbol] = code;
      insert(children, code++, length, symbol);
    }
    code *= 2;
  }
  // Padding is fewer than eight one bits (RFC 7541 §5.2): a string may end up to seven ones below the root.
  const endings = new Set<number>([0]);
  for (let node = 0, ones = 1; ones < 8; ones++) {
    node = children[node * 2 + 1] as number;
    endings.add(node);
  }
  for (let node = 0; node < children.length / 2; node++) {
    for (let bits = 0; bits < 16; bits++) machine[node * 16 + bits] = step(children, endings, node, bits);
  }
}

function insert(children: number[], code: number, length: number, symbol: number): void {
  let node = 0;
  for (let bit = length - 1; bit > 0; bit--) {
    const slot = node * 2 + ((code >>> bit) & 1);
    if (children[slot] === 0) {
      children[slot] = children.length / 2;
      children.push(0, 0);
    }
    node = children[slot] as number;
  }
  children[node * 2 + (code & 1)] = -1 - symbol;
}

function step(children: readonly number[], endings: ReadonlySet<number>, start: number, bits: number): number {
  let node = start;
  let found = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = children[node * 2 + ((bits >>> bit) & 1)] as number;
    if (next === -1 - endOfString) return isBroken;
    if (next < 0) found = hasSymbol | (-1 - next);
    node = Math.max(next, 0);
  }
  return (node << 16) | found | (endings.has(node) ? mayEnd : 0);
}

/**
 * Decodes `source[start, end)` into `target` from `at` on, which must have room for 8/5 of it.
 * @returns the offset after the last byte written, or -1 when it is no such code
 */
export function decodeHuffman(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  let to = at;
  let entry = mayEnd;
  for (let i = start; i < end; i++) {
    const byte = source[i] as number;
    entry = machine[((entry >>> 16) << 4) | (byte >>> 4)] as number;
    if ((entry & hasSymbol) !== 0) target[to++] = entry;
    else if ((entry & isBroken) !== 0) return -1;
    entry = machine[((entry >>> 16) << 4) | (byte & 15)] as number;
    if ((entry & hasSymbol) !== 0) target[to++] = entry;
    else if ((entry & isBroken) !== 0) return -1;
  }
  return (entry & mayEnd) !== 0 ? to : -1;
}

/** @returns bytes that the latin1 text takes when encoded */
export function huffmanLength(text: string): number {
  let bits = 7;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i) & 0xff] as number;
  return bits >>> 3;
}

/** @returns the offset after the last byte written */
export function encodeHuffman(text: string, target: Uint8Array, at: number): number {
  let to = at;
  let held = 0;
  let heldBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    let left = lengths[symbol] as number;
    const code = codes[symbol] as number;
    // At most 7 bits are held and 16 are added: all of it fits 32-bit integers.
    while (left > 16) {
      left -= 8;
      held = (held << 8) | ((code >>> left) & 0xff);
      target[to++] = held >>> heldBits;
    }
    held = (held << left) | (code & ((1 << left) - 1));
    heldBits += left;
    while (heldBits >= 8) {
      heldBits -= 8;
      target[to++] = held >>> heldBits;
    }
    held &= 0x7f;
  }
  if (heldBits > 0) target[to++] = (held << (8 - heldBits)) | (0xff >>> heldBits);
  return to;
}
