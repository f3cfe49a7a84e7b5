/** A field of a line of the access log. */
interface LogField {
  readonly type: 'text' | 'number' | 'time';
  readonly help: string;
  /** Lines of flows (TCP, UDP, TLS passthrough) have it, if only as null. */
  readonly ofFlows: boolean;
  /** A line without it has nothing to say there; all others are there always, as null when there is nothing. */
  readonly isOptional?: true;
}

/** Every field, in the order of a line. */
export const logFields = {
  start_time: { type: 'time', ofFlows: true, help: 'when the request began, RFC 3339 in UTC' },
  method: { type: 'text', ofFlows: true, help: 'null where nothing could be read' },
  path: {
    type: 'text',
    ofFlows: true,
    help: 'request target as the client sent it, with its query, but without scheme and host; null where the request was refused before',
  },
  protocol: { type: 'text', ofFlows: true, help: 'HTTP/1.0, HTTP/1.1, HTTP/2.0, TCP or UDP' },
  response_code: {
    type: 'number',
    ofFlows: true,
    help: 'status that was sent, 101 for every WebSocket; 499: none before the client or the gateway ended it; 0: of flows',
  },
  response_flags: { type: 'text', ofFlows: true, help: 'why the gateway decided how it ended: see below' },
  bytes_received: {
    type: 'number',
    ofFlows: true,
    help: 'of the request body, without its framing; of WebSockets and flows, all that the client sent after the head',
  },
  bytes_sent: {
    type: 'number',
    ofFlows: true,
    help: 'heads and bodies to the client, with the framing of HTTP/1.1; heads of HTTP/2 as they are before compression',
  },
  duration: { type: 'number', ofFlows: true, help: 'from its first byte to the last of the response, ms' },
  upstream_service_time: {
    type: 'number',
    ofFlows: true,
    help: "from the last try until the backend's response head, ms; of flows: until it was connected, with UDP until the first answer",
  },
  x_forwarded_for: { type: 'text', ofFlows: true, help: 'as the client sent it' },
  client_address: { type: 'text', ofFlows: true, help: 'the client, behind trusted proxies' },
  user_agent: { type: 'text', ofFlows: true, help: 'as the client sent it' },
  request_id: { type: 'text', ofFlows: true, help: 'X-Request-Id, which the backend was told, too' },
  trace_id: {
    type: 'text',
    ofFlows: false,
    isOptional: true,
    help: 'of requests that are traced: the trace, sampled or not',
  },
  authority: { type: 'text', ofFlows: true, help: 'host that was asked for' },
  upstream_host: { type: 'text', ofFlows: true, help: 'address:port of the last try' },
  upstream_tries: {
    type: 'number',
    ofFlows: true,
    help: 'tries at endpoints; 0: none. A kept connection that had died is replaced within a try',
  },
  retry_refused: {
    type: 'text',
    ofFlows: false,
    help: 'why a failed try was not followed by another, though the route asks for it',
  },
  upstream_transport_failure_reason: {
    type: 'text',
    ofFlows: false,
    isOptional: true,
    help: "why TLS with the backend failed, in OpenSSL's words",
  },
  requested_server_name: { type: 'text', ofFlows: true, help: 'server name (SNI) of the client' },
  upstream_cluster: { type: 'text', ofFlows: true, help: 'id of the backend row' },
  route_name: { type: 'text', ofFlows: true, help: 'id of the route row' },
  ingress: { type: 'text', ofFlows: true, help: 'name of the Ingress that the route comes from' },
  namespace: { type: 'text', ofFlows: true, help: 'namespace of the object that the route comes from' },
  service: { type: 'text', ofFlows: true, help: 'Service that the request went to' },
  service_port: { type: 'text', ofFlows: true, help: 'its port, by name or number' },
} as const satisfies Readonly<Record<string, LogField>>;
