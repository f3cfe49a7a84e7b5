/** @returns whether requests with that method are taken; methods are case-sensitive */
export function isKnownMethod(method: string): boolean {
  return knownMethods.has(method);
}

/** RFC 9110 §9, RFC 5789, and the WebDAV and cache methods that real backends speak. CONNECT, TRACE, TRACK are not for us. */
const knownMethods = new Set(
  `GET HEAD POST PUT DELETE PATCH OPTIONS PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH
  MKCALENDAR ACL BIND UNBIND REBIND CHECKOUT MERGE MKACTIVITY LINK UNLINK PURGE QUERY`.split(/\s+/),
);
