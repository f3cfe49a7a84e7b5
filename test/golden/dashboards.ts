import { type Dashboard, grafana } from './grafana.ts';

/** What Grafana shows of Sluice, from which charts/sluice/files/dashboards is made. */

const rate = (metric: string, by: string, filter = '') => `sum by (${by}) (rate(${metric}${filter}[$__rate_interval]))`;
const quantiles = (metric: string) =>
  Object.fromEntries(
    [0.5, 0.9, 0.99].map((q) => [`p${q * 100}`, `histogram_quantile(${q}, ${rate(`${metric}_bucket`, 'le')})`]),
  );

const traffic: Dashboard = {
  title: 'Sluice / Traffic',
  uid: 'sluice-traffic',
  rows: {
    Overview: [
      {
        title: 'Requests',
        unit: 'reqps',
        help: 'By class of the status sent.',
        queries: { '{{code}}': rate('sluice_http_requests_total', 'code') },
      },
      {
        title: 'Success',
        unit: 'percentunit',
        help: 'Share of requests without a 5xx.',
        isStat: true,
        queries: {
          success: `1 - sum(rate(sluice_http_requests_total{code="5xx"}[$__rate_interval])) / sum(rate(sluice_http_requests_total[$__rate_interval]))`,
        },
      },
      {
        title: 'Duration',
        unit: 's',
        help: 'From the first byte of a request to the last of its response.',
        queries: quantiles('sluice_http_request_duration_seconds'),
      },
      {
        title: 'Backends answer after',
        unit: 's',
        help: 'From the last try until the head of the response.',
        queries: quantiles('sluice_upstream_response_seconds'),
      },
      {
        title: 'Why requests ended here',
        unit: 'reqps',
        help: 'Response flags; docs/logs.md says what each means.',
        queries: { '{{flag}}': `${rate('sluice_http_responses_flagged_total', 'flag')} > 0` },
      },
      {
        title: 'Bytes',
        unit: 'Bps',
        help: 'Of requests and responses.',
        queries: {
          received: 'sum(rate(sluice_http_request_bytes_total[$__rate_interval]))',
          sent: 'sum(rate(sluice_http_response_bytes_total[$__rate_interval]))',
        },
      },
    ],
    Routes: [
      {
        title: 'Requests by Ingress',
        unit: 'reqps',
        help: 'The ten with the most.',
        queries: { '{{namespace}}/{{name}}': `topk(10, ${rate('sluice_route_requests_total', 'namespace, name')})` },
      },
      {
        title: '5xx by Ingress',
        unit: 'reqps',
        help: 'The ten with the most.',
        queries: {
          '{{namespace}}/{{name}}': `topk(10, ${rate('sluice_route_requests_total', 'namespace, name', '{code="5xx"}')})`,
        },
      },
      {
        title: 'Mean duration by Ingress',
        unit: 's',
        help: 'The ten slowest.',
        queries: {
          '{{namespace}}/{{name}}': `topk(10, ${rate('sluice_route_request_duration_seconds_sum', 'namespace, name')} / ${rate('sluice_route_request_duration_seconds_count', 'namespace, name')})`,
        },
      },
      {
        title: 'Retries and rejections by Service',
        unit: 'reqps',
        help: 'Second tries, and requests that a limit of the backend turned away.',
        queries: {
          'retries {{namespace}}/{{service}}': rate('sluice_route_retries_total', 'namespace, service'),
          'rejections {{namespace}}/{{service}}': rate('sluice_route_rejections_total', 'namespace, service'),
        },
      },
      {
        title: 'Endpoints that pass their health check',
        unit: 'percentunit',
        help: 'Of backends that have one; the ten worst.',
        queries: {
          '{{backend}}':
            'bottomk(10, min by (backend) (sluice_backend_healthy_endpoints / sluice_backend_probed_endpoints))',
        },
      },
      {
        title: 'Endpoints left out',
        unit: 'cps',
        help: 'By what they did to requests; each worker decides for itself.',
        queries: { '{{reason}}': rate('sluice_endpoint_ejections_total', 'reason') },
      },
    ],
    'Connections and flows': [
      {
        title: 'Open connections',
        unit: 'short',
        help: 'Of clients.',
        queries: { '{{listener}}': 'sum by (listener) (sluice_connections)' },
      },
      {
        title: 'New connections',
        unit: 'cps',
        help: 'Of clients.',
        queries: { '{{listener}}': rate('sluice_connections_total', 'listener') },
      },
      {
        title: 'Turned away',
        unit: 'cps',
        help: 'Unread, by the limit that they ran into.',
        queries: { '{{reason}}': rate('sluice_connections_turned_away_total', 'reason') },
      },
      {
        title: 'TCP and UDP',
        unit: 'cps',
        help: 'Flows that ended.',
        queries: { '{{namespace}}/{{service}}': rate('sluice_route_flows_total', 'namespace, service') },
      },
      {
        title: 'Bytes of flows',
        unit: 'Bps',
        help: 'By direction.',
        queries: {
          received: 'sum(rate(sluice_route_flow_received_bytes_total[$__rate_interval]))',
          sent: 'sum(rate(sluice_route_flow_sent_bytes_total[$__rate_interval]))',
        },
      },
      {
        title: 'Requests in flight',
        unit: 'short',
        help: 'By proxy.',
        queries: { '{{instance}}': 'sum by (instance) (sluice_http_requests_in_flight)' },
      },
    ],
    Certificates: [
      {
        title: 'Expiry',
        unit: 's',
        help: 'Time that the ten nearest to their end have left.',
        queries: {
          '{{namespace}}/{{name}}':
            'bottomk(10, min by (namespace, name) (sluice_certificate_not_after_seconds)) - time()',
        },
      },
    ],
  },
};

const control: Dashboard = {
  title: 'Sluice / Control plane',
  uid: 'sluice-control',
  rows: {
    State: [
      {
        title: 'Leaders',
        unit: 'short',
        help: 'One is right.',
        isStat: true,
        queries: { leaders: 'sum(sluice_controller_leader)' },
      },
      {
        title: 'Proxies',
        unit: 'short',
        help: 'That follow controllers, and that have applied the newest table.',
        queries: {
          following: 'max(sum by (instance) (sluice_controller_proxies))',
          applied: 'max(sum by (instance) (sluice_controller_proxies_applied))',
          refusing: 'max(sluice_controller_proxies_refusing)',
        },
      },
      {
        title: 'Problems',
        unit: 'short',
        help: 'Of objects, by code; the page /problems of a controller says which.',
        queries: { '{{severity}} {{code}}': 'max by (severity, code) (sluice_controller_problems)' },
      },
      {
        title: 'Tables in force',
        unit: 'short',
        help: 'Different contents among proxies; more than one for long means that a proxy is left behind.',
        queries: { contents: 'count(count by (hash) (sluice_table_info))' },
      },
    ],
    Objects: [
      {
        title: 'Rows',
        unit: 'short',
        help: 'Of the table, by kind.',
        queries: { '{{kind}}': 'max by (kind) (sluice_controller_table_rows)' },
      },
      {
        title: 'Tables published',
        unit: 'cps',
        help: 'By controller.',
        queries: { '{{instance}}': 'sum by (instance) (rate(sluice_controller_table_generation[$__rate_interval]))' },
      },
      {
        title: 'Tables applied and refused',
        unit: 'cps',
        help: 'By proxies.',
        queries: {
          applied: 'sum(rate(sluice_tables_applied_total[$__rate_interval]))',
          refused: 'sum(rate(sluice_tables_refused_total[$__rate_interval]))',
        },
      },
      {
        title: 'Silence of watches',
        unit: 's',
        help: 'Since anything was heard of a kind of object.',
        queries: { '{{kind}}': 'max by (kind) (sluice_controller_watch_last_event_age_seconds)' },
      },
      {
        title: 'Watches that fail',
        unit: 'short',
        help: 'And full lists after the first.',
        queries: {
          'failing {{kind}}': 'max by (kind) (sluice_controller_watch_failing) > 0',
          'relists {{kind}}': 'sum by (kind) (increase(sluice_controller_watch_relists_total[$__rate_interval])) > 0',
        },
      },
      {
        title: 'Status writes',
        unit: 'cps',
        help: 'And Ingresses whose status somebody else keeps changing.',
        queries: {
          writes: 'sum(rate(sluice_controller_status_writes_total[$__rate_interval]))',
          contested: 'max(sluice_controller_status_contested)',
        },
      },
    ],
    Processes: [
      {
        title: 'Memory of controllers',
        unit: 'bytes',
        help: 'Resident.',
        queries: { '{{instance}}': 'sum by (instance) (sluice_controller_resident_memory_bytes)' },
      },
      {
        title: 'Workers ready',
        unit: 'short',
        help: 'By proxy.',
        queries: { '{{instance}}': 'sum by (instance) (sluice_workers_ready)' },
      },
      {
        title: 'Workers that ended',
        unit: 'short',
        help: 'By proxy.',
        queries: { '{{instance}}': 'sum by (instance) (increase(sluice_worker_restarts_total[$__rate_interval]))' },
      },
      {
        title: 'Streams',
        unit: 'short',
        help: 'Proxies and edges that are connected to a controller, and new connections.',
        queries: {
          connected: 'sum(sluice_stream_connected)',
          'new': 'sum(increase(sluice_stream_connects_total[$__rate_interval]))',
        },
      },
    ],
  },
};

const edge: Dashboard = {
  title: 'Sluice / Edge',
  uid: 'sluice-edge',
  rows: {
    State: [
      {
        title: 'Edges',
        unit: 'short',
        help: 'That follow controllers, and that have applied the newest plan.',
        queries: {
          following: 'max(sum by (instance) (sluice_controller_edges))',
          applied: 'max(sum by (instance) (sluice_controller_edges_applied))',
          refusing: 'max(sluice_controller_edges_refusing)',
        },
      },
      {
        title: 'Services that wait',
        unit: 'short',
        help: 'For their address or for its removal.',
        isStat: true,
        queries: { waiting: 'max(sluice_controller_services_waiting)' },
      },
      {
        title: 'Problems',
        unit: 'short',
        help: 'Of edges, by code.',
        queries: { '{{instance}} {{code}}': 'sum by (instance, code) (sluice_problems)' },
      },
    ],
    Addresses: [
      {
        title: 'Pools',
        unit: 'percentunit',
        help: 'Share of addresses that are assigned.',
        queries: {
          '{{pool}} {{family}}':
            'max by (pool, family) (sluice_controller_pool_addresses{state="assigned"}) / (max by (pool, family) (sluice_controller_pool_addresses{state="assigned"}) + max by (pool, family) (sluice_controller_pool_addresses{state="available"}))',
        },
      },
      {
        title: 'Addresses left',
        unit: 'short',
        help: 'By pool and family.',
        queries: {
          '{{pool}} {{family}}': 'max by (pool, family) (sluice_controller_pool_addresses{state="available"})',
        },
      },
      {
        title: 'Writes into Services',
        unit: 'cps',
        help: 'Of addresses and records.',
        queries: { writes: 'sum(rate(sluice_controller_service_writes_total[$__rate_interval]))' },
      },
    ],
    'Who answers for addresses': [
      {
        title: 'Addresses on layer 2',
        unit: 'short',
        help: 'That a node answers for.',
        queries: { '{{instance}}': 'sum by (instance) (sluice_layer2_addresses_held)' },
      },
      {
        title: 'Moves and conflicts',
        unit: 'short',
        help: 'Addresses that came to a node, that were not renewed in time, and that somebody else answered for.',
        queries: {
          takeovers: 'sum(increase(sluice_layer2_takeovers_total[$__rate_interval]))',
          losses: 'sum(increase(sluice_layer2_losses_total[$__rate_interval]))',
          conflicts: 'sum(increase(sluice_layer2_conflicts_total[$__rate_interval]))',
        },
      },
      {
        title: 'BGP sessions',
        unit: 'short',
        help: 'Established ones, and routes that peers were told.',
        queries: {
          'up {{peer}}': 'sum by (peer) (sluice_bgp_session_up)',
          'routes {{peer}}': 'sum by (peer) (sluice_bgp_announced_prefixes)',
        },
      },
    ],
    'Rules of nodes': [
      {
        title: 'Rows',
        unit: 'short',
        help: 'Of the plan, by kind.',
        queries: { '{{kind}}': 'max by (kind) (sluice_plan_rows)' },
      },
      {
        title: 'Time per transaction',
        unit: 's',
        help: 'That the kernel takes, by node.',
        queries: {
          '{{instance}}': `${rate('sluice_nft_apply_seconds_sum', 'instance')} / ${rate('sluice_nft_apply_seconds_count', 'instance')}`,
        },
      },
      {
        title: 'Refused transactions',
        unit: 'short',
        help: 'And whole tables that were written instead.',
        queries: {
          'refused {{instance}}': 'sum by (instance) (increase(sluice_nft_failures_total[$__rate_interval]))',
          'syncs {{instance}}': 'sum by (instance) (increase(sluice_nft_syncs_total[$__rate_interval]))',
        },
      },
      {
        title: 'Flows that the kernel remembers',
        unit: 'percentunit',
        help: 'Of those that it can.',
        queries: { '{{instance}}': 'max by (instance) (sluice_conntrack_flows / sluice_conntrack_flows_max)' },
      },
    ],
  },
};

/** Text of each file, by its name. */
export function dashboardFiles(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries({ traffic, control, edge }).map(([name, dashboard]) => [
      `${name}.json`,
      `${JSON.stringify(grafana(dashboard), null, 2)}\n`,
    ]),
  );
}
