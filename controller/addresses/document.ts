import { markdownTable } from '../annotations/markdown.ts';
import { openApi, type Schema } from './crd.ts';
import { type OwnKindName, ownGroup, ownKinds, ownVersion } from './kinds.ts';

const order: readonly OwnKindName[] = ['AddressPool', 'Announcement', 'BGPPeer'];

/** The text of docs/kinds.md. */
export function kindsDocument(): string {
  return [
    '# Kinds',
    '',
    'Generated from the schemas in controller/addresses; do not edit.',
    '',
    `The kinds of the group \`${ownGroup}/${ownVersion}\`, all of them cluster-scoped. They say which addresses Services of type LoadBalancer get and how the network learns of them; \`charts/sluice/files/crds.yaml\` has their definitions.`,
    '',
    '## What a Service says',
    '',
    ...markdownTable(ofServices),
    ...order.flatMap((kind) => {
      const { about, spec, status } = ownKinds[kind];
      const rows = rowsOf(openApi(spec), 'spec');
      if (status !== null) rows.push(...rowsOf(openApi(status), 'status'));
      return ['', `## ${kind}`, '', about, '', ...markdownTable([['Field', 'Type', 'Default', 'Meaning'], ...rows])];
    }),
    '',
  ].join('\n');
}

const ofServices = [
  ['Where', 'Meaning'],
  [
    '`spec.loadBalancerClass`',
    '`sluice.dev/edge`: the Service is ours. Without a class: only with `--watch-service-without-class`. Others are not touched.',
  ],
  [
    '`spec.ipFamilies`, `spec.ipFamilyPolicy`',
    'One address for each family, in this order. RequireDualStack: both or none; PreferDualStack: the second as soon as there is one.',
  ],
  [
    '`sluice.dev/addresses`',
    'Addresses that it wants, separated by commas; also `spec.loadBalancerIP`, `metallb.io/loadBalancerIPs`. They must be in a pool that admits the Service.',
  ],
  ['`sluice.dev/pool`', 'The only pool that it takes addresses from; also `metallb.io/address-pool`.'],
  [
    '`sluice.dev/sharing-key`',
    'Services with one key may have one address, if no port is in two of them and, with externalTrafficPolicy Local, namespace and selector are equal; also `metallb.io/allow-shared-ip`.',
  ],
  ['`sluice.dev/allocation`', 'Written by the controller: what the Service has, as pool/address.'],
];

function rowsOf(schema: Schema, path: string): string[][] {
  const rows: string[][] = [];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const at = `${path}.${name}`;
    const isRequired = schema.required?.includes(name) ?? false;
    const usual =
      field['default'] === undefined ? (isRequired ? 'needed' : '') : `\`${JSON.stringify(field['default'])}\``;
    rows.push([`\`${at}\``, typeOf(field), usual, field.description ?? '']);
    // Selectors are those of Kubernetes.
    if (!name.endsWith('elector')) rows.push(...rowsOf(field.items ?? field, field.items ? `${at}[]` : at));
  }
  return rows;
}

function typeOf({ type, items, enum: words, minimum, maximum, properties }: Schema): string {
  if (items) return `list of ${typeOf(items)}`;
  if (Array.isArray(words)) return words.join(', ');
  if (properties?.['matchLabels']) return 'label selector';
  if (type === 'integer') {
    const isOpen = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER;
    return isOpen ? 'integer' : `integer, ${minimum} to ${maximum}`;
  }
  return type ?? 'any';
}
