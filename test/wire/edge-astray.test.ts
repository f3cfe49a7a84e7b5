import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'perl']);

describe('edge: what is sent to an address that routers alone know, and is for no Service', {
  skip,
  timeout: 240_000,
}, () => {
  let lab: EdgeLab;
  const vips = ['192.0.2.70', '2001:db8::70'];

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('astray', { podsPerNode: [1] });
    await lab.apply([
      ...lab.nodeRows(),
      ...lab.service('web', ['pod-1a'], {
        vips: vips.map((address) => ({ address, owner: 'sluice', ipMode: 'vip' })),
      }),
    ]);
    const nft = (text: string) => lab.client.netns.exec('nft', text);
    await nft('add table inet back');
    await nft('add chain inet back in { type filter hook prerouting priority -300; }');
    await nft(`add rule inet back in ip daddr ${vips[0]} counter`);
    await nft(`add rule inet back in ip6 daddr ${vips[1]} counter`);
  });

  after(() => lab?.close());

  test('does not go back to the router that brought it', async () => {
    for (const what of ['echo', 'echo6', 'reset', 'other']) await lab.client.netns.exec('perl', '-e', sender, what);
    // What is asked after it is answered after it.
    for (const address of vips) {
      const answers = await lab.client.ask({ protocol: 'tcp', address, port: 80, count: 3 });
      assert.deepEqual(namesOf(answers), ['pod-1a']);
    }
    const counted = await lab.client.netns.exec('nft', 'list', 'table', 'inet', 'back');
    assert.deepEqual(counted.match(/packets \d+/g), ['packets 0', 'packets 0']);
  });
});

/** An echo request of each family, the end of a connection that nobody knows, and a protocol that nobody speaks. */
const sender = `
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);
my $to4 = inet_pton(AF_INET, "192.0.2.70");
my $to6 = inet_pton(AF_INET6, "2001:db8::70");
sub sum { my $s = 0; $s += $_ for unpack("n*", $_[0]); $s = ($s >> 16) + ($s & 0xffff) while $s >> 16; ~$s & 0xffff }
my $segment = sub { pack("nnNNCCnnn", 4444, 80, 1000, 0, 0x50, 4, 0, $_[0], 0) };
my $pseudo = inet_pton(AF_INET, "172.30.0.100") . $to4 . pack("CCn", 0, 6, 20);
my ($protocol, $text) = @{ {
  echo => [1, pack("H*", "0800f7fd00010001")],
  echo6 => [58, pack("H*", "8000000000010001")],
  reset => [6, $segment->(sum($pseudo . $segment->(0)))],
  other => [253, "text"],
}->{$ARGV[0]} };
my $is6 = $protocol == 58;
socket(my $socket, $is6 ? PF_INET6 : PF_INET, SOCK_RAW, $protocol) or die $!;
send($socket, $text, 0, $is6 ? pack_sockaddr_in6(0, $to6) : pack_sockaddr_in(0, $to4)) or die $!;
`;
