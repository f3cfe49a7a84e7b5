import type { Host } from '#table/listener.ts';
import type { Engine } from '../forward/engine.ts';
import type { Exchange } from '../forward/exchange.ts';
import type { ClientSide } from '../forward/sides.ts';
import { isServedUnproven } from '../match/readings.ts';
import { answerLocally, refuse } from './answer.ts';
import { unproven } from './clientpolicy.ts';
import { refuseMisdirected } from './misdirected.ts';
import { refusals } from './refusals.ts';

/**
 * Holds a request to what its host asks of TLS clients, and sets what the backend is told of the client.
 *
 * @param host that covers the request's name
 * @returns true when the request has been refused
 */
export function refuseUnproven(engine: Engine, exchange: Exchange, host: Host | null): boolean {
  const policies = engine.tables.clientPolicies;
  // While there are none, no host's id is looked at: two lines of memory that no cache may hold.
  const policy = host === null || policies.size === 0 ? undefined : policies.get(host.id);
  const { proof } = (exchange.client as ClientSide).peer;
  if (policy === undefined && proof === null) return false;
  if (policy !== undefined && !exchange.isTls) {
    exchange.proofLines = unproven;
    if (isServedUnproven(policy.row, exchange.rawPath, exchange.path)) return false;
    refuse(engine, exchange, refusals.proofNeedsTls);
    return true;
  }
  // The certificate was asked for by the name in the handshake; it is no answer to what another host asks (RFC 9110 §15.5.20).
  if (policy === undefined || proof === null || proof.trust.key !== policy.trust.key) {
    refuseMisdirected(engine, exchange, refusals.misdirected);
    return true;
  }
  const refusal = policy.judge(proof);
  if (refusal === null) {
    exchange.proofLines = proof.linesOf(policy);
    return false;
  }
  const { errorPage } = policy.row;
  if (errorPage === null || refusal.status !== 400) refuse(engine, exchange, refusal);
  else answerLocally(engine, exchange, { status: 302, headers: [`Location: ${errorPage}`], body: '' });
  return true;
}
