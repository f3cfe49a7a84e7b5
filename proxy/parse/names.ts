/**
 * Field names that mean something to a gateway, numbered. Everything else is `other` and passes through unread.
 * `underscore` stands for any name with `_`: CGI-like backends fold `X_Forwarded_For` onto the real one, so it is dropped.
 * `odd` stands for any with another character than letters, digits and dashes: PHP folds `.` likewise, lighttpd all of them.
 */
export const nameIds = {
  other: 0,
  underscore: 1,
  host: 2,
  connection: 3,
  'content-length': 4,
  'transfer-encoding': 5,
  expect: 6,
  upgrade: 7,
  te: 8,
  trailer: 9,
  'keep-alive': 10,
  'proxy-connection': 11,
  'proxy-authorization': 12,
  'proxy-authenticate': 13,
  proxy: 14,
  'http2-settings': 15,
  'x-forwarded-for': 16,
  'x-forwarded-proto': 17,
  'x-forwarded-host': 18,
  'x-forwarded-port': 19,
  'x-real-ip': 20,
  'x-request-id': 21,
  'x-original-forwarded-for': 22,
  forwarded: 23,
  'max-forwards': 24,
  date: 25,
  'x-forwarded-scheme': 26,
  'x-scheme': 27,
  'strict-transport-security': 28,
  'sec-websocket-key': 29,
  'proxy-authentication-info': 30,
  authorization: 31,
  cookie: 32,
  'grpc-timeout': 33,
  'ssl-client-verify': 34,
  'ssl-client-subject-dn': 35,
  'ssl-client-issuer-dn': 36,
  'ssl-client-cert': 37,
  traceparent: 38,
  tracestate: 39,
  'x-forwarded-prefix': 40,
  'x-forwarded-ssl': 41,
  'x-forwarded-protocol': 42,
  'x-forwarded-server': 43,
  'x-forwarded-client-cert': 44,
  'user-agent': 45,
  odd: 46,
} as const;

/** Candidates by (length, first letter); almost every bucket is empty or has one entry. */
const buckets: { id: number; bytes: Uint8Array }[][] = Array.from({ length: 1024 }, () => []);
for (const [name, id] of Object.entries(nameIds)) {
  if (id < 2 || id === nameIds.odd) continue;
  const bytes = Buffer.from(name, 'latin1');
  buckets[(bytes.length << 5) | ((bytes[0] ?? 0) & 31)]?.push({ id, bytes });
}

/** @returns the id of the name in `bytes[start, end)`, which holds tchars only; case does not matter */
export function nameIdOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length > 31) return nameIds.other;
  const bucket = buckets[(length << 5) | ((bytes[start] ?? 0) & 31)] as (typeof buckets)[number];
  for (let b = 0; b < bucket.length; b++) {
    const candidate = bucket[b] as { id: number; bytes: Uint8Array };
    let i = 0;
    while (i < length && ((bytes[start + i] as number) | 0x20) === candidate.bytes[i]) i++;
    if (i === length) return candidate.id;
  }
  return nameIds.other;
}

/** @param seen classes of its bytes (nameClass), of which some are not 1 */
export function unusualIdOf(seen: number): number {
  return (seen & 2) === 0 ? nameIds.odd : nameIds.underscore;
}
