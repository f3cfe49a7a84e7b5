import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';

const skip = await skipWithoutNetns(['nft', 'perl']);

/**
 * It cannot be translated back (kubernetes#74839): its receiver would see it from the pod's own address, and answer with a reset.
 */
describe('edge: a segment of a pod that is no part of a connection', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;
  const clusterIps = ['10.96.4.1', 'fd96:4::1'];

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('invalid', { podsPerNode: [1, 1] });
    await lab.apply([...lab.nodeRows(), ...lab.service('web', ['pod-1a', 'pod-2a'], { clusterIps })]);
  });

  after(() => lab?.close());

  for (const [from, to] of [
    ['pod-1a', 'client'],
    ['pod-2a', 'pod-1a'],
  ] as const) {
    test(`from ${from} does not reach ${to}`, async () => {
      const sender = lab.pod(from);
      const receiver = to === 'client' ? lab.client : lab.pod(to).peer;
      const receiverAddresses =
        to === 'client' ? ['172.30.0.100', 'fd30::64'] : [lab.pod(to).address, lab.pod(to).address6];
      const nft = (...words: string[]) => receiver.netns.exec('nft', ...words);
      await nft('add table inet seen');
      await nft('add chain inet seen in { type filter hook prerouting priority -300; }');
      for (const protocol of ['nfproto ipv4', 'nfproto ipv6'])
        await nft(`add rule inet seen in meta ${protocol} tcp dport 4444 counter`);
      for (const [i, source] of [sender.address, sender.address6].entries())
        await sender.peer.netns.exec('perl', '-e', synAck, source, receiverAddresses[i] ?? '');
      // What is asked after it is answered after it.
      for (const address of clusterIps) {
        const answers = await receiver.ask({ protocol: 'tcp', address, port: 80, count: 20 });
        assert.deepEqual(namesOf(answers), ['pod-1a', 'pod-2a']);
      }
      assert.deepEqual((await nft('list', 'table', 'inet', 'seen')).match(/packets \d+/g), ['packets 0', 'packets 0']);
    });
  }
});

/** The second segment of a connection that has no first, from one address to another. */
const synAck = `
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);
my ($from, $to) = @ARGV;
my $family = $to =~ /:/ ? AF_INET6 : AF_INET;
sub sum { my $s = 0; $s += $_ for unpack("n*", $_[0]); $s = ($s >> 16) + ($s & 0xffff) while $s >> 16; ~$s & 0xffff }
my $segment = sub { pack("nnNNCCnnn", 8080, 4444, 1000, 1000, 0x50, 0x12, 1000, $_[0], 0) };
my $sum = sum(inet_pton($family, $from) . inet_pton($family, $to) . pack("NN", 20, 6) . $segment->(0));
socket(my $socket, $family, SOCK_RAW, 6) or die $!;
my $where = $family == AF_INET ? pack_sockaddr_in(0, inet_pton($family, $to)) : pack_sockaddr_in6(0, inet_pton($family, $to));
send($socket, $segment->($sum), 0, $where) or die $!;
`;
