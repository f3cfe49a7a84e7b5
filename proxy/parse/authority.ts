/** A validated `uri-host [":" port]`. */
export interface Authority {
  readonly sent: string;
  /** Lower case, without an empty port: what backends see as Host. */
  readonly text: string;
  /** Lower case, no port, no trailing dot: what routes are found by. */
  readonly hostname: string;
}

/**
 * Clients repeat the same few names. By a hash of the text, and not in a Map, because for that V8 looks into its table of all
 * strings first. A name has two places, of which a new one takes the first and what stood there the other, so that a scan of
 * random names cannot fill the worker.
 */
const known: (Authority | undefined)[] = new Array(8192).fill(undefined);
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
  const place = placeOf(text);
  const first = known[place];
  const found = first?.sent === text ? first : known[place ^ 1];
  if (found?.sent === text) {
    latest = found;
    return found;
  }
  const parsed = parse(text);
  if (parsed === null) return null;
  if (first !== undefined) known[place ^ 1] = first;
  latest = known[place] = parsed;
  return parsed;
}

const longestAuthority = 262;

function placeOf(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x9e3779b1);
  return (hash ^ (hash >>> 15)) & (known.length - 1);
}

const pattern = /^(?:((?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?)|\[([0-9a-f:.]{2,45})\])(?::(\d{0,5}))?$/;

function parse(text: string): Authority | null {
  // A substring keeps the whole head alive behind it: what is remembered must be a copy.
  const sent = Buffer.from(text, 'latin1').toString('latin1');
  const lower = sent.toLowerCase();
  const parts = pattern.exec(lower);
  if (parts === null) return null;
  const port = parts[3];
  if (port !== undefined && Number(port) > 65535) return null;
  const name = parts[1];
  if (name === undefined) {
    if (!URL.canParse(`http://[${parts[2]}]/`)) return null;
    return { sent, text: lower, hostname: `[${parts[2]}]` };
  }
  // An empty port is legal grammar and means none (RFC 3986 §3.2.3).
  const plain = port === '' ? lower.slice(0, -1) : lower;
  return { sent, text: plain, hostname: name.endsWith('.') ? name.slice(0, -1) : name };
}
