/** What several Services may want, and one can have. */
interface Claim {
  readonly owner: string;
  /** The lowest wins, then the name of the owner: every node must come to the same answer. */
  readonly rank: number;
  readonly value: string;
}

/**
 * Elements that are not one Service's by their key: an address and port that two Services name, a local endpoint that is in
 * two lists. The element has the value of the best claim, and stays until the last one goes.
 */
export class Claims {
  /** Nearly all have one claim; those with more are kept as lists. */
  readonly #claims = new Map<string, Claim | Claim[]>();

  put(element: string, claim: Claim): void {
    if (!this.#claims.has(element)) {
      this.#claims.set(element, claim);
      return;
    }
    const others = this.#of(element).filter(({ owner }) => owner !== claim.owner);
    this.#claims.set(element, others.length === 0 ? claim : [...others, claim].sort(byRank));
  }

  drop(element: string, owner: string): void {
    const others = this.#of(element).filter((claim) => claim.owner !== owner);
    const best = others[0];
    if (best === undefined) this.#claims.delete(element);
    else this.#claims.set(element, others.length === 1 ? best : others);
  }

  /** The claim that holds; null when nobody wants the element. */
  best(element: string): Claim | null {
    const claims = this.#claims.get(element) ?? null;
    return Array.isArray(claims) ? (claims[0] ?? null) : claims;
  }

  /** What this owner claims; null: not this element. */
  of(element: string, owner: string): Claim | null {
    return this.#of(element).find((claim) => claim.owner === owner) ?? null;
  }

  /** Elements that several claim. */
  *contested(): Iterable<{ element: string; best: Claim; others: readonly Claim[] }> {
    for (const [element, claims] of this.#claims) {
      if (!Array.isArray(claims)) continue;
      const [best, ...others] = claims;
      if (best !== undefined) yield { element, best, others };
    }
  }

  elements(): Iterable<string> {
    return this.#claims.keys();
  }

  #of(element: string): readonly Claim[] {
    const claims = this.#claims.get(element);
    return claims === undefined ? [] : Array.isArray(claims) ? claims : [claims];
  }
}

function byRank(a: Claim, b: Claim): number {
  return a.rank - b.rank || (a.owner < b.owner ? -1 : 1);
}
