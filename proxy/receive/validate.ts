import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { checkPointers } from '#table/check.ts';
import type { ClientAuth } from '#table/clientauth.ts';
import type { L4Route } from '#table/l4route.ts';
import type { Host } from '#table/listener.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Route } from '#table/route.ts';
import { type Table, tableContract } from '#table/rows.ts';
import type { Certificate } from '#table/secret.ts';
import { type TlsMaterial, TlsProfile, tlsContent } from '../forward/tlsprofile.ts';
import { ClientTrust } from '../listen/clienttrust.ts';
import { checkRegex } from '../match/regex.ts';
import type { Delta } from './changes.ts';
import { isEndpointsOnly } from './delta.ts';

/**
 * What a change would break, looked for before any worker sees it: pointers that lead nowhere, patterns that do not compile,
 * keys that do not fit their certificates. Costs what changed.
 * @param table the table with the change already in it
 */
export function faultsOf(table: Table, delta: Delta): Problem[] {
  const changed = delta.upserts.map(({ kind, row }) => ({ kind, id: row.id }));
  const problems = checkPointers(tableContract, table, changed, delta.deletes);
  if (isEndpointsOnly(delta)) return problems;
  for (const { kind, row } of delta.upserts) {
    if (kind === 'route') problems.push(...patternFaults(row));
    if (kind === 'l4route') problems.push(...l4Faults(table, row));
    if (kind === 'certificate') problems.push(...certificateFaults(row));
  }
  const isTrustUsable = trustsOf(table);
  for (const row of touchedHosts(table, delta)) problems.push(...hostTlsFaults(row, isTrustUsable));
  problems.push(...upstreamTlsFaults(table, delta));
  return problems;
}

/** Of backends that changed, or whose bundle did; many share one profile, which is built once. */
function upstreamTlsFaults(table: Table, delta: Delta): Problem[] {
  const changed = new Set(delta.upserts.flatMap((each) => (each.kind === 'backend' ? [each.row] : [])));
  const secrets = changedSecrets(delta);
  if (secrets.size > 0) {
    for (const row of table.backend.values()) if (secrets.has(row.tls?.verify?.caSecretId ?? '')) changed.add(row);
  }
  const material: TlsMaterial = {
    secret: (id) => table.secret.get(id)?.value,
    certificate: (id) => table.certificate.get(id),
  };
  const good = new Set<string>();
  return [...changed].flatMap(({ id, source, tls }) => {
    if (tls === null) return [];
    const content = tlsContent(tls, material);
    if (good.has(content)) return [];
    if (new TlsProfile(tls, material).options() === null) {
      return [fault('UpstreamTlsUnusable', source, `TLS of the backend row ${id} cannot be used: OpenSSL refuses it.`)];
    }
    good.add(content);
    return [];
  });
}

/** Those that changed, or whose bundle or lists of revoked certificates did. */
function touchedHosts(table: Table, delta: Delta): Set<Host> {
  const touched = new Set(delta.upserts.flatMap((each) => (each.kind === 'host' ? [each.row] : [])));
  const secrets = changedSecrets(delta);
  if (secrets.size === 0) return touched;
  for (const row of table.host.values()) {
    const { caSecretId = '', crlSecretId = '' } = row.clientAuth ?? {};
    if (secrets.has(caSecretId) || secrets.has(crlSecretId ?? '')) touched.add(row);
  }
  return touched;
}

function changedSecrets({ upserts }: Delta): Set<string> {
  return new Set(upserts.flatMap(({ kind, row }) => (kind === 'secret' ? [row.id] : [])));
}

/** Says whether OpenSSL takes what clients are to prove; many hosts share a bundle and its lists, which are read once. */
function trustsOf(table: Table): (clientAuth: ClientAuth) => boolean {
  const known = new Map<string, boolean>();
  return ({ caSecretId, crlSecretId }) => {
    const key = JSON.stringify([caSecretId, crlSecretId]);
    let isUsable = known.get(key);
    if (isUsable === undefined) {
      const caPem = table.secret.get(caSecretId)?.value ?? '';
      const crlPem = crlSecretId === null ? null : (table.secret.get(crlSecretId)?.value ?? '');
      isUsable = caPem !== '' && isTaken(new ClientTrust('', caPem, crlPem).options);
      known.set(key, isUsable);
    }
    return isUsable;
  };
}

function hostTlsFaults(host: Host, isTrustUsable: (clientAuth: ClientAuth) => boolean): Problem[] {
  const { id, ciphers, clientAuth } = host;
  const from = host.source ?? { kind: 'host', namespace: '', name: id };
  if (ciphers !== null && !isTaken({ ciphers })) {
    return [fault('CiphersUnusable', from, `The suites of the host row ${id} cannot be used: OpenSSL refuses them.`)];
  }
  if (clientAuth === null) return [];
  const { subject } = clientAuth;
  const reason = subject === null ? null : checkRegex(subject, false);
  if (reason !== null) return [fault('PatternUnusable', from, `The pattern ${subject} is refused: ${reason}.`)];
  if (isTrustUsable(clientAuth)) return [];
  return [fault('ClientAuthUnusable', from, `What clients of the host row ${id} are to prove cannot be used.`)];
}

function isTaken(options: SecureContextOptions): boolean {
  try {
    createSecureContext(options);
    return true;
  } catch {
    return false;
  }
}

function patternFaults({ match, source }: Route): Problem[] {
  const patterns: { pattern: string; ignoreCase: boolean }[] = [];
  if (match.path.type === 'regex') patterns.push({ pattern: match.path.value, ignoreCase: match.path.ignoreCase });
  for (const condition of [...match.headers, ...match.query]) {
    if (condition.type === 'regex') patterns.push({ pattern: condition.value, ignoreCase: false });
  }
  return patterns.flatMap(({ pattern, ignoreCase }) => {
    const reason = checkRegex(pattern, ignoreCase);
    return reason === null ? [] : [fault('PatternUnusable', source, `The pattern ${pattern} is refused: ${reason}.`)];
  });
}

/** What a listener cannot do: http has no server names to look for, and datagrams have none, either. */
function l4Faults(table: Table, { id, listenerIds, hostnames, source }: L4Route): Problem[] {
  return listenerIds.flatMap((listenerId) => {
    const protocol = table.listener.get(listenerId)?.protocol;
    const isFault = protocol === 'http' || (protocol === 'udp' && hostnames.length > 0);
    const message = `The l4route row ${id} is of no use on the listener ${listenerId}, which speaks ${protocol}.`;
    return isFault ? [fault('ListenerUnfit', source, message)] : [];
  });
}

/** Builds what a worker will build, and drops it: nothing tells better whether OpenSSL takes the material. */
function certificateFaults({ chainPem, keyPem, source, id }: Certificate): Problem[] {
  try {
    createSecureContext({ cert: chainPem, key: keyPem });
    return [];
  } catch (error) {
    const reason = (error as Error).message;
    return [fault('CertificateUnusable', source, `The certificate row ${id} cannot be used: ${reason}.`)];
  }
}

function fault(code: string, source: Source, message: string): Problem {
  const hint = 'The sender should have found this: report it. The last good table stays in force.';
  return { code, severity: 'error', source, message, hint };
}
