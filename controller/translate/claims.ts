import type { Draft } from './draft.ts';

/** Who was the first to say each prefix of a host. */
export class Claims {
  /** By path in lower case, for expressions do not tell cases apart. Oldest first. */
  readonly #byFolded = new Map<string, { path: string; draft: Draft }[]>();

  /** To be called in order of age. */
  add(path: string, draft: Draft): void {
    const folded = path.toLowerCase();
    const known = this.#byFolded.get(folded);
    if (known === undefined) this.#byFolded.set(folded, [{ path, draft }]);
    else known.push({ path, draft });
  }

  of(path: string): Draft | undefined {
    return this.#byFolded.get(path.toLowerCase())?.find((claim) => claim.path === path)?.draft;
  }

  /** Who has the same path by elements (Ingress API, path type Prefix): "/foo" and "/foo/", however nginx tells them apart. */
  ofTwin(path: string): Draft | undefined {
    if (path === '') return undefined;
    return this.of(path.endsWith('/') ? path.slice(0, -1) : `${path}/`);
  }

  /** Who was the first to have a path, with a slash or without, whatever the case. */
  ofElement(path: string): Draft | undefined {
    if (path === '') return undefined;
    const bare = path.toLowerCase().replace(/\/$/, '');
    const [a, b] = [bare, `${bare}/`].map((each) => this.#byFolded.get(each)?.[0]?.draft);
    return a === undefined || (b !== undefined && b.age < a.age) ? b : a;
  }
}
