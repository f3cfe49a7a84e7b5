import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { BgpLab } from '../kit/bgplab.ts';
import { L2Lab } from '../kit/l2lab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { planRow } from '../kit/plans.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'arping', 'bird']);
const folders: string[] = [];
const [vip, worse] = ['172.30.0.70', '172.30.0.71'];

describe('the first plan of an agent that the kernel does not take', { skip, timeout: 240_000 }, () => {
  after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

  test('leaves the rules of the agent before', async () => {
    const lab = await L2Lab.start('refused', [1]);
    try {
      const agent = lab.agent('node-1');
      await lab.apply([lab.announcement(), ...lab.service('web', [vip], ['pod-1a'])]);
      await lab.served(vip);
      await agent.stop();
      await withRefusing(worse, () => agent.start());
      const [ack] = await lab.apply(lab.service('worse', [worse], ['pod-1a']));
      assert.equal(ack?.type, 'refused');
      const rules = await agent.node.netns.exec('nft', 'list', 'map', 'inet', 'sluice', 'service4');
      assert.match(rules, new RegExp(vip));
      const gone = [{ kind: 'address', id: worse } as const, { kind: 'service', id: 'test/worse' } as const];
      const [next] = await lab.apply([], gone);
      assert.equal(next?.type, 'applied');
      await lab.served(vip);
    } finally {
      await lab.close();
    }
  });

  test('leaves the routes of the agent before', async () => {
    const lab = await BgpLab.start('refusedbgp', 1);
    try {
      await lab.apply([
        lab.peer('tor-1'),
        lab.announcement('rack'),
        planRow('endpoints', { id: 'test/web/tcp/80' }),
        service(vip),
        planRow('address', { id: vip, announcementIds: ['rack'] }),
      ]);
      await lab.expectHops(`${vip}/32 ${lab.node.address}`);
      const pid = lab.node.birdPid();
      await lab.node.endAgent('stop');
      await withRefusing(vip, () => lab.node.startAgent());
      await assert.rejects(lab.resend(lab.node), /could not apply the plan/);
      assert.equal(lab.node.birdPid(), pid);
      await lab.expectHops(`${vip}/32 ${lab.node.address}`);
    } finally {
      await lab.close();
    }
  });
});

function service(address: string) {
  return planRow('service', {
    id: 'test/web',
    vips: [{ address, owner: 'sluice', ipMode: 'vip' }],
    ports: [{ name: '', protocol: 'tcp', port: 80, nodePort: null, endpointsId: 'test/web/tcp/80' }],
  });
}

/** Starts what has an nft for which rules with a certain text in them are too much. */
async function withRefusing(text: string, start: () => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-refused-'));
  const path = process.env['PATH'] ?? '';
  const script = `#!/bin/sh
[ "$1" = -f ] || exec env PATH='${path}' nft "$@"
text=$(cat)
case "$text" in *${text}*) echo 'Cannot allocate memory' >&2; exit 1;; esac
printf '%s\\n' "$text" | PATH='${path}' nft "$@"
`;
  await writeFile(join(dir, 'nft'), script, { mode: 0o755 });
  process.env['PATH'] = `${dir}${delimiter}${path}`;
  await start().finally(() => {
    process.env['PATH'] = path;
  });
  folders.push(dir);
}
