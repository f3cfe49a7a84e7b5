import type { ClientAuth } from '#table/clientauth.ts';
import { type CompiledRegex, compileRegex } from '../match/regex.ts';
import type { ClientProof } from './clientproof.ts';
import type { ClientTrust } from './clienttrust.ts';
import { type Refusal, refusals } from './refusals.ts';

/** What the clients of one host have to prove. */
export class ClientPolicy {
  readonly row: ClientAuth;
  readonly trust: ClientTrust;
  /** null: every subject will do. */
  readonly #subject: CompiledRegex | null;

  constructor(row: ClientAuth, trust: ClientTrust) {
    this.row = row;
    this.trust = trust;
    const { subject } = row;
    // A pattern that was not found out to be bad before is one that nothing matches.
    this.#subject = subject === null ? null : (compileRegex(subject, { case: 'exact', anchor: 'none' }) ?? never);
  }

  /** @returns null: the client may pass */
  judge(proof: ClientProof): Refusal | null {
    const { mode, depth } = this.row;
    if (proof.certificate === null) {
      if (mode === 'require') return refusals.noCertificate;
    } else if (mode !== 'optional-no-ca' && proof.fault(depth) !== '') {
      return refusals.badCertificate;
    }
    return this.#subject === null || this.#subject.test(proof.subject) ? null : refusals.wrongSubject;
  }

  /** Fields for the backend, under the names that ingress-nginx has for them. */
  linesFor(proof: ClientProof): string {
    if (proof.certificate === null) return unproven;
    const fault = proof.fault(this.row.depth);
    const verdict = fault === '' ? 'SUCCESS' : `FAILED:${fault}`;
    const names = `ssl-client-subject-dn: ${proof.subject}\r\nssl-client-issuer-dn: ${proof.issuer}\r\n`;
    const certificate = this.row.passesCertificate ? `ssl-client-cert: ${encodeURIComponent(proof.pem)}\r\n` : '';
    return `ssl-client-verify: ${verdict}\r\n${names}${certificate}`;
  }
}

const never: CompiledRegex = { test: () => false, captures: () => null };

/** What a backend is told of a client that has shown nothing. */
export const unproven = 'ssl-client-verify: NONE\r\n';
