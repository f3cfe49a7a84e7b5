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

/**
 * JSON with sorted keys and without undefined members, so that equal content is equal text. Every row of every table goes
 * through here: a copy in order is a third cheaper to write out than the parts of a text are to put together.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(inOrder(value)) ?? 'null';
}

function inOrder(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.length === 0 ? value : value.map(inOrder);
  const members = value as Readonly<Record<string, unknown>>;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(members).sort()) {
    const member = inOrder(members[key]);
    // To be assigned to this one is to become the prototype.
    if (key === '__proto__') Object.defineProperty(copy, key, { value: member, enumerable: true });
    else copy[key] = member;
  }
  return copy;
}

const mask = (1n << 128n) - 1n;
