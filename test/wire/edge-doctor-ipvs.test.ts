import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Netns, skipWithoutNetns } from '../kit/netns.ts';
import { SluiceProcess } from '../kit/sluice.ts';

const skip = await skipWithoutNetns();

test('edge doctor sees kube-ipvs0, however many Services there are', { skip, timeout: 120_000 }, async () => {
  const space = await Netns.make('ipvs');
  try {
    await space.ip('link add kube-ipvs0 type bridge');
    const addresses =
      'for i in $(seq 32); do for j in $(seq 250); do echo addr add 10.96.$i.$j/32 dev kube-ipvs0; done; done';
    await space.exec('sh', '-c', `(${addresses}) | ip -batch -`);
    const doctor = new SluiceProcess(['edge', 'doctor'], {}, space);
    await doctor.ended();
    assert.match(doctor.stdout, /^error +IPVS: kube-proxy holds every Service address/m);
  } finally {
    await space.remove();
  }
});
