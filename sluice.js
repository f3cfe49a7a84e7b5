#!/usr/bin/env node
// Starts sluice.ts on Node 26, whatever Node this file was started with: the npm package `node` brings the right one.
// This file must stay JavaScript that Node 20 can read.
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const neededMajor = 26;
// The bin link of npm leads here through a symbolic link; what belongs to Sluice lies beside the real file.
const home = dirname(realpathSync(fileURLToPath(import.meta.url)));
const [major = 0] = process.versions.node.split('.').map(Number);

if (major >= neededMajor) await import('./sluice.ts');
else runOnOwnNode();

function runOnOwnNode() {
  const node = findNode();
  if (node === undefined) {
    const what = `Sluice needs Node ${neededMajor} and this is ${process.version}`;
    console.error(`${what}; run \`npm ci\` in ${home}, which brings it, or install it.`);
    process.exit(1);
  }
  // Over the channel the child sees this process go, even if it is killed: nobody is left behind with the ports.
  const child = spawn(node, [join(home, 'sluice.ts'), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  // A terminal sends SIGINT to the child by itself, and a second one means "now".
  const forwarded = ['SIGTERM', 'SIGHUP', 'SIGUSR2', ...(process.stdin.isTTY ? [] : ['SIGINT'])];
  const all = [...new Set([...forwarded, 'SIGINT'])];
  for (const signal of all) process.on(signal, () => forwarded.includes(signal) && child.kill(signal));
  child.on('error', (error) => {
    console.error(`${node} could not be started: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of all) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

function findNode() {
  for (let folder = home; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', 'node', 'bin', 'node');
    if (existsSync(candidate)) return candidate;
    if (dirname(folder) === folder) return undefined;
  }
}
