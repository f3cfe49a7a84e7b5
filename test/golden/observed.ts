import type { Families } from '#kit/exposition.ts';
import { markdownTable } from '../../controller/annotations/markdown.ts';
import { controllerFamilies, planFamilies } from '../../controller/ops/families.ts';
import { layer2Families } from '../../proxy/announce/layer2families.ts';
import { edgeFamilies } from '../../proxy/edge/families.ts';
import { fleetFamilies, shareFamilies } from '../../proxy/fleet/families.ts';
import { compatFamilies } from '../../proxy/observe/compatfigures.ts';
import { processFamilies, streamFamilies, trafficFamilies } from '../../proxy/observe/families.ts';
import { flagMeanings } from '../../proxy/observe/flags.ts';
import { logFields } from '../../proxy/observe/logfields.ts';
import { speakFamilies } from '../../proxy/speak/families.ts';

/** Every register of metrics, by what shows it. */
export const registers: readonly { title: string; about: string; families: Families }[] = [
  {
    title: 'Proxies: traffic',
    about: 'Sums over the workers of a proxy (`sluice proxy`, `sluice standalone`).',
    families: trafficFamilies,
  },
  { title: 'Proxies: tables and workers', about: 'What a proxy says about itself.', families: fleetFamilies },
  { title: 'Proxies: shared state', about: 'With `--redis-url`.', families: shareFamilies },
  {
    title: 'Proxies: as ingress-nginx has them',
    about:
      'With `--metrics-compat ingress-nginx`, of routes of Ingresses. There are no labels for host and path; `method` is bounded, and `status`: of codes that no standard names the first sixteen are told, others as their class (`200`, `500`).',
    families: compatFamilies,
  },
  { title: 'Edges', about: 'The agent of a node (`sluice edge`).', families: edgeFamilies },
  {
    title: 'Edges: BGP',
    about: 'Of a node that a BGPPeer selects.',
    families: speakFamilies,
  },
  { title: 'Edges: layer 2', about: 'Addresses that the kernel of a node answers for.', families: layer2Families },
  { title: 'Proxies and edges: stream', about: 'Who follows controllers.', families: streamFamilies },
  { title: 'Proxies and edges: process', about: 'Of the primary process alone.', families: processFamilies },
  { title: 'Controllers', about: 'Every replica (`sluice controller`).', families: controllerFamilies },
  { title: 'Controllers: edges and addresses', about: 'With `--edge`.', families: planFamilies },
];

/** The text of docs/metrics.md. */
export function metricsDocument(): string {
  return [
    '# Metrics',
    '',
    'Generated from the registers in the code; do not edit.',
    '',
    'Every process shows its metrics at `/metrics` of its admin port, in the text format of Prometheus. Seconds and bytes are the units. Labels take their values from rows of tables and from the lists of this project alone, so no client can make a new series; series of routes that are gone are shown once more, and then no longer. Label values of one kind are the same everywhere: `route` and `backend` are ids of rows, which the access log has as `route_name` and `upstream_cluster`.',
    '',
    ...registers.flatMap(({ title, about, families }) => [
      `## ${title}`,
      '',
      about,
      '',
      ...markdownTable([
        ['Name', 'Type', 'Labels', 'What it says'],
        ...Object.entries(families).map(([name, { type, labels, help }]) => [
          `\`${name}\``,
          type,
          labels.map((label) => `\`${label}\``).join(', '),
          help,
        ]),
      ]),
      '',
    ]),
  ].join('\n');
}

/** The text of docs/logs.md. */
export function logsDocument(): string {
  return [
    '# Logs',
    '',
    'Generated from the registers in the code; do not edit.',
    '',
    '## Access log',
    '',
    "`--access-log stdout`, or a path. A line of JSON per request, and per TCP or UDP flow, at its end; names are those of Envoy's default log, and the identity in Kubernetes that ingress controllers add. What is not there is null. A file that was moved away is opened anew at `SIGUSR2`, of `sluice proxy` at `SIGHUP` as well.",
    '',
    ...markdownTable([
      ['Field', 'Type', 'Of flows', 'What it says'],
      ...Object.entries(logFields).map(([name, field]) => [
        `\`${name}\``,
        field.type,
        field.ofFlows ? 'yes' : '',
        'isOptional' in field ? `${field.help}; only where there is something to say` : field.help,
      ]),
    ]),
    '',
    '## Response flags',
    '',
    'One per line, in `response_flags` and as label `flag` of metrics. `-`: it was not the gateway that ended it.',
    '',
    ...markdownTable([
      ['Flag', 'Meaning'],
      ...Object.entries(flagMeanings).map(([flag, meaning]) => [`\`${flag}\``, meaning]),
    ]),
    '',
    '## Log of the processes',
    '',
    'Lines of JSON on stderr; `--log-level` says which. `level` is 20 (debug), 30 (info), 40 (warn) or 50 (error), `time` is in milliseconds since 1970, `msg` is the sentence. `controller`, `proxy` or `edge` says who speaks. A line about a row has its id as `row`, one about an object has it as `source` (kind, namespace, name, field), one about a problem has its `code`, as Events and pages have it. No line has key material, a token or a password. A pipe whose reader stops costs lines, not the process: 64 KiB of them wait, and what comes after those is dropped.',
    '',
  ].join('\n');
}
