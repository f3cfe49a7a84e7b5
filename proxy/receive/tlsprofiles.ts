import type { UpstreamTls } from '#table/upstreamtls.ts';
import { type TlsMaterial, TlsProfile, tlsContent } from '../forward/tlsprofile.ts';

interface Shared {
  readonly profile: TlsProfile;
  readonly content: string;
  users: number;
}

/** The TLS profiles of all backends, equal ones once; new key material makes a new one, and the old one goes with its last user. */
export class TlsProfiles {
  readonly #byContent = new Map<string, Shared>();
  readonly #byBackend = new Map<string, Shared>();
  readonly #onGone: (profile: TlsProfile) => void;

  constructor(onGone: (profile: TlsProfile) => void) {
    this.#onGone = onGone;
  }

  /** @param row null: the backend is gone, or spoken to in the clear */
  use(backendId: string, row: UpstreamTls | null, material: TlsMaterial): TlsProfile | null {
    const before = this.#byBackend.get(backendId);
    const after = row === null ? undefined : this.#shared(row, material);
    if (after === before) return before?.profile ?? null;
    if (after !== undefined) {
      after.users++;
      this.#byBackend.set(backendId, after);
    } else {
      this.#byBackend.delete(backendId);
    }
    if (before !== undefined && --before.users === 0) {
      this.#byContent.delete(before.content);
      before.profile.isGone = true;
      this.#onGone(before.profile);
    }
    return after?.profile ?? null;
  }

  #shared(row: UpstreamTls, material: TlsMaterial): Shared {
    const content = tlsContent(row, material);
    let shared = this.#byContent.get(content);
    if (shared === undefined) {
      shared = { profile: new TlsProfile(row, material), content, users: 0 };
      this.#byContent.set(content, shared);
    }
    return shared;
  }
}
