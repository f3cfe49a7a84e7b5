import { exposition, type Families } from '#kit/exposition.ts';
import {
  type CompatSeries,
  compatSizeBounds,
  compatTimeBounds,
  histogramOf,
  type Measure,
  requestsOf,
} from './compatmetrics.ts';

const labels = ['controller_class', 'controller_pod', 'namespace', 'ingress', 'service', 'method', 'status'] as const;

/** The request metrics of ingress-nginx, with --metrics-compat ingress-nginx. */
export const compatFamilies = {
  nginx_ingress_controller_requests: { type: 'counter', help: 'Requests that ended, of an Ingress.', labels },
  nginx_ingress_controller_request_duration_seconds: {
    type: 'histogram',
    help: 'From the first byte of a request to the last of its response.',
    labels,
  },
  nginx_ingress_controller_connect_duration_seconds: {
    type: 'histogram',
    help: 'Until the last try was connected; 0 on a connection that was kept.',
    labels,
  },
  nginx_ingress_controller_header_duration_seconds: {
    type: 'histogram',
    help: 'From the last try until the head of the response.',
    labels,
  },
  nginx_ingress_controller_response_duration_seconds: {
    type: 'histogram',
    help: 'Duration of requests that a backend answered.',
    labels,
  },
  nginx_ingress_controller_request_size: {
    type: 'histogram',
    help: 'Bytes received from clients, without heads.',
    labels,
  },
  nginx_ingress_controller_response_size: { type: 'histogram', help: 'Bytes sent to clients, heads included.', labels },
} as const satisfies Families;

const show = exposition(compatFamilies);

/** @param pod name of this proxy */
export function compatFigures(series: readonly CompatSeries[], pod: string): string {
  const named = series.map((each) => ({
    each,
    names: { controller_class: 'sluice.dev/ingress-controller', controller_pod: pod, ...each.name },
  }));
  const measured = (measure: Measure) =>
    named.map(({ names, each }) => [names, ...histogramOf(each, measure)] as const);
  return [
    show.rows(
      'nginx_ingress_controller_requests',
      named.map(({ names, each }) => [names, requestsOf(each)]),
    ),
    show.histograms('nginx_ingress_controller_request_duration_seconds', compatTimeBounds, measured('request')),
    show.histograms('nginx_ingress_controller_connect_duration_seconds', compatTimeBounds, measured('connect')),
    show.histograms('nginx_ingress_controller_header_duration_seconds', compatTimeBounds, measured('header')),
    show.histograms('nginx_ingress_controller_response_duration_seconds', compatTimeBounds, measured('response')),
    show.histograms('nginx_ingress_controller_request_size', compatSizeBounds, measured('requestSize')),
    show.histograms('nginx_ingress_controller_response_size', compatSizeBounds, measured('responseSize')),
  ].join('');
}
