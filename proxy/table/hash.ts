import { createHash } from 'node:crypto';

/**
 * Content hash of a table: the sum modulo 2^128 of its rows' hashes. A sum does not depend on order and can be carried
 * along row by row, so a change of one row among 100,000 costs two additions, and replicas that hold the same rows
 * have the same hash however they came to them.
 */
export class TableHash {
  #sum = 0n;

  add(rowHash: bigint): void {
    this.#sum = (this.#sum + rowHash) & mask;
  }

  remove(rowHash: bigint): void {
    this.#sum = (this.#sum - rowHash) & mask;
  }

  /** 32 hexadecimal digits. */
  text(): string {
    return this.#sum.toString(16).padStart(32, '0');
  }
}

/** 128 bits of SHA-256 over kind and canonical JSON (which holds the id). */
export function rowHash(kind: string, canonicalRow: string): bigint {
  const digest = createHash('sha256').update(kind).update('\0').update(canonicalRow).digest();
  return (digest.readBigUInt64BE(0) << 64n) | digest.readBigUInt64BE(8);
}

/** JSON with sorted keys and without undefined members, so that equal content is equal text. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members: string[] = [];
  for (const [key, member] of Object.entries(value).sort(byKey)) {
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonicalJson(member)}`);
  }
  return `{${members.join(',')}}`;
}

const mask = (1n << 128n) - 1n;

function byKey([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}
