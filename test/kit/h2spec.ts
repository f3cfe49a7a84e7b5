import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canBuildGo, findGoProgram } from './goprogram.ts';

/** What one case of h2spec came to. */
export interface SpecResult {
  /** Section and title. */
  name: string;
  outcome: 'passed' | 'failed' | 'skipped';
}

/** For the `skip` of a test: false where h2spec is or can be built. With CI set, a missing tool is a failure. */
export function skipWithoutH2spec(): string | false {
  if (canBuildGo()) return false;
  const reason = 'needs h2spec: put it or Go on the PATH';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

/** Runs all cases, strict ones included. */
export async function runH2spec(options: { host: string; port: number; isTls: boolean }): Promise<SpecResult[]> {
  const program = findGoProgram({
    name: 'h2spec',
    path: 'github.com/summerwind/h2spec/cmd/h2spec',
    module: 'github.com/summerwind/h2spec',
    version: 'v2.2.1+incompatible',
    needs: ['golang.org/x/net@v0.40.0', 'github.com/spf13/cobra@v1.9.1', 'github.com/fatih/color@v1.18.0'],
  });
  const folder = mkdtempSync(join(tmpdir(), 'h2spec-'));
  const report = join(folder, 'report.xml');
  const args = ['-h', options.host, '-p', String(options.port), '--strict', '-o', '20', '-j', report];
  const child = spawn(program, options.isTls ? [...args, '-t', '-k'] : args, { stdio: 'ignore' });
  await new Promise((done, failed) => child.on('error', failed).on('close', done));
  const results = readReport(readFileSync(report, 'utf8'));
  rmSync(folder, { recursive: true });
  return results;
}

function readReport(xml: string): SpecResult[] {
  const cases = xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g);
  return Array.from(cases, ([, section, title, body = '']) => ({
    name: `${section} ${title}`,
    outcome:
      body.includes('<failure') || body.includes('<error')
        ? 'failed'
        : body.includes('<skipped')
          ? 'skipped'
          : 'passed',
  }));
}
