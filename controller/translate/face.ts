import { createHash } from 'node:crypto';
import type { TlsVersion } from '#table/servertls.ts';
import type { ReadAnnotations } from '../annotations/parse.ts';
import type { SecretName } from '../annotations/values.ts';
import type { ObjectKey } from '../watch/view.ts';

/** How an Ingress speaks to the Service ports that it names. Ingresses that speak alike share a backend row. */
export interface Face {
  /** Appended to `<ns>/<service>/<port>`; '' for what the Service itself says. */
  suffix: string;
  /** Value of backend-protocol; null: as the Service port says. */
  protocol: string | null;
  /** What proxy-ssl-* annotations say; null: there are none. */
  tls: FaceTls | null;
  /** Sets the affinity cookie. */
  isSticky: boolean;
  /** Carried unread: nothing else of the face counts then. null: HTTP. */
  transport: 'tcp' | 'udp' | null;
  /** Key of the annotation that closes these paths; null: open. */
  deniedBy: string | null;
}

export interface FaceTls {
  secret: SecretReference | null;
  isVerified: boolean;
  depth: number;
  /** Of proxy-ssl-name. */
  name: string | null;
  /** Of upstream-vhost, which stands in for it; variables are not filled in. */
  vhost: string | null;
  sendsName: boolean;
  /** What the certificate may be for instead of the name; empty: the name. */
  subjectNames: readonly string[];
  minVersion: TlsVersion;
  maxVersion: TlsVersion;
  ciphers: string | null;
}

/** A Secret that an annotation names. */
export interface SecretReference {
  key: ObjectKey;
  /** In another namespace than the Ingress, without leave of the operator: it is not looked at. */
  isForeign: boolean;
}

/** How the operator's default backend is spoken to. */
export const plainFace: Face = {
  suffix: '',
  protocol: null,
  tls: null,
  isSticky: false,
  transport: null,
  deniedBy: null,
};

/** Beside the faces that speak HTTP. */
export const tcpFace: Face = { ...plainFace, suffix: '#tcp', transport: 'tcp' };

/** Alone on its port, for no HTTP comes by UDP. */
export const udpFace: Face = { ...plainFace, transport: 'udp' };

/** @param deniedBy key of the annotation that closes the paths; null: open */
export function faceOf(
  { settings }: ReadAnnotations,
  deniedBy: string | null,
  ingress: { namespace: string; name: string },
  allowsOtherNamespaces: boolean,
): Face {
  if (deniedBy === null && settings['ssl-passthrough'] === true) return tcpFace;
  const protocol = settings['backend-protocol'] ?? null;
  const isSticky = settings.affinity === 'cookie';
  const tls = faceTlsOf(settings, ingress.namespace, allowsOtherNamespaces);
  const face = { protocol, tls, isSticky, transport: null, deniedBy };
  if (deniedBy !== null) return { ...face, suffix: `#denied:${ingress.name}` };
  const marks = [
    ...(protocol === null ? [] : [protocol.toLowerCase()]),
    ...(isSticky ? ['sticky'] : []),
    ...(tls === null ? [] : [`tls-${digest(tls)}`]),
  ];
  return { ...face, suffix: marks.length === 0 ? '' : `#${marks.join('+')}` };
}

/** The Secret that an annotation of an Ingress names. */
export function referenceOf(
  { namespace, name }: SecretName,
  own: string,
  allowsOtherNamespaces: boolean,
): SecretReference {
  const home = namespace ?? own;
  return { key: `${home}/${name}`, isForeign: home !== own && !allowsOtherNamespaces };
}

function faceTlsOf(
  settings: ReadAnnotations['settings'],
  namespace: string,
  allowsOtherNamespaces: boolean,
): FaceTls | null {
  const secret = settings['proxy-ssl-secret'];
  const versions = settings['proxy-ssl-protocols'] ?? { min: 'TLSv1.2', max: 'TLSv1.3' };
  const tls: FaceTls = {
    secret: secret === undefined ? null : referenceOf(secret, namespace, allowsOtherNamespaces),
    isVerified: settings['proxy-ssl-verify'] ?? false,
    depth: settings['proxy-ssl-verify-depth'] ?? 1,
    name: settings['proxy-ssl-name'] ?? null,
    vhost: settings['upstream-vhost'] ?? null,
    sendsName: settings['proxy-ssl-server-name'] ?? false,
    subjectNames: settings['proxy-ssl-subject-names'] ?? [],
    minVersion: versions.min,
    maxVersion: versions.max,
    ciphers: settings['proxy-ssl-ciphers'] ?? null,
  };
  const isAsked =
    tls.secret !== null || tls.isVerified || tls.sendsName || settings['proxy-ssl-protocols'] || tls.ciphers !== null;
  return isAsked ? tls : null;
}

/** Tells settings apart in an id; eight digits are enough among the faces of one Service port. */
function digest(tls: FaceTls): string {
  return createHash('sha256').update(JSON.stringify(tls)).digest('hex').slice(0, 8);
}
