/**
 * How far a value reaches. `path`: the paths of this Ingress. `host`: the host, for every Ingress on it; the oldest that
 * sets it decides, of those in the namespace that has the host. `host*`: turned on for the whole host by any Ingress
 * of that namespace, and by others for their own paths. `service`: every Ingress that uses the same
 * Service port; the oldest that uses the port decides.
 */
type Scope = 'path' | 'host' | 'host*' | 'service';

/** One annotation that is honoured. The registry, its documentation and the migration report are read from these. */
export interface Annotation<T> {
  scope: Scope;
  /** Completes "… is not". */
  syntax: string;
  /** What holds without the annotation, for the documentation. */
  default: string;
  /**
   * What a bad value costs: itself; the paths or the hosts of the Ingress, which answer 503, because they would be open without
   * it; or the whole Ingress (as ingress-nginx's admission refuses it).
   */
  badValue: 'ignored' | 'closes-paths' | 'closes-host' | 'drops-ingress';
  /** An empty value is a bad one; without this it is ignored. */
  isEmptyBad?: true;
  help: string;
  /** Pure; undefined: a bad value. */
  parse(value: string): T | undefined;
}

export type Family = Readonly<Record<string, Annotation<unknown>>>;
