import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { followedLevel } from '../../controller/ops/levelfile.ts';
import { everythingTo } from '../kit/manifests.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

describe('the log level while a process runs', { timeout: 120_000 }, () => {
  let folder: string;
  let file: string;
  let standalone: Standalone;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-level-'));
    file = join(folder, 'level');
    standalone = await Standalone.start({ manifests: [], args: ['--log-level', 'error', '--log-level-file', file] });
  });

  after(async () => {
    await standalone?.stop();
    await rm(folder, { recursive: true });
  });

  const levels = () =>
    Array.from(standalone.process.stderr.matchAll(/"level":"(\w+)","msg":"the log level/g), ([, level]) => level);
  const lines = (level: number) =>
    standalone.process.stderr.split('\n').filter((line) => line.startsWith(`{"level":${level},`));
  /** As a ConfigMap that is mounted changes: another file in the place of the old one. */
  const say = async (word: string) => {
    await writeFile(`${file}.new`, `${word}\n`);
    await rename(`${file}.new`, file);
  };

  test('what the file says is in force, in the log of the process and of its workers', async () => {
    assert.deepEqual([...lines(20), ...lines(30)], []);
    await say('debug');
    await waitUntil(() => levels().includes('debug'), 'debug');
    await standalone.apply(everythingTo(9));
    await waitUntil(() => lines(20).length > 0, 'a line of debug');
    await say('info');
    await waitUntil(() => levels().includes('info'), 'info');
    const before = lines(20).length;
    await standalone.apply([]);
    assert.equal(lines(20).length, before);
  });

  const rows: [content: string | null, level: string][] = [
    ['debug', 'debug'],
    [' silent\n', 'silent'],
    ['loud', 'warn'],
    ['', 'warn'],
    [null, 'warn'],
  ];
  for (const [content, level] of rows) {
    test(`a file of ${JSON.stringify(content)} beside --log-level warn: ${level}`, async () => {
      const logLevelFile = join(folder, `level-${level}-${content?.length}`);
      if (content !== null) await writeFile(logLevelFile, content);
      assert.equal(followedLevel({ logLevel: 'warn', logLevelFile }).now, level);
    });
  }
});
