import type { Problem, Source } from '#table/problem.ts';

export interface CatalogueEntry {
  /** error: something is not served. warning: served, but not as written. */
  severity: Problem['severity'];
  /** One sentence; `{name}` is filled in. */
  text: string;
  hint: string;
}

/** Every problem that translation can find. Codes are stable: people alert on them. */
export const catalogue = {
  ObjectMalformed: {
    severity: 'error',
    text: '{message}.',
    hint: 'Correct the field; kubectl explain shows its type. Until then the object is not served.',
  },
  ObjectDuplicate: {
    severity: 'error',
    text: '{message}.',
    hint: 'Keep one definition of the object, or rename one of the two.',
  },
  FileMalformed: {
    severity: 'error',
    text: '{message}.',
    hint: 'Correct the file; its last good content stays in force.',
  },
  KindUnknown: {
    severity: 'warning',
    text: '{message}.',
    hint: 'Remove the document, or check its kind and apiVersion; it is skipped.',
  },
  FieldUnknown: {
    severity: 'warning',
    text: '{message}',
    hint: 'Check the spelling: docs/kinds.md lists all fields; an API server drops this one.',
  },
  IngressEmpty: {
    severity: 'warning',
    text: 'The Ingress has neither rules nor a defaultBackend, so it routes nothing.',
    hint: 'Add a rule or a defaultBackend, or delete the Ingress.',
  },
  HostInvalid: {
    severity: 'error',
    text: 'The host "{host}" is not a DNS name, so its rule is left out.',
    hint: 'Use a lower-case DNS name, or "*." and a DNS name; no port, no address, no scheme.',
  },
  PathInvalid: {
    severity: 'error',
    text: 'The path "{path}" {fault}, so it is left out.',
    hint: 'Start the path with "/" and percent-decode it; queries and fragments do not take part in matching.',
  },
  PathTypeUnknown: {
    severity: 'error',
    text: 'The pathType "{pathType}" is not known, so the path is left out.',
    hint: 'Use Exact, Prefix or ImplementationSpecific.',
  },
  PathRegexInvalid: {
    severity: 'error',
    text: 'The path "{path}" is used as a regular expression on host {host}, but {fault}; {outcome}.',
    hint: 'Use RE2 syntax without look-around and back-references, at most 512 characters.',
  },
  PathConflict: {
    severity: 'error',
    text: 'The path "{path}" of host {host} is already taken by Ingress {winner}.',
    hint: 'Of equal paths that of the oldest Ingress counts, then the first; change the path or the pathType, or remove one.',
  },
  PathsBecameRegex: {
    severity: 'warning',
    text: 'Paths of host {host} are case-insensitive regular expressions because Ingress {cause} asks for use-regex or rewrite-target.',
    hint: 'Give the regular expressions a host of their own if these paths are meant literally.',
  },
  DefaultBackendConflict: {
    severity: 'error',
    text: 'The default backend of host {host} is already set by Ingress {winner}, which is older.',
    hint: 'Keep one defaultBackend per host.',
  },
  BackendMissing: {
    severity: 'error',
    text: 'The backend names no Service, so its requests are answered with 404.',
    hint: 'Set backend.service.name and backend.service.port.',
  },
  BackendResourceUnsupported: {
    severity: 'error',
    text: 'The backend is a {resource}, which cannot be forwarded to; its requests are answered with 404.',
    hint: 'Use a Service as backend.',
  },
  ServiceNotFound: {
    severity: 'error',
    text: 'The Service {service} does not exist, so {outcome}.',
    hint: 'Create the Service, or correct its name or namespace.',
  },
  ServicePortNotFound: {
    severity: 'error',
    text: 'The Service {service} has no port "{port}", so {outcome}.',
    hint: 'Use a number or name of spec.ports of the Service.',
  },
  ServicePortNotTcp: {
    severity: 'error',
    text: 'Port {port} of Service {service} is {protocol}, so {outcome}.',
    hint: 'A TCP port is needed here.',
  },
  ServicePortNotUdp: {
    severity: 'error',
    text: 'Port {port} of Service {service} is {protocol}, so {outcome}.',
    hint: 'A UDP port is needed here.',
  },
  ServiceHasNoAddress: {
    severity: 'warning',
    text: 'The Service {service} has no cluster IP, which service-upstream needs, so its endpoints are used.',
    hint: 'Write service-upstream: "false" here, or give the Service a cluster IP.',
  },
  ExternalNameRefused: {
    severity: 'error',
    text: 'The external name "{name}" of Service {service} is {fault}; {outcome}.',
    hint: 'Name a public or cluster DNS name; loopback, link-local and cloud metadata targets would reach the gateway itself.',
  },
  EndpointAddressRefused: {
    severity: 'warning',
    text: 'Endpoints of Service {service} hold addresses that are refused: {addresses}.',
    hint: 'Use IP addresses of pods or machines; loopback, link-local, unspecified and cloud metadata ones would reach the gateway itself.',
  },
  EndpointSliceNotAddresses: {
    severity: 'warning',
    text: 'EndpointSlice {slice} of Service {service} holds DNS names (addressType FQDN), which are skipped.',
    hint: 'Use a Service of type ExternalName for a DNS name.',
  },
  BackendProtocolUnsupported: {
    severity: 'error',
    text: 'Service {service} port {port} wants {protocol}, which is not spoken yet; its requests are answered with 503.',
    hint: 'Use HTTP or HTTPS for now.',
  },
  SecretNotFound: {
    severity: 'warning',
    text: 'The TLS Secret {secret} does not exist, so the default certificate is served.',
    hint: 'Create the Secret in the namespace of the Ingress, or wait for its issuer.',
  },
  SecretMalformed: {
    severity: 'error',
    text: 'The TLS Secret {secret} {fault}, so the default certificate is served.',
    hint: 'Create it with kubectl create secret tls.',
  },
  CertificateKeyMismatch: {
    severity: 'error',
    text: 'Key and certificate of Secret {secret} do not belong together, so the default certificate is served.',
    hint: 'Put the key that the certificate was issued for into tls.key, and the leaf first into tls.crt.',
  },
  CertificateExpired: {
    severity: 'error',
    text: 'The certificate of Secret {secret} expired at {notAfter}; it is still served, and clients refuse it.',
    hint: 'Renew the certificate.',
  },
  ClientCertificateExpired: {
    severity: 'error',
    text: '{annotation}: the certificate of Secret {secret} expired at {notAfter}; it is still shown to backends, which refuse it.',
    hint: 'Renew the certificate.',
  },
  CertificateHostMismatch: {
    severity: 'warning',
    text: 'The certificate of Secret {secret} is for {names}, not for {host}, which gets the default certificate.',
    hint: 'Issue the certificate for this host, or correct the hosts of the TLS entry.',
  },
  CertificateRefused: {
    severity: 'warning',
    text: '{annotation}: its level of security refuses the certificate of Secret {secret}, so host {host} gets the default certificate.',
    hint: 'Lower @SECLEVEL in the annotation, or issue a certificate with a stronger key and digest.',
  },
  TlsConflict: {
    severity: 'warning',
    text: 'TLS of host {host} is already set by Ingress {winner}, which goes before, with {winnerSecret}.',
    hint: 'Name the same Secret in both, or remove one TLS entry.',
  },
  GuestTls: {
    severity: 'warning',
    text: 'Host {host} belongs to namespace {owner}, of Ingress {oldest}, the oldest, where no TLS is set for it: this certificate is served only if the default one is for other names, and paths of other namespaces are not redirected to https.',
    hint: 'Add a TLS entry to an Ingress of that namespace, or let the Ingress that has one be the oldest.',
  },
  GuestUnproven: {
    severity: 'error',
    text: '{annotation}: host {host} belongs to namespace {owner}, of Ingress {oldest}, the oldest, and its clients are not asked for as much there, so these paths are answered with 503.',
    hint: 'Ask for it in that namespace, by the same authorities, too, or give these paths a host of their own.',
  },
  GuestIgnored: {
    severity: 'warning',
    text: '{annotation} has no effect on host {host}, which belongs to namespace {owner}, of Ingress {oldest}, the oldest.',
    hint: 'Let an Ingress of that namespace say it, or give these paths a host of their own.',
  },
  TlsHostWithoutRule: {
    severity: 'warning',
    text: 'The TLS host "{host}" has no rule in this Ingress, so the entry has no effect on it.',
    hint: 'Add a rule for the host, or move the TLS entry to the Ingress that has one.',
  },
  ConfigMapNotFound: {
    severity: 'warning',
    text: 'The ConfigMap {configMap} does not exist, so the flags and defaults hold.',
    hint: 'Create it, or start the controller without --configmap.',
  },
  PassthroughWithoutHost: {
    severity: 'error',
    text: 'TLS is passed through by the name of a host, and there is none, so these paths are answered with 503.',
    hint: 'Give the rule a host.',
  },
  PassthroughOverruled: {
    severity: 'error',
    text: 'TLS of host {host} ends at the gateway, because Ingress {winner}, which is older, does not ask for ssl-passthrough; these paths are answered with 503.',
    hint: 'Give the paths a host of their own, or add the annotation to the older Ingress.',
  },
  PassthroughUnverified: {
    severity: 'error',
    text: 'Client certificates that host {host} asks for cannot be verified where TLS is passed through, so the paths that ask for ssl-passthrough are answered with 503.',
    hint: 'Remove either the auth-tls-* annotations of the host or ssl-passthrough; the backend may ask for certificates itself.',
  },
  PassthroughWithoutRoot: {
    severity: 'error',
    text: 'No path "/" says where TLS connections of host {host} go, so its paths are answered with 503.',
    hint: 'Add a rule for the path "/"; connections are not read, so there can be no other.',
  },
  PassthroughPathUnreached: {
    severity: 'warning',
    text: 'All TLS connections of host {host} go to the Service of path "/", so the path "{path}" has no effect.',
    hint: 'Remove the path, or let the gateway end TLS.',
  },
  HostPassedThrough: {
    severity: 'warning',
    text: 'TLS of host {host} goes to a Service of Ingress {winner} undecrypted, so these paths are reached by http only.',
    hint: 'Give the paths a host of their own if they are to be reached by https.',
  },
  ConfigMapUnreadable: {
    severity: 'error',
    text: 'The ConfigMap {configMap} cannot be read, and it may say who may come, so all requests are answered with 503.',
    hint: 'Correct the field that another problem of the ConfigMap names.',
  },
  PortsConfigMapNotFound: {
    severity: 'warning',
    text: 'The ConfigMap {configMap} does not exist, so it opens no port.',
    hint: 'Create it, or start the controller without {flag}.',
  },
  PortEntryInvalid: {
    severity: 'error',
    text: 'The entry "{port}: {value}" is not {syntax}, so it is left out.',
    hint: 'Correct the entry, as in "9000": "default/example:8080".',
  },
  PortReserved: {
    severity: 'error',
    text: 'Port {port} is one of http or https, so the entry is left out.',
    hint: 'Choose another port.',
  },
  ConfigKeyInvalid: {
    severity: 'warning',
    text: '{key}: "{value}" is not {syntax}; {effect}.',
    hint: 'Correct the value; docs/configmap.md lists what each key takes.',
  },
  ConfigKeyDenies: {
    severity: 'error',
    text: '{key} protects every host and is not honoured yet, so all requests are answered with 503.',
    hint: '{advice}',
  },
  ConfigKeyNotHonoured: {
    severity: 'warning',
    text: '{key} is not honoured here.',
    hint: '{advice}',
  },
  ConfigKeyUnknown: {
    severity: 'warning',
    text: 'The key {key} is not known.',
    hint: 'Check the spelling; docs/configmap.md lists the known ones.',
  },
  ConfigKeyWithoutEffect: {
    severity: 'warning',
    text: '{key} has no effect: {reason}.',
    hint: 'Remove the key, or add what it needs.',
  },
  AnnotationInvalid: {
    severity: 'warning',
    text: '{annotation}: "{value}" is not {syntax}; {effect}.',
    hint: 'Correct the value; docs/annotations.md lists what each annotation takes.',
  },
  AnnotationDropsIngress: {
    severity: 'error',
    text: '{annotation}: "{value}" is not {syntax}, so the whole Ingress is not served.',
    hint: 'Correct or remove the annotation.',
  },
  AnnotationClosesPaths: {
    severity: 'error',
    text: '{annotation}: "{value}" is not {syntax}, so these paths are answered with 503.',
    hint: 'Correct the value, or remove the annotation if the paths may be without what it asks for.',
  },
  AnnotationClosesHost: {
    severity: 'error',
    text: '{annotation}: {fault}, so these paths, and every path of hosts that belong to its namespace, are answered with 503.',
    hint: 'Correct the annotation or what it names; remove it only if the hosts may be open to everybody.',
  },
  UpstreamTlsUnusable: {
    severity: 'error',
    text: '{annotation}: {fault}, so the requests are answered with 503.',
    hint: 'Put ca.crt, or tls.crt and tls.key for backends that ask for a certificate, into a Secret in the namespace of the Ingress.',
  },
  AnnotationDenies: {
    severity: 'error',
    text: '{annotation} protects {what} and is not honoured yet, so they are answered with 503.',
    hint: '{advice}',
  },
  HostDenied: {
    severity: 'error',
    text: 'Every path of host {host} is answered with 503: {annotation} of Ingress {cause} protects the whole host and cannot be honoured.',
    hint: 'Remove the annotation there only if the host may be open, or give these paths a host of their own.',
  },
  AnnotationNotHonoured: {
    severity: 'warning',
    text: '{annotation} is not honoured yet.',
    hint: '{advice}',
  },
  AnnotationObsolete: {
    severity: 'warning',
    text: '{annotation} does nothing.',
    hint: '{advice}',
  },
  AnnotationUnknown: {
    severity: 'warning',
    text: '{annotation} is not known.',
    hint: 'Check the spelling; docs/annotations.md lists the known ones.',
  },
  AnnotationOverruled: {
    severity: 'warning',
    text: '{annotation} has no effect on {subject}: Ingress {winner}, which is {age}, decides.',
    hint: 'Write the annotation alike on both Ingresses.',
  },
  AnnotationWithoutEffect: {
    severity: 'warning',
    text: '{annotation} has no effect here: {reason}.',
    hint: 'Remove the annotation, or add what it needs.',
  },
} as const satisfies Record<string, CatalogueEntry>;

export type ProblemCode = keyof typeof catalogue;

/** Longest user-given text that a message repeats. */
const longestValue = 120;

/**
 * Makes a problem from the catalogue.
 * @param values fill the placeholders of text and hint; control characters and excess length are cut, for they come from users
 */
export function problem(code: ProblemCode, source: Source, values: Readonly<Record<string, string>> = {}): Problem {
  return problemOf(code, catalogue[code], source, values);
}

/** The same from the entry of any catalogue. */
export function problemOf(
  code: string,
  entry: CatalogueEntry,
  source: Source,
  values: Readonly<Record<string, string>>,
): Problem {
  const fill = (text: string): string =>
    text.replace(/\{(\w+)\}/g, (_, name: string) => shown(values[name] ?? '', name));
  return { code, severity: entry.severity, source, message: fill(entry.text), hint: fill(entry.hint) };
}

/** Orders problems so that equal states list them equally, whatever the history. */
export function compareProblems(a: Problem, b: Problem): number {
  return (
    compareText(a.source.kind, b.source.kind) ||
    compareText(a.source.namespace, b.source.namespace) ||
    compareText(a.source.name, b.source.name) ||
    compareText(a.source.field ?? '', b.source.field ?? '') ||
    compareText(a.code, b.code) ||
    compareText(a.message, b.message)
  );
}

/** By code unit: the same on every machine, unlike a locale's order. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function shown(value: string, name: string): string {
  const plain = value.replace(/[\u0000-\u001f\u007f]+/g, ' ');
  const limit = name === 'message' || name === 'advice' ? 4 * longestValue : longestValue;
  return plain.length > limit ? `${plain.slice(0, limit)}…` : plain;
}
