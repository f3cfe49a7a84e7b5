import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { catalogue } from '../../controller/translate/problems.ts';
import { readManifests } from '../../controller/watch/manifests.ts';
import { limitFlags } from '../../limitflags.ts';
import { flagMeanings } from '../../proxy/observe/flags.ts';
import { everythingTo, toYaml } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

const root = join(import.meta.dirname, '../..');

interface Block {
  place: string;
  text: string;
  /** Of the mark before it; '' where there is none. */
  mark: string;
}

/** Commands that people are told to type: fenced blocks of `sh`. */
function blocksOf(file: string): Block[] {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  const blocks: Block[] = [];
  for (const [index, line] of lines.entries()) {
    if (line !== '```sh') continue;
    const end = lines.indexOf('```', index + 1);
    const above = lines.slice(0, index).findLast((each) => each.trim() !== '') ?? '';
    const mark = /^<!-- ((?:not )?run: .+) -->$/.exec(above)?.[1] ?? '';
    blocks.push({ place: `${file}:${index + 1}`, text: lines.slice(index + 1, end).join('\n'), mark });
  }
  return blocks;
}

const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
const blocks = [
  'README.md',
  'ARCHITECTURE.md',
  'charts/sluice/README.md',
  ...docs.map((name) => `docs/${name}`),
].flatMap(blocksOf);

let recorder: Recorder;
let sluice: Standalone;
let folder = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-docs-'));
  writeFileSync(join(folder, 'sluice'), `#!/bin/sh\nexec '${process.execPath}' '${root}/sluice.js' "$@"\n`);
  chmodSync(join(folder, 'sluice'), 0o755);
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  writeFileSync(join(folder, 'all.yaml'), toYaml(everythingTo(recorder.port)));
  sluice = await Standalone.start({ manifests: everythingTo(recorder.port) });
  await exchange({ port: sluice.httpPort }, get('/', 'gw.test'));
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What a block finds: `proxy` a gateway that runs, `manifests` a folder and a free port. */
async function settingOf(mark: string): Promise<Record<string, string>> {
  if (mark === 'run: proxy') return { ADMIN: `http://127.0.0.1:${sluice.adminPort}` };
  if (mark !== 'run: manifests') return {};
  const [port] = await freePorts(1);
  return { MANIFESTS: folder, PORT: String(port) };
}

test('there are commands, and some of them are run', () => {
  assert.ok(blocks.length > 5);
  assert.ok(blocks.filter(({ mark }) => !mark.startsWith('not run')).length >= 3);
});

for (const { place, text, mark } of blocks) {
  if (mark.startsWith('not run: ')) continue;
  test(`${place} runs`, { timeout: 120_000 }, async () => {
    const path = [folder, join(root, 'node_modules/.bin'), process.env['PATH']].join(delimiter);
    const env = { ...process.env, PATH: path, npm_config_offline: 'true', ...(await settingOf(mark)) };
    const { status, stderr } = spawnSync('sh', ['-euc', text], { cwd: root, env, encoding: 'utf8' });
    assert.equal(status, 0, `${text}\n${stderr.slice(-2_000)}`);
  });
}

test('manifests in the docs of bare metal are what our kinds take', () => {
  const text = readFileSync(join(root, 'docs/bare-metal.md'), 'utf8');
  const manifests = [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, manifest = '']) => manifest);
  const { objects, problems, syntax } = readManifests(manifests.join('---\n'), 'bare-metal.md');
  assert.deepEqual([problems, syntax], [[], null]);
  assert.deepEqual(
    objects.map(({ kind }) => kind),
    ['AddressPool', 'Announcement', 'BGPPeer', 'Announcement'],
  );
});

test('the runbook names every response flag, and no problem that there is not', () => {
  const runbook = readFileSync(join(root, 'docs/operations.md'), 'utf8');
  const flags = Object.keys(flagMeanings).filter((flag) => flag !== '-');
  assert.deepEqual(
    flags.filter((flag) => !runbook.includes(`\`${flag}\``)),
    [],
  );
  // Words in code that are written as codes of problems, and not as kinds, fields or Events that tell of no problem.
  const codes = [...runbook.matchAll(/`((?:[A-Z][a-z]+){2,})`/g)].map(([, code = '']) => code);
  const others = new Set(['AddressPool', 'BGPPeer', 'NetworkPolicies', 'AnnouncedFrom']);
  assert.deepEqual(
    codes.filter((code) => !Object.hasOwn(catalogue, code) && !others.has(code)),
    [],
  );
});

test('the docs name no limit that there is not', () => {
  const flags = new Set(
    Object.keys(limitFlags).map((key) => `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`),
  );
  for (const name of docs) {
    const named = [...readFileSync(join(root, 'docs', name), 'utf8').matchAll(/--limit-[a-z-]*[a-z]/g)].map(String);
    assert.deepEqual(
      named.filter((flag) => !flags.has(flag)),
      [],
      name,
    );
  }
});
