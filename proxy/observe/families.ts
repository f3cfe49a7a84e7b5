import type { Families } from '#kit/exposition.ts';

/** Which route of which object a series counts, and the backend that the requests went to. */
const routeLabels = ['kind', 'namespace', 'name', 'route', 'backend', 'service', 'service_port'] as const;

/** What the workers of a proxy count together. */
export const trafficFamilies = {
  sluice_http_requests_total: {
    type: 'counter',
    help: 'Requests that ended, by class of the status sent; without one 4xx (499), and above 599 none. A failure that the gateway tells a gRPC client counts as the status that others would get.',
    labels: ['code'],
  },
  sluice_http_responses_flagged_total: {
    type: 'counter',
    help: 'Requests whose end the gateway decided, by reason.',
    labels: ['flag'],
  },
  sluice_http_requests_in_flight: { type: 'gauge', help: 'Requests that have begun and not ended.', labels: [] },
  sluice_http_request_duration_seconds: {
    type: 'histogram',
    help: 'From the first byte of a request to the last of its response.',
    labels: [],
  },
  sluice_upstream_response_seconds: {
    type: 'histogram',
    help: 'From the last try of a request until the head of its response came.',
    labels: [],
  },
  sluice_http_request_bytes_total: {
    type: 'counter',
    help: 'Bytes received from clients in bodies of requests.',
    labels: [],
  },
  sluice_http_response_bytes_total: {
    type: 'counter',
    help: 'Bytes sent to clients in responses, heads included.',
    labels: [],
  },
  sluice_upstream_retries_total: { type: 'counter', help: 'Tries beyond the first one of a request.', labels: [] },
  sluice_upstream_retries_refused_total: {
    type: 'counter',
    help: 'Requests that failed though their route asks for another try, by the reason why there was none.',
    labels: ['reason'],
  },
  sluice_circuit_rejections_total: {
    type: 'counter',
    help: 'Requests, and retries, that a limit of their backend turned away, by limit.',
    labels: ['limit'],
  },
  sluice_endpoint_ejections_total: {
    type: 'counter',
    help: 'Endpoints that workers left out for a while, by reason; each worker decides for itself.',
    labels: ['reason'],
  },
  sluice_endpoint_ejections_withheld_total: {
    type: 'counter',
    help: 'Endpoints that failed as much and stayed in use, because no more of their backend might be left out, by reason.',
    labels: ['reason'],
  },
  sluice_connections: { type: 'gauge', help: 'Client connections that are open, by listener.', labels: ['listener'] },
  sluice_connections_total: {
    type: 'counter',
    help: 'Client connections that were accepted, by listener.',
    labels: ['listener'],
  },
  sluice_connections_turned_away_total: {
    type: 'counter',
    help: 'Connections that were turned away unread, by reason.',
    labels: ['reason'],
  },
  sluice_tls_handshakes_failed_total: {
    type: 'counter',
    help: 'Clients that have said something and got no TLS connection, by reason; "certificate": they do not take ours.',
    labels: ['reason'],
  },
  sluice_access_log_dropped_lines_total: {
    type: 'counter',
    help: 'Lines that the access log could not write.',
    labels: [],
  },
  sluice_spans_exported_total: { type: 'counter', help: 'Spans that the collector took.', labels: [] },
  sluice_spans_dropped_total: {
    type: 'counter',
    help: 'Spans that were not sent: the collector did not take them, or more came than wait for it.',
    labels: [],
  },
  sluice_route_requests_total: {
    type: 'counter',
    help: 'Requests of a route that ended, by class of the status sent; without one 4xx (499), and above 599 none. A failure that the gateway tells a gRPC client counts as the status that others would get.',
    labels: [...routeLabels, 'code'],
  },
  sluice_route_request_duration_seconds: {
    type: 'summary',
    help: 'Duration of the requests of a route.',
    labels: routeLabels,
  },
  sluice_route_request_bytes_total: {
    type: 'counter',
    help: 'Bytes received in bodies of requests of a route.',
    labels: routeLabels,
  },
  sluice_route_response_bytes_total: {
    type: 'counter',
    help: 'Bytes sent in responses of a route, heads included.',
    labels: routeLabels,
  },
  sluice_route_retries_total: {
    type: 'counter',
    help: 'Tries of a route beyond the first one of a request.',
    labels: routeLabels,
  },
  sluice_route_rejections_total: {
    type: 'counter',
    help: 'Requests of a route, and retries, that a limit of their backend turned away.',
    labels: routeLabels,
  },
  sluice_flows_total: {
    type: 'counter',
    help: 'TCP connections and UDP flows that ended, by reason; "-": by themselves.',
    labels: ['flag'],
  },
  sluice_flow_retries_total: { type: 'counter', help: 'Tries beyond the first one of a flow.', labels: [] },
  sluice_datagrams_dropped_total: {
    type: 'counter',
    help: 'Datagrams that were thrown away: too many flows, no endpoint, or a way that takes no more.',
    labels: [],
  },
  sluice_route_flows_total: { type: 'counter', help: 'Flows of a route that ended.', labels: routeLabels },
  sluice_route_flow_seconds_total: {
    type: 'counter',
    help: 'How long the flows of a route lasted together.',
    labels: routeLabels,
  },
  sluice_route_flow_received_bytes_total: {
    type: 'counter',
    help: 'Bytes received from clients in flows of a route.',
    labels: routeLabels,
  },
  sluice_route_flow_sent_bytes_total: {
    type: 'counter',
    help: 'Bytes sent to clients in flows of a route.',
    labels: routeLabels,
  },
} as const satisfies Families;

/** What every process says about itself. */
export const processFamilies = {
  process_resident_memory_bytes: { type: 'gauge', help: 'Memory of this process, without its workers.', labels: [] },
  process_cpu_seconds_total: { type: 'counter', help: 'CPU time of this process, without its workers.', labels: [] },
  process_start_time_seconds: { type: 'gauge', help: 'Start of this process, seconds since 1970.', labels: [] },
} as const satisfies Families;

/** What every follower of controllers says about its stream. */
export const streamFamilies = {
  sluice_stream_connected: { type: 'gauge', help: 'Whether a controller is connected.', labels: [] },
  sluice_stream_connects_total: { type: 'counter', help: 'Connections to controllers that were made.', labels: [] },
} as const satisfies Families;
