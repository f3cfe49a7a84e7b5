/** A connection that answers some of what comes by itself. */
interface Talker {
  /** Ends it where it was made to do more than an honest peer asks for. */
  look(): void;
  /** Reads nothing until letGo(), whatever is wanted of it. */
  hold(): void;
  letGo(): void;
}

/**
 * Nobody is told of what TLS answers by itself, so it has to be looked for: a look at one connection is a few ns, and in the time
 * between two a worker that does nothing else is brought to some 10 MB.
 */
class Talkers {
  /** What those have taken to read into, and connections to backends for TLS; V8 does not count it. */
  roomBytes = 0;
  /** Of these, what is still to be taken, in the handshakes that have begun. */
  promisedBytes = 0;
  /** None reads before the next turn, nor do those that begin, or are resumed, in this one. */
  isHeld = false;
  readonly #all = new Set<Talker>();
  #timer: NodeJS.Timeout | null = null;

  add(talker: Talker): void {
    this.#all.add(talker);
    this.#timer ??= setInterval(this.#look, lookEveryMs).unref();
  }

  delete(talker: Talker): void {
    this.#all.delete(talker);
    if (this.#all.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /**
   * None reads any more in this turn of the loop, where thousands may be about to: what is ended now comes free only at its end.
   */
  hold(): void {
    if (this.isHeld) return;
    this.isHeld = true;
    for (const talker of this.#all) talker.hold();
    setImmediate(this.#letGo);
  }

  readonly #letGo = (): void => {
    this.isHeld = false;
    for (const talker of this.#all) talker.letGo();
  };

  readonly #look = (): void => {
    for (const talker of this.#all) talker.look();
  };
}

export const talkers: Talkers = new Talkers();

const lookEveryMs = 1_000;
