/** What the matcher and the filters may know of a request. Implemented by the engine's exchange; nothing is copied. */
export interface RequestFacts {
  /** As sent; case-sensitive. */
  readonly method: string;
  /** Of the client connection, or of X-Forwarded-Proto from a trusted proxy. */
  readonly scheme: 'http' | 'https';
  /** Lower case, no port, no trailing dot. */
  readonly hostname: string;
  /** Name by which the client came: that of a trusted proxy's X-Forwarded-Host, else `hostname`. Not for matching. */
  readonly publicHostname: string;
  /** Path used for matching: decoded once, dot segments resolved, slashes merged (see match/normalise.ts). Starts with `/`. */
  readonly path: string;
  /** Path as the client sent it. */
  readonly rawPath: string;
  /** Without `?`; '' when absent. */
  readonly query: string;
  /** Client address after trusted proxies, without port. */
  readonly clientAddress: string;
  /** Value of a field by lower-case name, joined by `, ` when repeated; undefined when absent. */
  header(name: string): string | undefined;
}
