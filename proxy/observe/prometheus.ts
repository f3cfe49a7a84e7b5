import { exposition } from '#kit/exposition.ts';
import { trafficFamilies } from './families.ts';
import { responseFlags } from './flags.ts';
import { type FlowSnapshot, flowLayout } from './flowmetrics.ts';
import {
  bucketBounds,
  circuitLimits,
  ejectionReasons,
  type MetricsSnapshot,
  retryRefusals,
  seriesLayout,
  statusClasses,
  totalsLayout,
} from './metrics.ts';
import { handshakeFaults, turnAwayReasons } from './record.ts';
import type { SeriesName } from './series.ts';

const show = exposition(trafficFamilies);

/** Counters and gauges of the workers as Prometheus text. */
export function renderMetrics(snapshot: MetricsSnapshot): string {
  const { totals, listeners, turnedAway } = snapshot;
  const at = (place: number) => totals[place] ?? 0;
  const histogram = (place: number) => {
    const end = place + bucketBounds.length + 1;
    return [[{}, totals.subarray(place, end), at(end)]] as const;
  };
  return [
    show.rows(
      'sluice_http_requests_total',
      statusClasses.map((code, i) => [{ code }, at(totalsLayout.classes + i)]),
    ),
    show.rows(
      'sluice_http_responses_flagged_total',
      responseFlags.flatMap((flag, i) => (flag === '-' ? [] : [[{ flag }, at(totalsLayout.flags + i)] as const])),
    ),
    show.single('sluice_http_requests_in_flight', snapshot.inFlight),
    show.histograms('sluice_http_request_duration_seconds', bucketBounds, histogram(totalsLayout.duration)),
    show.histograms('sluice_upstream_response_seconds', bucketBounds, histogram(totalsLayout.upstream)),
    show.single('sluice_http_request_bytes_total', at(totalsLayout.bytesReceived)),
    show.single('sluice_http_response_bytes_total', at(totalsLayout.bytesSent)),
    show.single('sluice_upstream_retries_total', at(totalsLayout.retries)),
    show.rows(
      'sluice_upstream_retries_refused_total',
      retryRefusals.map((reason, i) => [{ reason }, at(totalsLayout.retryRefusals + i)]),
    ),
    show.rows(
      'sluice_circuit_rejections_total',
      circuitLimits.map((limit, i) => [{ limit }, at(totalsLayout.overflows + i)]),
    ),
    show.rows(
      'sluice_endpoint_ejections_total',
      ejectionReasons.map((reason, i) => [{ reason }, at(totalsLayout.ejections + i)]),
    ),
    show.rows(
      'sluice_endpoint_ejections_withheld_total',
      ejectionReasons.map((reason, i) => [{ reason }, at(totalsLayout.withheld + i)]),
    ),
    show.rows(
      'sluice_connections',
      listeners.map(({ listenerId, open }) => [{ listener: listenerId }, open]),
    ),
    show.rows(
      'sluice_connections_total',
      listeners.map(({ listenerId, opened }) => [{ listener: listenerId }, opened]),
    ),
    show.rows(
      'sluice_connections_turned_away_total',
      turnAwayReasons.map((reason) => [{ reason }, turnedAway[reason]]),
    ),
    show.rows(
      'sluice_tls_handshakes_failed_total',
      handshakeFaults.map((reason, i) => [{ reason }, at(totalsLayout.handshakes + i)]),
    ),
    show.single('sluice_access_log_dropped_lines_total', snapshot.droppedLogLines),
    show.single('sluice_spans_exported_total', snapshot.spans.exported),
    show.single('sluice_spans_dropped_total', snapshot.spans.dropped),
    ...routesText(snapshot),
    ...flowsText(snapshot.flows),
  ].join('');
}

function routesText({ series, values }: MetricsSnapshot): string[] {
  const value = (i: number, place: number) => values[i * seriesLayout.size + place] ?? 0;
  const each = (place: number) => series.map((name, i) => [labelsOf(name), value(i, place)] as const);
  // Most routes never have any of these.
  const eachCount = (place: number) => each(place).filter(([, count]) => count > 0);
  return [
    show.rows(
      'sluice_route_requests_total',
      series.flatMap((name, i) =>
        statusClasses
          .map((code, place) => [{ ...labelsOf(name), code }, value(i, seriesLayout.classes + place)] as const)
          .filter(([, count]) => count > 0),
      ),
    ),
    show.summaries(
      'sluice_route_request_duration_seconds',
      series.map((name, i) => [
        labelsOf(name),
        value(i, seriesLayout.durationSeconds),
        statusClasses.reduce((sum, _, place) => sum + value(i, seriesLayout.classes + place), 0),
      ]),
    ),
    show.rows('sluice_route_request_bytes_total', each(seriesLayout.bytesReceived)),
    show.rows('sluice_route_response_bytes_total', each(seriesLayout.bytesSent)),
    show.rows('sluice_route_retries_total', eachCount(seriesLayout.retries)),
    show.rows('sluice_route_rejections_total', eachCount(seriesLayout.overflows)),
  ];
}

function flowsText({ flags, retries, droppedDatagrams, series, values }: FlowSnapshot): string[] {
  const each = (place: number) =>
    series.map((name, i) => [labelsOf(name), values[i * flowLayout.size + place] ?? 0] as const);
  return [
    show.rows(
      'sluice_flows_total',
      responseFlags.map((flag, i) => [{ flag }, flags[i] ?? 0] as const).filter(([, count]) => count > 0),
    ),
    show.single('sluice_flow_retries_total', retries),
    show.single('sluice_datagrams_dropped_total', droppedDatagrams),
    show.rows('sluice_route_flows_total', each(flowLayout.ended)),
    show.rows('sluice_route_flow_seconds_total', each(flowLayout.durationSeconds)),
    show.rows('sluice_route_flow_received_bytes_total', each(flowLayout.bytesReceived)),
    show.rows('sluice_route_flow_sent_bytes_total', each(flowLayout.bytesSent)),
  ];
}

function labelsOf(name: SeriesName) {
  return {
    kind: name.kind,
    namespace: name.namespace,
    name: name.name,
    route: name.routeId,
    backend: name.backendId,
    service: name.service,
    service_port: name.servicePort,
  };
}
