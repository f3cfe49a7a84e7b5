/** Series of promtool, of a sample each minute, by which an alert fires, and by which it does not. */
export interface Case {
  /** Minutes after which it fires. */
  readonly afterMin: number;
  readonly fires: Readonly<Record<string, string>>;
  readonly quiet: Readonly<Record<string, string>>;
}

const route = (code: string) =>
  `sluice_route_requests_total{kind="Ingress",namespace="shop",name="web",code="${code}"}`;
const certificate = 'sluice_certificate_not_after_seconds{namespace="shop",name="tls"}';
const leader = (instance: string) => `sluice_controller_leader{job="sluice",instance="${instance}"}`;
const problems = (severity: string) => `sluice_controller_problems{code="HostTaken",severity="${severity}"}`;
const pool = (state: string) => `sluice_controller_pool_addresses{pool="lan",family="IPv4",state="${state}"}`;
const probed = 'sluice_backend_probed_endpoints{backend="shop/web/80"}';
const healthy = 'sluice_backend_healthy_endpoints{backend="shop/web/80"}';

/** The same value for an hour. */
const stays = (value: number) => `${value}x60`;
/** So much more each minute. */
const grows = (each: number) => `0+${each}x60`;

const flag = (what: string): Pick<Case, 'fires' | 'quiet'> => ({
  fires: { [what]: stays(1) },
  quiet: { [what]: stays(0) },
});
const lack = (whole: string, part: string): Pick<Case, 'fires' | 'quiet'> => ({
  fires: { [whole]: stays(3), [part]: stays(2) },
  quiet: { [whole]: stays(3), [part]: stays(3) },
});
const count = (what: string): Pick<Case, 'fires' | 'quiet'> => ({
  fires: { [what]: grows(1) },
  quiet: { [what]: stays(7) },
});

export const cases: Readonly<Record<string, Case>> = {
  SluiceErrorRateHigh: {
    afterMin: 15,
    fires: { [route('5xx')]: grows(12), [route('2xx')]: grows(120) },
    quiet: { [route('5xx')]: grows(3), [route('2xx')]: grows(120) },
  },
  SluiceNoEndpoints: { afterMin: 8, ...count('sluice_http_responses_flagged_total{flag="NE"}') },
  SluiceBackendUnhealthy: {
    afterMin: 6,
    fires: { [healthy]: stays(0), [probed]: stays(2) },
    quiet: { [healthy]: stays(0), [probed]: stays(0) },
  },
  SluiceConnectionsTurnedAway: {
    afterMin: 15,
    fires: { 'sluice_connections_turned_away_total{reason="full"}': grows(120) },
    quiet: { 'sluice_connections_turned_away_total{reason="full"}': grows(30) },
  },
  SluiceWorkersRestart: { afterMin: 16, ...count('sluice_worker_restarts_total') },
  SluiceAccessLogDropsLines: { afterMin: 15, ...count('sluice_access_log_dropped_lines_total') },
  SluiceStateNotShared: {
    afterMin: 6,
    fires: { sluice_share_up: stays(0) },
    quiet: { sluice_share_up: stays(1) },
  },
  SluiceCertificateExpiresSoon: {
    afterMin: 61,
    fires: { [certificate]: `${3 * 86_400}x90` },
    quiet: { [certificate]: `${30 * 86_400}x90` },
  },
  SluiceCertificateExpired: {
    afterMin: 10,
    fires: { [certificate]: stays(300) },
    quiet: { [certificate]: stays(900) },
  },
  SluiceNoController: {
    afterMin: 6,
    fires: { [leader('a')]: stays(0), [leader('b')]: stays(0) },
    quiet: { [leader('a')]: stays(0), [leader('b')]: stays(1) },
  },
  SluiceTwoLeaders: {
    afterMin: 3,
    fires: { [leader('a')]: stays(1), [leader('b')]: stays(1) },
    // Of another release in the same cluster.
    quiet: { [leader('a')]: stays(1), 'sluice_controller_leader{job="other",instance="b"}': stays(1) },
  },
  SluiceWatchFails: { afterMin: 6, ...flag('sluice_controller_watch_failing{kind="Ingress"}') },
  SluiceTableRefused: { afterMin: 2, ...flag('sluice_controller_proxies_refusing') },
  SluiceProxiesBehind: { afterMin: 6, ...lack('sluice_controller_proxies', 'sluice_controller_proxies_applied') },
  SluiceNotFollowing: {
    afterMin: 6,
    fires: { sluice_stream_connected: stays(0) },
    quiet: { sluice_stream_connected: stays(1) },
  },
  SluiceProblems: {
    afterMin: 16,
    fires: { [problems('error')]: stays(2) },
    quiet: { [problems('warning')]: stays(2) },
  },
  SluiceStatusContested: { afterMin: 31, ...flag('sluice_controller_status_contested') },
  SluiceRulesFail: { afterMin: 5, ...count('sluice_nft_failures_total') },
  SluicePlanRefused: { afterMin: 2, ...flag('sluice_controller_edges_refusing') },
  SluiceEdgesBehind: { afterMin: 6, ...lack('sluice_controller_edges', 'sluice_controller_edges_applied') },
  SluiceBgpSessionDown: {
    afterMin: 3,
    fires: { 'sluice_bgp_session_up{peer="rack"}': stays(0) },
    quiet: { 'sluice_bgp_session_up{peer="rack"}': stays(1) },
  },
  SluiceAddressClaimedByOthers: { afterMin: 5, ...count('sluice_layer2_conflicts_total') },
  SluiceEdgesDoNotHear: { afterMin: 6, ...lack('sluice_layer2_peers', 'sluice_layer2_peers_heard') },
  SluicePoolExhausted: {
    afterMin: 11,
    fires: { [pool('available')]: stays(0), [pool('assigned')]: stays(5) },
    quiet: { [pool('available')]: stays(0), [pool('assigned')]: stays(0) },
  },
  SluiceConntrackNearlyFull: {
    afterMin: 6,
    fires: { sluice_conntrack_flows: stays(90), sluice_conntrack_flows_max: stays(100) },
    quiet: { sluice_conntrack_flows: stays(80), sluice_conntrack_flows_max: stays(100) },
  },
};
