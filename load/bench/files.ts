import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Descriptors that ten thousand WebSockets take in a proxy, two each, and room for what it needs besides. */
const wanted = 32_768;

/** How many descriptors this process and those that it starts may have each; root raises what the machine gives. */
export const mostFiles = raised();

function raised(): number {
  if (allowed() < wanted) spawnSync('prlimit', ['--pid', String(process.pid), `--nofile=${wanted}:${wanted}`]);
  return allowed();
}

function allowed(): number {
  const [, hard] = /^Max open files +\S+ +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return hard === 'unlimited' ? wanted : Number(hard);
}
