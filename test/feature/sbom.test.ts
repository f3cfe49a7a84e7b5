import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';

const root = join(import.meta.dirname, '../..');
const Locked = z.object({
  packages: z.record(z.string(), z.object({ dev: z.boolean().optional(), version: z.string().optional() })),
});
const Bom = z.object({
  bomFormat: z.literal('CycloneDX'),
  components: z.array(z.object({ purl: z.string(), properties: z.array(z.object({ name: z.string() })) })),
});

test('the bill of materials names all that is shipped, and marks the rest, without a network', async () => {
  const environment = { ...process.env, npm_config_offline: 'true', npm_config_registry: 'http://127.0.0.1:1/' };
  const options = { cwd: root, env: environment, maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'sbom'], options);
  // npm marks what only development needs. With --omit=dev it leaves out all that development needs, too: zod, for one.
  const isDevelopment = (names: { name: string }[]) => names.some(({ name }) => name === 'cdx:npm:package:development');
  const { components } = Bom.parse(JSON.parse(stdout));
  const needed = components.filter(({ properties }) => !isDevelopment(properties));
  const listed = new Set(needed.map(({ purl }) => decodeURIComponent(purl)));
  const { packages } = Locked.parse(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
  const shipped = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  const expected = new Set(
    shipped.map(([path, { version }]) => {
      return `pkg:npm/${path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)}@${version}`;
    }),
  );
  assert.ok(expected.size > 50);
  assert.deepEqual([...listed].sort(), [...expected].sort());
});
