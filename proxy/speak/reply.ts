/** What BIRD answers to one command. */
export interface Reply {
  /** Of the last line: below 8000 it was done. */
  readonly code: number;
  readonly lines: readonly ReplyLine[];
}

interface ReplyLine {
  readonly code: number;
  readonly text: string;
}

/** A line that is longer, or an answer with more lines, is none of BIRD's. */
const maxLineLength = 65_536;
const maxLines = 1_000_000;

/**
 * Bytes of a control socket → replies. A line is `dddd-text`, the last one `dddd text`; a line that begins with a space has the
 * code of the one before, and one that begins with + belongs to no reply.
 */
export class ReplyReader {
  #rest = '';
  #lines: ReplyLine[] = [];
  readonly #decoder = new TextDecoder();

  /** @returns the replies that these bytes complete. @throws when whoever writes is not BIRD */
  read(bytes: Uint8Array): Reply[] {
    const replies: Reply[] = [];
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const reply = this.#line(line);
      if (reply !== null) replies.push(reply);
    }
    if (this.#rest.length > maxLineLength || this.#lines.length > maxLines) throw new Error('its answer does not end');
    return replies;
  }

  #line(line: string): Reply | null {
    if (line.startsWith('+')) return null;
    const last = this.#lines.at(-1);
    if (line.startsWith(' ') && last !== undefined) {
      this.#lines.push({ code: last.code, text: line.slice(1) });
      return null;
    }
    const [, digits, mark, text = ''] = /^(\d{4})([ -])(.*)$/.exec(line) ?? [];
    if (digits === undefined) throw new Error(`it answers "${line.slice(0, 80)}"`);
    const code = Number(digits);
    this.#lines.push({ code, text });
    if (mark === '-') return null;
    const lines = this.#lines;
    this.#lines = [];
    return { code, lines };
  }
}
