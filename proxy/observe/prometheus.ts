import { responseFlags } from './flags.ts';
import { type FlowSnapshot, flowLayout } from './flowmetrics.ts';
import {
  circuitLimits,
  ejectionReasons,
  type MetricsSnapshot,
  retryRefusals,
  seriesLayout,
  statusClasses,
  totalsLayout,
} from './metrics.ts';
import { type Labels, Page } from './page.ts';
import { turnAwayReasons } from './record.ts';
import type { SeriesName } from './series.ts';

/** Counters and gauges of the workers as Prometheus text (exposition format 0.0.4), base units, prefix `sluice_`. */
export function renderMetrics(snapshot: MetricsSnapshot): string {
  const { totals } = snapshot;
  const at = (place: number) => totals[place] ?? 0;
  const page = new Page();
  page.family('sluice_http_requests_total', 'counter', 'Requests that ended, by class of the status sent.');
  statusClasses.forEach((code, i) => {
    page.sample('', { code }, at(totalsLayout.classes + i));
  });
  page.family('sluice_http_responses_flagged_total', 'counter', 'Requests whose end the gateway decided, by reason.');
  responseFlags.forEach((flag, i) => {
    if (flag !== '-') page.sample('', { flag }, at(totalsLayout.flags + i));
  });
  page.single('sluice_http_requests_in_flight', 'gauge', 'Requests that have begun and not ended.', snapshot.inFlight);
  page.histogram(
    'sluice_http_request_duration_seconds',
    'From the first byte of a request to the last of its response.',
    {
      totals,
      place: totalsLayout.duration,
    },
  );
  page.histogram(
    'sluice_upstream_response_seconds',
    'From the last try of a request until the head of its response came.',
    {
      totals,
      place: totalsLayout.upstream,
    },
  );
  page.single(
    'sluice_http_request_bytes_total',
    'counter',
    'Bytes received from clients in requests.',
    at(totalsLayout.bytesReceived),
  );
  page.single(
    'sluice_http_response_bytes_total',
    'counter',
    'Bytes sent to clients in responses.',
    at(totalsLayout.bytesSent),
  );
  page.single(
    'sluice_upstream_retries_total',
    'counter',
    'Tries beyond the first one of a request.',
    at(totalsLayout.retries),
  );
  page.family(
    'sluice_upstream_retries_refused_total',
    'counter',
    'Requests that failed though their route asks for another try, by the reason why there was none.',
  );
  retryRefusals.forEach((reason, i) => {
    page.sample('', { reason }, at(totalsLayout.retryRefusals + i));
  });
  page.family(
    'sluice_circuit_rejections_total',
    'counter',
    'Requests, and retries, that a limit of their backend turned away, by limit.',
  );
  circuitLimits.forEach((limit, i) => {
    page.sample('', { limit }, at(totalsLayout.overflows + i));
  });
  page.family(
    'sluice_endpoint_ejections_total',
    'counter',
    'Endpoints that workers left out for a while, by reason; each worker decides for itself.',
  );
  ejectionReasons.forEach((reason, i) => {
    page.sample('', { reason }, at(totalsLayout.ejections + i));
  });
  page.family('sluice_connections', 'gauge', 'Client connections that are open, by listener.');
  for (const { listenerId, open } of snapshot.listeners) page.sample('', { listener: listenerId }, open);
  page.family('sluice_connections_total', 'counter', 'Client connections that were accepted, by listener.');
  for (const { listenerId, opened } of snapshot.listeners) page.sample('', { listener: listenerId }, opened);
  page.family(
    'sluice_connections_turned_away_total',
    'counter',
    'Connections that were turned away unread, by reason.',
  );
  for (const reason of turnAwayReasons) page.sample('', { reason }, snapshot.turnedAway[reason]);
  page.single(
    'sluice_access_log_dropped_lines_total',
    'counter',
    'Lines that the access log could not write.',
    snapshot.droppedLogLines,
  );
  renderRoutes(page, snapshot);
  renderFlows(page, snapshot.flows);
  return page.text();
}

function renderRoutes(page: Page, { series, values }: MetricsSnapshot): void {
  const value = (i: number, place: number) => values[i * seriesLayout.size + place] ?? 0;
  const labels = series.map(labelsOf);
  const eachRoute = (render: (labels: Labels, i: number) => void) => labels.forEach(render);

  page.family('sluice_route_requests_total', 'counter', 'Requests of a route that ended, by class of the status sent.');
  eachRoute((route, i) => {
    statusClasses.forEach((code, place) => {
      const count = value(i, seriesLayout.classes + place);
      if (count > 0) page.sample('', { ...route, code }, count);
    });
  });
  page.family('sluice_route_request_duration_seconds', 'summary', 'Duration of the requests of a route.');
  eachRoute((route, i) => {
    page.sample('_sum', route, value(i, seriesLayout.durationSeconds));
    page.sample(
      '_count',
      route,
      statusClasses.reduce((sum, _, place) => sum + value(i, place), 0),
    );
  });
  page.family('sluice_route_request_bytes_total', 'counter', 'Bytes received in requests of a route.');
  eachRoute((route, i) => page.sample('', route, value(i, seriesLayout.bytesReceived)));
  page.family('sluice_route_response_bytes_total', 'counter', 'Bytes sent in responses of a route.');
  eachRoute((route, i) => page.sample('', route, value(i, seriesLayout.bytesSent)));
  // Most routes never have any of these.
  const eachCount = (place: number) => {
    eachRoute((route, i) => {
      if (value(i, place) > 0) page.sample('', route, value(i, place));
    });
  };
  page.family('sluice_route_retries_total', 'counter', 'Tries of a route beyond the first one of a request.');
  eachCount(seriesLayout.retries);
  page.family(
    'sluice_route_rejections_total',
    'counter',
    'Requests of a route that a limit of their backend turned away.',
  );
  eachCount(seriesLayout.overflows);
}

function renderFlows(page: Page, { flags, retries, droppedDatagrams, series, values }: FlowSnapshot): void {
  const value = (i: number, place: number) => values[i * flowLayout.size + place] ?? 0;
  const eachRoute = (place: number) =>
    series.forEach((name, i) => {
      page.sample('', labelsOf(name), value(i, place));
    });
  page.family(
    'sluice_flows_total',
    'counter',
    'TCP connections and UDP flows that ended, by reason; "-": by themselves.',
  );
  responseFlags.forEach((flag, i) => {
    const count = flags[i] ?? 0;
    if (count > 0) page.sample('', { flag }, count);
  });
  page.single('sluice_flow_retries_total', 'counter', 'Tries beyond the first one of a flow.', retries);
  page.single(
    'sluice_datagrams_dropped_total',
    'counter',
    'Datagrams that were thrown away: too many flows, or no endpoint.',
    droppedDatagrams,
  );
  page.family('sluice_route_flows_total', 'counter', 'Flows of a route that ended.');
  eachRoute(flowLayout.ended);
  page.family('sluice_route_flow_seconds_total', 'counter', 'How long the flows of a route lasted together.');
  eachRoute(flowLayout.durationSeconds);
  page.family('sluice_route_flow_received_bytes_total', 'counter', 'Bytes received from clients in flows of a route.');
  eachRoute(flowLayout.bytesReceived);
  page.family('sluice_route_flow_sent_bytes_total', 'counter', 'Bytes sent to clients in flows of a route.');
  eachRoute(flowLayout.bytesSent);
}

function labelsOf(name: SeriesName): Labels {
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
