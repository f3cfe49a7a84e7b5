/**
 * The blocks of one label in a text, with their lines of begin and end. Each is looked for once: a pattern would look for the end
 * of every beginning anew, seconds for a Secret of beginnings alone.
 */
export function pemBlocks(text: string, label: string): string[] {
  const blocks: string[] = [];
  const last = `-----END ${label}-----`;
  let end = 0;
  for (;;) {
    const start = text.indexOf(`-----BEGIN ${label}-----`, end);
    const stop = start === -1 ? -1 : text.indexOf(last, start);
    if (stop === -1) return blocks;
    end = stop + last.length;
    blocks.push(text.slice(start, end));
  }
}

/** Whether a text ends in the middle of a block, as one that was cut off does. */
export function isPemCutOff(text: string, label: string): boolean {
  return text.lastIndexOf(`-----BEGIN ${label}-----`) > text.lastIndexOf(`-----END ${label}-----`);
}
