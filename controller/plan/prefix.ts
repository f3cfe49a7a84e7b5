import { parseAddress, parsePrefix, textOf } from '../addresses/ranges.ts';

/** `192.0.2.7/24` → `192.0.2.0/24`, and an address alone to the prefix of it alone; undefined if it is neither. */
export function canonicalPrefix(text: string): string | undefined {
  const trimmed = text.trim();
  const address = parseAddress(trimmed);
  if (address !== undefined) return `${textOf(address)}/${address.family === 'IPv4' ? 32 : 128}`;
  const range = parsePrefix(trimmed);
  if ('fault' in range) return undefined;
  return `${textOf({ family: range.family, value: range.first })}/${Number(trimmed.split('/')[1])}`;
}
