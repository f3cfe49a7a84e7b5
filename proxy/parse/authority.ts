/** A validated `uri-host [":" port]`. */
export interface Authority {
  readonly sent: string;
  /** Lower case, without an empty port: what backends see as Host. */
  readonly text: string;
  /** Lower case, no port, no trailing dot: what routes are found by. */
  readonly hostname: string;
}

/** Clients repeat the same name. One only is kept: where many are asked for, what is known of one lies in memory that no cache holds. */
let latest: Authority = { sent: ' ', text: '', hostname: '' };

/**
 * Host field or authority of an absolute target (RFC 9110 §7.2, RFC 3986 §3.2.2), stricter than the grammar: no
 * percent-encoding, no sub-delims, labels of at most 63 bytes, port at most 65535. Underscores are let through because
 * internal names have them.
 *
 * @returns null when it is not one: 400
 */
export function parseAuthority(text: string): Authority | null {
  if (text === latest.sent) return latest;
  if (text.length > longestAuthority) return null;
  const parsed = isPlainName(text) ? { sent: text, text, hostname: text } : parse(text);
  if (parsed !== null) latest = parsed;
  return parsed;
}

const longestAuthority = 262;

/** Whether it is a name as most are: labels in lower case, and neither a port nor a last dot. */
function isPlainName(text: string): boolean {
  let label = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (label === 0) return false;
      label = 0;
    } else if (isPlain[code] !== 1 || ++label > 63) return false;
  }
  return label > 0;
}

const isPlain = new Uint8Array(256);
for (const char of 'abcdefghijklmnopqrstuvwxyz0123456789_-') isPlain[char.charCodeAt(0)] = 1;

const pattern = /^(?:((?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?)|\[([0-9a-f:.]{2,45})\])(?::(\d{0,5}))?$/;

function parse(sent: string): Authority | null {
  const lower = sent.toLowerCase();
  const parts = pattern.exec(lower);
  if (parts === null) return null;
  const port = parts[3];
  if (port !== undefined && Number(port) > 65535) return null;
  // An empty port is legal grammar and means none (RFC 3986 §3.2.3).
  const plain = port === '' ? lower.slice(0, -1) : lower;
  const name = parts[1];
  if (name === undefined) {
    if (!URL.canParse(`http://[${parts[2]}]/`)) return null;
    return { sent, text: plain, hostname: `[${parts[2]}]` };
  }
  return { sent, text: plain, hostname: name.endsWith('.') ? name.slice(0, -1) : name };
}
