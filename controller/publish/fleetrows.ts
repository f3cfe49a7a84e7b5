import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { fleetSecretId } from '#table/fleetsecret.ts';
import { heartbeatSecretId, type PlanRow } from '#table/plan.ts';
import type { Row } from '#table/rows.ts';
import { type KeyPair, makeAuthority, makeDefaultCertificate } from './certificates.ts';
import { loadOrCreate, type Store } from './store.ts';

/** Row ids that the tables of every fleet have. */
export const defaultCertificateId = 'fleet/default';

/**
 * What a fleet shares and no object describes: the certificate for hosts that have none, and the key of affinity
 * cookies and session tickets. Kept in the store, so that replicas and restarts agree; a new key would send every
 * client to another endpoint.
 */
export async function fleetRows(store: Store, nowMs: number): Promise<Row[]> {
  const pair = await loadOrCreate(store, 'sluice-default-certificate', async () => {
    const { certPem, keyPem } = await makeDefaultCertificate(nowMs);
    return { 'tls.crt': certPem, 'tls.key': keyPem };
  });
  const { key = '' } = await loadOrCreate(store, 'sluice-fleet-key', newKey);
  const { 'tls.crt': certPem = '', 'tls.key': keyPem = '' } = pair;
  const leaf = leafOf(certPem, keyPem);
  if (leaf === null) throw unusable('sluice-default-certificate');
  // With a short key anybody could make cookies and tickets that this fleet believes.
  if (!isKey(key)) throw unusable('sluice-fleet-key');
  return [
    {
      kind: 'certificate',
      row: {
        id: defaultCertificateId,
        source: { kind: 'Sluice', namespace: '', name: 'default certificate' },
        chainPem: certPem,
        keyPem,
        names: [],
        notAfterMs: leaf.validToDate.getTime(),
        fingerprint: leaf.fingerprint256,
      },
    },
    { kind: 'secret', row: { id: fleetSecretId, value: key } },
  ];
}

/** What all edges share and no object describes: the key by which they know each other's heartbeats. */
export async function edgeRows(store: Store): Promise<PlanRow[]> {
  const { key = '' } = await loadOrCreate(store, 'sluice-edge-key', newKey);
  if (!isKey(key)) throw unusable('sluice-edge-key');
  return [{ kind: 'secret', row: { id: heartbeatSecretId, value: key } }];
}

/** The authority of the table stream. `ca.crt` alone is what proxies need, so a Secret can be mounted by that item. */
export async function fleetAuthority(store: Store, nowMs: number): Promise<KeyPair> {
  const kept = await loadOrCreate(store, 'sluice-authority', async () => {
    const { certPem, keyPem } = await makeAuthority(nowMs);
    return { 'ca.crt': certPem, 'ca.key': keyPem };
  });
  const { 'ca.crt': certPem = '', 'ca.key': keyPem = '' } = kept;
  if (leafOf(certPem, keyPem) === null) throw unusable('sluice-authority');
  return { certPem, keyPem };
}

async function newKey(): Promise<{ key: string }> {
  return { key: randomBytes(32).toString('base64') };
}

function isKey(text: string): boolean {
  return Buffer.from(text, 'base64').length === 32;
}

/** null: they are no pair. */
function leafOf(certPem: string, keyPem: string): X509Certificate | null {
  try {
    const leaf = new X509Certificate(certPem);
    return leaf.checkPrivateKey(createPrivateKey(keyPem)) ? leaf : null;
  } catch {
    return null;
  }
}

/** Never made anew over what is there: an authority that changes by itself would lock every proxy out. */
function unusable(name: string): Error {
  return new Error(`${name} does not hold what Sluice wrote: restore it, or delete it to have it made anew`);
}
