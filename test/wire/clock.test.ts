import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { certificateFor } from '../kit/certificate.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

/** What a process takes for the time of day: shifted by what the file says now. */
const settableDate = `
import { openSync, readSync } from 'node:fs';
const { Date: Real } = globalThis;
const file = openSync(process.env.CLOCK_SHIFT_FILE, 'r');
const text = Buffer.alloc(20);
const nowMs = () => Real.now() + Number(text.latin1Slice(0, readSync(file, text, 0, 20, 0)));
globalThis.Date = class Date extends Real {
  constructor(...given) {
    if (given.length === 0) super(nowMs());
    else super(...given);
  }
  static now() {
    return nowMs();
  }
};
`;

const hourMs = 3_600_000;

test('the clock is set while requests come: none fails, and what tells the time tells the new one', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-clock-'));
  const [module, shift, log] = ['date.mjs', 'shift', 'access.log'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(module, settableDate);
  writeFileSync(shift, '0'.padEnd(20));
  const backend = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const annotations = { affinity: 'cookie', 'session-cookie-expires': '3600', 'ssl-redirect': 'false' };
  const sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      tlsSecret('cert', await certificateFor(['gw.test'])),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' }, annotations, tlsSecret: 'cert' }),
      ...service('recorder', [backend.port]),
    ],
    workers: 2,
    args: ['--access-log', log],
    environment: { NODE_OPTIONS: `--import ${pathToFileURL(module)}`, CLOCK_SHIFT_FILE: shift },
  });
  const { httpPort, httpsPort } = sluice;
  const steady = { host: 'gw.test', connections: 4, requestsPerSecond: 100 };
  const loads = [
    Load.start({ ...steady, port: httpPort }),
    Load.start({ ...steady, port: httpPort, keepsAlive: false }),
    Load.start({ ...steady, port: httpsPort, isTls: true }),
    Load.start({ ...steady, port: httpsPort, isTls: true, keepsAlive: false }),
  ];
  try {
    for (const shiftMs of [hourMs, -24 * hourMs, 400 * 24 * hourMs, 0]) {
      writeFileSync(shift, String(shiftMs).padEnd(20));
      const isThen = (told: string | undefined, beyondMs: number): boolean =>
        Math.abs(Date.parse(told ?? '') - beyondMs - shiftMs - Date.now()) < hourMs / 2;
      await eventually(async () => {
        const { fields } = await exchange({ port: httpPort }, get('/', 'gw.test'));
        const told = new Map(fields.map(([name, value]) => [name.toLowerCase(), value]));
        const expires = /Expires=([^;]+)/.exec(told.get('set-cookie') ?? '')?.[1];
        return isThen(told.get('date'), 0) && isThen(expires, hourMs) ? true : undefined;
      }, `Date and Expires ${shiftMs} ms from now`);
      await waitUntil(() => {
        const line = readFileSync(log, 'utf8').trimEnd().split('\n').at(-1) ?? '';
        return isThen(/"start_time":"([^"]+)"/.exec(line)?.[1], 0);
      }, 'a line of the access log of that time');
      const before = loads.map(({ report }) => report.answered);
      await waitUntil(() => loads.every(({ report }, at) => report.answered > (before[at] ?? 0) + 20), 'more answers');
    }
  } finally {
    const reports = await Promise.all(loads.map((load) => load.stop()));
    await sluice.stop();
    await backend.stop();
    rmSync(dir, { recursive: true });
    assert.deepEqual(
      reports.flatMap(({ failures }) => failures),
      [],
    );
  }
});
