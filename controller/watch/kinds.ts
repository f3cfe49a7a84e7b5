import { type OwnKindName, ownGroup, ownKinds, ownVersion } from '../addresses/kinds.ts';
import type { ObjectKind } from './objects.ts';

export interface WatchedKind {
  kind: ObjectKind;
  /** Of the API: `/api/v1` or `/apis/GROUP/VERSION`. */
  root: string;
  /** As in the URL: `ingresses`. */
  plural: string;
  isNamespaced: boolean;
  /** One page is decoded in one go, which must not hold up the process: slices are a hundred times as large as the rest. */
  pageSize: number;
  /** false: a refusal (RBAC that covers some namespaces only) does not hold up the first update. */
  isEssential: boolean;
  /** What is left out by the server already. */
  fieldSelector?: string;
  /** Form of the answers; whole objects in JSON unless told. */
  accept?: string;
  /** Name of the CustomResourceDefinition that makes the kind; without it the kind is there in every cluster. */
  definition?: string;
}

const networking = '/apis/networking.k8s.io/v1';

/** Always watched. */
export const baseKinds: readonly WatchedKind[] = [
  { kind: 'Ingress', root: networking, plural: 'ingresses', isNamespaced: true, pageSize: 500, isEssential: true },
  {
    kind: 'IngressClass',
    root: networking,
    plural: 'ingressclasses',
    isNamespaced: false,
    pageSize: 500,
    isEssential: true,
  },
  { kind: 'Service', root: '/api/v1', plural: 'services', isNamespaced: true, pageSize: 500, isEssential: true },
  {
    kind: 'EndpointSlice',
    root: '/apis/discovery.k8s.io/v1',
    plural: 'endpointslices',
    isNamespaced: true,
    pageSize: 25,
    isEssential: true,
  },
  { kind: 'Namespace', root: '/api/v1', plural: 'namespaces', isNamespaced: false, pageSize: 500, isEssential: false },
  { kind: 'Node', root: '/api/v1', plural: 'nodes', isNamespaced: false, pageSize: 100, isEssential: false },
];

/** Watched only in namespaces with Secrets in use. Releases of Helm are Secrets of up to 1 MB that nobody uses here. */
export const secretKind: WatchedKind = {
  kind: 'Secret',
  root: '/api/v1',
  plural: 'secrets',
  isNamespaced: true,
  pageSize: 100,
  isEssential: false,
  fieldSelector: 'type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token',
};

/**
 * One ConfigMap by name: the only kind of watch that RBAC can limit to an object (resourceNames). It is essential, for what
 * it protects must not be open until it comes.
 */
export function configMapKind(name: string): WatchedKind {
  return {
    kind: 'ConfigMap',
    root: '/api/v1',
    plural: 'configmaps',
    isNamespaced: true,
    pageSize: 1,
    isEssential: true,
    fieldSelector: `metadata.name=${name}`,
  };
}

/** Our own kinds, which a cluster may have or not, and may come to have. */
export const ownWatchedKinds: readonly WatchedKind[] = (Object.keys(ownKinds) as OwnKindName[]).map((kind) => ({
  kind,
  root: `/apis/${ownGroup}/${ownVersion}`,
  plural: ownKinds[kind].plural,
  isNamespaced: false,
  pageSize: 500,
  isEssential: false,
  definition: `${ownKinds[kind].plural}.${ownGroup}`,
}));

/** Only names and versions: whole definitions are a hundred times as large, and clusters have hundreds. */
export const definitionKind: WatchedKind = {
  kind: 'CustomResourceDefinition',
  root: '/apis/apiextensions.k8s.io/v1',
  plural: 'customresourcedefinitions',
  isNamespaced: false,
  pageSize: 500,
  isEssential: false,
  accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
};

/** `/api/v1/namespaces/shop/services`; without namespace, those of all. */
export function collectionPath({ root, plural, isNamespaced }: WatchedKind, namespace: string | null): string {
  return isNamespaced && namespace
    ? `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`
    : `${root}/${plural}`;
}
