/**
 * Takes out what looks like a key, a token or a password of a URL. Nothing that is collected should have one but for what clients put
 * into their URLs; a report goes to strangers, so it is looked at once more.
 */
export function scrubbed(text: string): string {
  return text
    .replace(privateKey, removed)
    .replace(/(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+/g, removed)
    .replace(/\b(bearer|basic)\s+[\w+/=.~-]{8,}/gi, `$1 ${removed}`)
    .replace(/(\w:\/\/[^\s:/@"]*:)[^\s/"]+@/g, `$1${removed}@`)
    .replace(secretParameter, `$1${removed}`);
}

const removed = '(removed)';

/** In the query of a request, as an access log has it, by its name. */
const secretParameter =
  /([?&;][\w.~%[\]-]{0,64}(?:token|secret|passw|pwd|key|sig|auth|code|credential|session|sid|jwt|ticket)[\w.~%[\]-]{0,64}=)[^&;#\s"\\]+/gi;

/** With its end (RFC 7468), or cut off before it; line ends may be as JSON has them. */
const privateKey =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:Proc-Type: 4,|DEK-Info: [\w-]+,|[\w+/=\s]|\\+[nr])*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?/g;
