import { BgpPassword, InterfaceName } from '#table/announce.ts';
import type { PlanRow } from '#table/plan.ts';
import type { Problem, Source } from '#table/problem.ts';
import { canonicalAddress, familyOf } from '../addresses/ranges.ts';
import { localFault } from '../translate/names.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { selectedNodes } from './nodes.ts';
import { planProblem } from './problems.ts';

type Peer = ObjectOf<'BGPPeer'>;

/**
 * The rows of one peer. A peer that cannot be had as it is written is left out: without its password, or from another
 * interface, it would be another peer.
 *
 * @param secret that its password is in, if it names one
 */
export function planPeer(
  { metadata: { name }, spec }: Peer,
  secret: { key: string; object: ObjectOf<'Secret'> | undefined } | null,
  nodes: readonly ObjectOf<'Node'>[],
): { rows: PlanRow[]; problems: Problem[] } {
  const source: Source = { kind: 'BGPPeer', namespace: '', name };
  const problems: Problem[] = [];
  const address = peerAddress(spec, 'address', source, problems);
  const sourceAddress = spec.sourceAddress === undefined ? null : peerAddress(spec, 'sourceAddress', source, problems);
  if (spec.interface !== undefined && !InterfaceName.safeParse(spec.interface).success) {
    const values = { address: spec.interface, fault: 'is not the name of a network interface' };
    problems.push(planProblem('PeerAddressInvalid', { ...source, field: 'spec.interface' }, values));
  }
  const secretId = secret === null ? null : `peer/${name}`;
  const value = secret === null ? null : passwordOf(spec, secret, source, problems);
  if (address === null || problems.length > 0) return { rows: [], problems };
  const bfd = spec.bfd && {
    receiveMs: spec.bfd.receiveIntervalMilliseconds,
    transmitMs: spec.bfd.transmitIntervalMilliseconds,
    multiplier: spec.bfd.detectMultiplier,
    isPassive: spec.bfd.passive,
  };
  const row: Extract<PlanRow, { kind: 'peer' }>['row'] = {
    id: name,
    source,
    nodes: selectedNodes(nodes, spec.nodeSelector),
    address,
    port: spec.port,
    localAsn: spec.localASN,
    peerAsn: spec.peerASN,
    secretId,
    bfd: bfd ?? null,
    holdTimeSeconds: spec.holdTimeSeconds,
    keepaliveSeconds: spec.keepaliveTimeSeconds ?? null,
    connectRetrySeconds: spec.connectRetrySeconds,
    multihopTtl: spec.multihopTTL ?? null,
    sourceAddress,
    interface: spec.interface ?? null,
    gracefulRestartSeconds: spec.gracefulRestart?.restartTimeSeconds ?? null,
  };
  const secrets: PlanRow[] =
    secretId === null || value === null ? [] : [{ kind: 'secret', row: { id: secretId, value } }];
  return { rows: [{ kind: 'peer', row }, ...secrets], problems };
}

function peerAddress(
  spec: Peer['spec'],
  field: 'address' | 'sourceAddress',
  source: Source,
  problems: Problem[],
): string | null {
  const text = spec[field] ?? '';
  const address = canonicalAddress(text);
  const peer = canonicalAddress(spec.address);
  const isForeign = address !== undefined && peer !== undefined && familyOf(address) !== familyOf(peer);
  const isOnLink = address !== undefined && localFault(address) === 'link-local';
  const fault =
    address === undefined
      ? 'is not an address'
      : isForeign
        ? 'is not of the family of the peer'
        : isOnLink && spec.interface === undefined && field === 'address'
          ? 'is link-local, and no interface is given'
          : null;
  if (fault === null) return address ?? null;
  problems.push(planProblem('PeerAddressInvalid', { ...source, field: `spec.${field}` }, { address: text, fault }));
  return null;
}

function passwordOf(
  spec: Peer['spec'],
  { key, object }: { key: string; object: ObjectOf<'Secret'> | undefined },
  source: Source,
  problems: Problem[],
): string | null {
  const at = spec.passwordSecretRef?.key ?? '';
  const encoded = object?.data[at];
  const value = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('latin1');
  if (BgpPassword.safeParse(value).success) return value;
  const field = 'spec.passwordSecretRef';
  problems.push(planProblem('PeerPasswordMissing', { ...source, field }, { secret: key, key: at }));
  return null;
}
