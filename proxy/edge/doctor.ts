import { checks, type Finding } from './checks.ts';
import { gatherFacts } from './hostfacts.ts';

/** Looks at this machine, and at the agent of it if one runs. `isWell`: nothing keeps it from its work. */
export async function examine(admin: {
  adminAddress: string;
  adminPort: number;
}): Promise<{ text: string; isWell: boolean }> {
  const facts = await gatherFacts(admin);
  const findings = checks.flatMap(({ name, find }): Line[] => {
    const found = find(facts);
    return found.length > 0 ? found.map((finding) => ({ name, ...finding })) : [{ name, severity: 'ok' }];
  });
  return { text: findings.map(textOf).join(''), isWell: findings.every(({ severity }) => severity !== 'error') };
}

type Line = { name: string } & (Finding | { severity: 'ok' });

function textOf(line: Line): string {
  const head = `${line.severity.padEnd(7)} ${line.name}`;
  return line.severity === 'ok' ? `${head}\n` : `${head}: ${line.what}\n        fix: ${line.fix}\n`;
}
