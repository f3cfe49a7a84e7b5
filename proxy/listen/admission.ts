import type { Counter } from '../carry/link.ts';
import type { TurnAwayReason } from '../observe/record.ts';
import type { Gate } from './gate.ts';
import type { Source } from './sources.ts';

/** Where one connection is counted, from accept to close. A PROXY header may say that it is somebody else's. */
export class Admission implements Counter {
  readonly #gate: Gate;
  #source: Source;
  #isReady = false;
  #isSecure = false;

  constructor(gate: Gate, source: Source) {
    this.#gate = gate;
    this.#source = source;
  }

  get source(): Source {
    return this.#source;
  }

  /** It is past what comes before its protocol, or needs none of it. */
  ready(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#gate.ready(this.#source);
  }

  /** Its TLS begins. */
  secure(): void {
    this.#isSecure = true;
    this.#gate.secure++;
  }

  /** @returns why the client that a PROXY header told of may not come; null: it may, and is counted from now on */
  told(address: string, isTrusted: boolean, isNascent: boolean): TurnAwayReason | null {
    const source = this.#gate.recount(this.#source, address, isTrusted, isNascent);
    if (typeof source === 'string') return source;
    this.#source = source;
    return null;
  }

  offended(): void {
    this.#gate.offended(this.#source);
  }

  shed(): void {
    this.#gate.shed(this.#source);
  }

  left(): void {
    if (this.#isSecure) this.#gate.secure--;
    if (this.#isReady) this.#gate.unready(this.#source);
    this.#gate.left(this.#source);
  }
}
