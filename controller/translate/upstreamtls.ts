import type { Problem, Source } from '#table/problem.ts';
import type { UpstreamTls } from '#table/upstreamtls.ts';
import type { AnnotationName } from '../annotations/registry.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ObjectKey } from '../watch/view.ts';
import type { AuthoritiesState } from './authorities.ts';
import type { CertificateState } from './certificates.ts';
import { takesPair } from './ciphers.ts';
import type { Draft } from './draft.ts';
import type { FaceTls } from './face.ts';
import { problem } from './problems.ts';
import { backendHost } from './route.ts';

/** What somebody needs of Secrets, by their keys. */
export interface SecretUse {
  readonly certificates: readonly ObjectKey[];
  /** Secrets whose ca.crt is verified by. */
  readonly authorities: readonly ObjectKey[];
}

/** Secrets as read. */
export interface SecretStates {
  certificate(secret: ObjectKey): CertificateState;
  authorities(secret: ObjectKey): AuthoritiesState;
}

interface Named {
  namespace: string;
  name: string;
  port: string;
}

interface SpokenTls {
  tls: UpstreamTls;
  /** What its rows are made of. */
  secrets: SecretUse;
}

/** Why TLS to the backend cannot be spoken as an annotation asks for it; completes "… : <fault>, so …". */
export interface UpstreamTlsFault {
  annotation: AnnotationName;
  fault: string;
}

export const noSecrets: SecretUse = { certificates: [], authorities: [] };

/** TLS of a backend that nothing is asked of: as ingress-nginx does it, any certificate will do. */
const plainTls: UpstreamTls = {
  serverName: null,
  verify: null,
  certificateId: null,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: null,
};

/**
 * How TLS is spoken to a Service port by those who share a face. What asks for a proof and cannot have it is a fault: never
 * is a backend spoken to with less than was asked for.
 */
export function upstreamTls(
  face: FaceTls | null,
  service: ObjectOf<'Service'> | undefined,
  named: Named,
  secrets: SecretStates,
): SpokenTls | UpstreamTlsFault {
  if (face === null) return { tls: plainTls, secrets: noSecrets };
  const { secret, isVerified, sendsName, subjectNames, depth, minVersion, maxVersion, ciphers } = face;
  const fault = secret === null ? undefined : secretFault(secret, secrets, isVerified);
  if (fault !== undefined) return { annotation: 'proxy-ssl-secret', fault };
  if (isVerified && secret === null)
    return { annotation: 'proxy-ssl-verify', fault: 'it needs proxy-ssl-secret beside it' };
  const names = namesOf(face, service, named);
  const authorities = isVerified && secret !== null ? secret.key : null;
  const pair = secret === null ? undefined : secrets.certificate(secret.key);
  const shown = secret !== null && pair?.type === 'good' ? secret.key : null;
  // A proxy would refuse the whole table for it.
  if (pair?.type === 'good' && ciphers !== null && !takesPair(ciphers, pair.row))
    return { annotation: 'proxy-ssl-ciphers', fault: `its suites do not take the key of the Secret ${secret?.key}` };
  return {
    tls: {
      serverName: sendsName ? (names[0] ?? null) : null,
      verify:
        authorities === null
          ? null
          : {
              caSecretId: authoritiesId(authorities),
              names: subjectNames.length > 0 ? [...subjectNames] : names,
              depth,
            },
      certificateId: shown,
      minVersion,
      maxVersion,
      ciphers,
    },
    secrets: {
      certificates: shown === null ? [] : [shown],
      authorities: authorities === null ? [] : [authorities],
    },
  };
}

/** Id of the row that holds ca.crt of a Secret; a slash more than the ids of other secret rows have. */
export function authoritiesId(secret: ObjectKey): string {
  return `${secret}/ca.crt`;
}

/** The same for ca.crl. */
export function revocationsId(secret: ObjectKey): string {
  return `${secret}/ca.crl`;
}

function secretFault(
  { key, isForeign }: NonNullable<FaceTls['secret']>,
  secrets: SecretStates,
  isVerified: boolean,
): string | undefined {
  if (isForeign) return `the Secret ${key} is in another namespace`;
  const pair = secrets.certificate(key);
  const authorities = secrets.authorities(key);
  if (pair.type === 'missing') return `the Secret ${key} does not exist`;
  if (pair.type === 'mismatched') return `key and certificate of the Secret ${key} do not belong together`;
  if (pair.type === 'malformed') return `the Secret ${key} ${pair.fault}`;
  if (authorities.type === 'malformed') return `the Secret ${key} ${authorities.fault}`;
  if (authorities.type === 'good') return undefined;
  if (isVerified) return `the Secret ${key} has no ca.crt to verify by`;
  return pair.type === 'good' ? undefined : `the Secret ${key} has neither tls.crt and tls.key nor ca.crt`;
}

/**
 * What the backend is called: the first is sent. ingress-nginx takes the name of its own upstream block where no annotation
 * gives one, which is in no certificate; the names that the cluster gives to the Service are.
 */
function namesOf(face: FaceTls, service: ObjectOf<'Service'> | undefined, named: Named): string[] {
  if (face.name !== null) return [face.name];
  const vhost = backendHost(face.vhost ?? undefined, named);
  if (vhost !== null) return [vhost.replace(/:\d+$/, '').toLowerCase()];
  const { externalName } = service?.spec ?? {};
  if (service?.spec.type === 'ExternalName' && externalName !== undefined) return [externalName.replace(/\.$/, '')];
  const base = `${named.name}.${named.namespace}.svc`;
  return [base, `${base}.cluster.local`];
}

/** A certificate that is shown to backends is past its end. */
export function shownCertificateProblems(
  { face, annotations, source, refsByPort }: Draft,
  secrets: SecretStates,
  nowMs: number,
): Problem[] {
  const secret = face.tls?.secret ?? null;
  // Without a port it is shown to nobody, and no change of the Secret leads here (links.ts).
  if (secret === null || secret.isForeign || refsByPort.size === 0) return [];
  const state = secrets.certificate(secret.key);
  if (state.type !== 'good' || nowMs <= state.row.notAfterMs) return [];
  const annotation = annotations.keys['proxy-ssl-secret'] ?? '';
  const at: Source = { ...source, field: `metadata.annotations[${annotation}]` };
  const notAfter = new Date(state.row.notAfterMs).toISOString();
  return [problem('ClientCertificateExpired', at, { annotation, secret: secret.key, notAfter })];
}
