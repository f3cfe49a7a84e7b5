import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { files, stage } from '../../proxy/speak/files.ts';
import { speechOf } from '../../proxy/speak/speech.ts';
import { speechCases } from '../golden/speaking.ts';
import { skipWithoutNetns } from '../kit/netns.ts';

const skip = await skipWithoutNetns(['bird']);

for (const { file, plan } of speechCases()) {
  test(`BIRD takes what is written for ${file.replace('.yaml', '')}`, { skip }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-bird-'));
    try {
      await stage(dir, speechOf(plan, 'node-a').speech.configuration);
      // Throws with what BIRD says.
      execFileSync('bird', ['-p', '-c', files.nextMain], { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
}
