import { type Chain, type ChainOptions, fixedChains, unmovedCounter } from './chains.ts';
import { setSpecs } from './sets.ts';

/** Family and name of our table; no other is ever written. */
export const table = 'inet sluice';

/** Grows when a table of the version before cannot become one of this by adding to it. */
export const layoutVersion = 1;

/** Brings a table of this layout to its sets and chains, whether it is there or not, and leaves the elements of sets alone. */
export function layoutText(options: ChainOptions): string {
  const sets = [...setSpecs].map(([name, { form, spec }]) => `  ${form} ${name} { ${spec}; }\n`);
  return `table ${table} {\n${sets.join('')}  counter ${unmovedCounter} { }\n}\n${chainsText(fixedChains(options))}`;
}

/** Removes chains that nothing goes to, whether they are there or not. */
export function chainsRemovedText(names: readonly string[]): string {
  return names.flatMap((name) => ['add', 'flush', 'delete'].map((verb) => `${verb} chain ${table} ${name}\n`)).join('');
}

/** Makes chains, or makes them anew. Rules may point at any of them, so all are there before the first rule. */
export function chainsText(chains: readonly Chain[]): string {
  const frames = chains.map(({ name, hook }) => `  chain ${name} {${hook === null ? '' : `\n    ${hook}\n `} }\n`);
  const flushes = chains.map(({ name }) => `flush chain ${table} ${name}\n`);
  const bodies = chains.map(
    ({ name, rules }) => `  chain ${name} {\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`,
  );
  return `table ${table} {\n${frames.join('')}}\n${flushes.join('')}table ${table} {\n${bodies.join('')}}\n`;
}
