import { hostname } from 'node:os';
import { z } from 'zod';
import { Prefix } from '#table/address.ts';
import { flag, integer, list, port, text, toggle } from './flag.ts';
import { address, commonFlags, everywhere, followFlags } from './flags.ts';

const oneBit = 'must be a number of one bit, as 0x1000';

/** Where the agent of this machine shows its pages. */
const pageFlags = {
  adminPort: flag(
    port.default(10_252),
    'PORT',
    'port of /healthz, /readyz, /metrics, /plan, /status, /problems; 0: a free one',
  ),
  adminAddress: flag(address.default(everywhere), 'IP', 'address of the admin port (default: all)'),
};

/** What an agent leaves behind is found again by it. */
const runFlags = {
  runDir: flag(
    text.regex(/^\/.{0,80}$/, 'must be an absolute path of at most 81 characters').default('/run/sluice'),
    'DIR',
    "folder of what goes on while no agent runs, BIRD's files and socket; must be empty after a boot",
  ),
};

/** What decides which rules a node has, and who it is. */
const nodeFlags = {
  node: flag(text.default(hostname()), 'NODE', 'name of this node in the cluster (default: the host name)'),
  services: flag(
    z
      .enum(['loadbalancer', 'nodeport', 'all'], { error: 'must be loadbalancer, nodeport or all' })
      .default('loadbalancer'),
    'WHAT',
    'what is served: loadbalancer (beside kube-proxy), nodeport (node ports, too), all (instead of kube-proxy)',
  ),
  podCidrs: flag(
    list(text.refine((value) => Prefix.safeParse(value).success, 'must be a range like 10.244.1.0/24')).default([]),
    'CIDR',
    "where this node's pods have their addresses from; may be repeated (default: as the Node says)",
  ),
  podInterfaces: flag(
    // It becomes part of a rule.
    list(text.regex(/^[\w.-]{1,14}[\w.*-]$/, 'must be the name of an interface, or its beginning and *')).default([]),
    'NAME',
    "interfaces of this node's pods, as cali*; may be repeated",
  ),
  masqueradeMark: flag(
    z
      .preprocess((value) => (typeof value === 'string' ? Number(value) : value), z.int({ error: oneBit }))
      .refine((value) => value > 0 && value < 2 ** 32 && Number.isInteger(Math.log2(value)), oneBit)
      .default(0x1000),
    'BIT',
    'bit of the packet mark that nobody else uses (default: 0x1000)',
  ),
  nodeHealthPort: flag(
    integer(1, 65_535).nullable().default(null),
    'PORT',
    'port of /healthz for load balancers outside (default: 10256 with --services all, else none)',
  ),
  heartbeatPort: flag(
    port.default(10_253),
    'PORT',
    'UDP port by which edges hear each other; the same on all nodes, and open between them',
  ),
  addressLifetime: flag(
    integer(3, 60).default(10),
    'SECONDS',
    'how long the kernel keeps an address of layer 2 when this agent hangs',
  ),
  ...runFlags,
};

export const edgeFlags = {
  ...followFlags,
  ...nodeFlags,
  ...pageFlags,
  stateDir: flag(text.nullable().default(null), 'DIR', 'folder of the last good plan, used when no controller answers'),
  stateKeyFile: flag(
    text.nullable().default(null),
    'FILE',
    'key of the secrets in --state-dir: base64 of 32 bytes (default: a file in that folder)',
  ),
  ...commonFlags,
};

export const edgeCleanupFlags = runFlags;

/** Of `sluice standalone`: the same agent, fed from files. */
export const standaloneEdgeFlags = {
  edge: flag(
    toggle.default(false),
    null,
    'bring traffic for the Services of the manifests to this machine, and on to their endpoints; needs root',
  ),
  ...nodeFlags,
  node: flag(
    text.default(hostname()),
    'NODE',
    'with --edge: name of this machine, of its Node if the manifests have one (default: the host name)',
  ),
  edgeAdminPort: flag(pageFlags.adminPort.schema, 'PORT', "with --edge: port of the agent's pages; 0: a free one"),
};

export const edgePageFlags = {
  ...pageFlags,
  adminAddress: flag(address.default('127.0.0.1'), 'IP', 'address of the agent'),
};
