/**
 * Why the gateway, and not the backend, decided how a request or flow ended, in the order in which flags are counted. One per
 * request; for the access log and metrics. Names follow Envoy's response flags where one exists, because log pipelines know
 * them. Of timeouts, each has its own: the setting that it comes from stands behind it.
 */
export const flagMeanings = {
  '-': 'the backend answered; the two sides ended a WebSocket or a flow, a UDP flow by saying no more',
  NR: 'no route',
  NE: 'no endpoint that can take it',
  UO: 'the backend has as much as it may have: max-requests and its kin',
  BR: "the route's backend is broken (a problem on its object)",
  UF: 'no connection to the backend',
  UV: "the backend's certificate is not trusted",
  UC: 'the backend closed before or during its response, or reset a flow',
  UPE: "the backend's response was malformed, or no HTTP/2 where that is to be spoken; or HTTP/2 is, and a WebSocket was asked for (501, no try)",
  UCT: 'no connection to the backend in time: proxy-connect-timeout',
  UST: 'the backend did not take the request in time: proxy-send-timeout',
  UT: 'the backend was silent for too long: proxy-read-timeout',
  UTT: 'no response head in the time of one try: per-try-timeout',
  DT: 'the whole request took too long: request-timeout, or what the client of a gRPC call gives it',
  SI: 'a WebSocket or a TCP flow was silent for too long: websocket-idle-timeout, proxy-stream-timeout',
  DPE: 'the request was malformed, its HTTP/2 connection broke a rule, or a PROXY header was malformed, was missing, or came from a stranger',
  CC: "the client's certificate: none, not trusted, for somebody else, or asked for by another host",
  AD: "the client's address may not come here: denylist-source-range, allowlist-source-range",
  DC: 'the client went away',
  DHT: 'the client did not send the request head, a PROXY header or a ClientHello in time: --limit-head-ms, proxy-protocol-header-timeout, --limit-handshake-ms',
  DBT: 'the client did not send the request body in time: --limit-body-idle-ms',
  DWT: 'the client did not take the response in time: --limit-write-idle-ms',
  GE: 'the gateway ended before it did: --drain-grace',
  LR: 'answered by a filter (redirect)',
  RL: 'a limit (413, 414, 431)',
  OM: 'overload',
} as const;

export const responseFlags = Object.keys(flagMeanings) as (keyof typeof flagMeanings)[];
